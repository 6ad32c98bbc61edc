"""Errors of the admin API as problem+json (RFC 9457), by one total table."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from garrison.kernel.errors import GarrisonError, Kind, Limited

HTTP_STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.LIMITED: 429,
    Kind.TIMEOUT: 504,
    Kind.UNAVAILABLE: 503,
    Kind.UNSUPPORTED: 501,
    Kind.DEFECT: 500,
}


def problem(error: GarrisonError) -> Response:
    status = HTTP_STATUS[error.kind]
    headers = {"WWW-Authenticate": error.challenge or 'Bearer realm="garrison"'} if status == 401 else {}
    if isinstance(error, Limited):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    body = {
        "type": f"urn:garrison:problem:{error.code}",
        "title": error.kind.value,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "hint": error.hint,
    }
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def on_garrison_error(request: Request, error: Exception) -> Response:
    """Starlette's handler for everything that we raise on purpose."""
    assert isinstance(error, GarrisonError)
    return problem(error)
