"""Calls of modern clients that wait for input in mid-call: the server's call stays open, the client's ends with
`input_required`, and its retry takes the open call up again (2026-07-28, multi-round-trip requests).

`requestState` is in the client's hands, so it is sealed, and bound to the principal and to the very request.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Raw

from garrison.gateway.call import PENDING, Call, Outcome, Pending
from garrison.gateway.worker import NONCE_BYTES, Worker
from garrison.kernel.errors import Conflict, Invalid, Limited
from garrison.kernel.ids import Ids
from garrison.protocol import codes
from garrison.protocol.messages import EMPTY, RpcError, decode_any, encode, members, raw
from garrison.protocol.question import Question

PARKED_MAX = 1_000
PARKED_S = 600.0
_STATE_CHARS_MAX = 4096


@dataclass(eq=False)
class Parked:
    """One open call: `resume` hands it to the retry; `give_up` ends it at the server."""

    id: str
    resume: Callable[[Call], None]
    give_up: Callable[[str], None]
    questions: dict[str, Question] = field(default_factory=dict)
    timer: asyncio.TimerHandle | None = None


class ParkedCalls:
    """`key`: 32 bytes that seal `requestState`."""

    def __init__(self, key: bytes, ids: Ids, worker: Worker = Worker()) -> None:  # noqa: B008  immutable
        self._cipher = AESGCM(key)
        self._worker = worker
        self._ids = ids
        self._parked: dict[str, Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(
        self, call: Call, question: Question, resume: Callable[[Call], None], give_up: Callable[[str], None]
    ) -> Outcome:
        """The outcome that asks the client; raises `Limited` when too many wait already."""
        if len(self._parked) >= PARKED_MAX:
            raise Limited("calls.too_many_parked", "too many calls wait for input", "try again later", 30.0)
        parked = Parked(self._ids.new(), resume, give_up, {"q1": question})
        parked.timer = asyncio.get_running_loop().call_later(PARKED_S, self._expire, parked.id)
        self._parked[parked.id] = parked
        asked = {"q1": {"method": raw(question.method), "params": question.params}}
        result = {
            "resultType": raw("input_required"),
            "inputRequests": raw(asked),
            "requestState": raw(self._seal(parked.id, call)),
        }
        return Outcome(result=encode(result))

    def wants(self, call: Call) -> bool:
        """Whether this is the retry of a call that is parked here."""
        return "requestState" in call.params and self._unseal(call) is not None

    def resume(self, call: Call) -> Pending:
        """Give the client's answers to the server; the outcome comes when the server's call ends."""
        answers = _answers(call)  # before the call is taken up: a malformed retry leaves it parked, and it can expire
        parked_id = self._unseal(call)
        parked = self._parked.pop(parked_id, None) if parked_id is not None else None
        if parked is None:
            raise Conflict("call.not_parked", "the call that waited for this input is gone", "call again")
        if parked.timer is not None:
            parked.timer.cancel()
        parked.resume(call)
        for key, question in parked.questions.items():
            if key in answers:
                question.answer(answers[key])
            else:
                question.refuse(RpcError(codes.INVALID_PARAMS, "the client gave no answer"))
        return PENDING

    def close(self) -> None:
        for parked_id in tuple(self._parked):
            self._expire(parked_id)

    def _expire(self, parked_id: str) -> None:
        parked = self._parked.pop(parked_id, None)
        if parked is not None:
            if parked.timer is not None:
                parked.timer.cancel()
            parked.give_up("its user gave no input in time")

    def _seal(self, parked_id: str, call: Call) -> str:
        nonce = self._worker.nonce()
        return urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, parked_id.encode(), _bound_to(call))).decode()

    def _unseal(self, call: Call) -> str | None:
        try:
            state = msgspec.json.decode(call.params["requestState"], type=str)
            sealed = urlsafe_b64decode(state) if len(state) <= _STATE_CHARS_MAX else b""
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(call)).decode()
        except (KeyError, ValueError, InvalidTag, msgspec.MsgspecError, RecursionError):
            return None


def _bound_to(call: Call) -> bytes:
    """Who asked for what: another principal's, or another request's, state does not open."""
    principal = call.principal.id if call.principal is not None else ""
    arguments = msgspec.json.encode(decode_any(call.params.get("arguments", EMPTY)), order="sorted")
    digest = hashlib.sha256(arguments).hexdigest()
    return encode([principal, call.endpoint, call.method, call.target.server, call.target.name, digest])


def _answers(call: Call) -> dict[str, Raw]:
    try:
        return members(call.params.get("inputResponses", EMPTY))
    except (msgspec.MsgspecError, RecursionError):
        raise Invalid("call.bad_input", "params.inputResponses must be an object") from None
