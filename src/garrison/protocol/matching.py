"""Which of our requests a message from the server belongs to."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw

from garrison.protocol import codes, methods
from garrison.protocol.messages import Message, RpcError, decode_any, decode_error, members, params_of

NULL = Raw(b"null")


def error_of(data: Raw) -> RpcError:
    """A response's error; a malformed one is an error all the same."""
    try:
        return decode_error(data)
    except (msgspec.MsgspecError, RecursionError):
        return RpcError(codes.INTERNAL_ERROR, "the server's error object is malformed")


def own_id(answered: object, request_id: int | None) -> int | None:
    """Which of our requests a response answers: on a request's own stream that one or none.

    An error may come without an id, and some servers turn the id into a string.
    """
    if isinstance(answered, str) and answered.isascii() and answered.isdecimal() and len(answered) < 19:
        answered = int(answered)
    if request_id is not None:
        return request_id if answered in (request_id, None, UNSET) else None
    return answered if isinstance(answered, int) else None


def addressee(message: Message) -> int | None:
    """The request that a notification belongs to, where all share one stream: by progress token or subscription."""
    try:
        params = params_of(message)
        if message.method == methods.PROGRESS:
            found = decode_any(params.get("progressToken", NULL))
        else:
            found = members(params["_meta"]).get(methods.META_SUBSCRIPTION) if "_meta" in params else None
            found = decode_any(found) if found is not None else None
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if type(found) is int else None
