"""How a call comes, for decisions that depend on it."""

from __future__ import annotations

from garrison.gateway.call import Call
from garrison.policy.decision import Circumstances


def how(call: Call) -> Circumstances:
    """What its client calls itself, where it comes from, and which era it speaks."""
    return Circumstances(call.client_name, call.request.client, call.era)
