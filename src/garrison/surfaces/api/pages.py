"""The few pages that people see in a browser. No script, nothing from elsewhere, and every value escaped."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

from garrison.identity.oauth.sign_in import BEGIN, Pending
from garrison.kernel.errors import GarrisonError
from garrison.protocol.transports.origin import parse_found_url

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Garrison: {title}</title>
<meta name="viewport" content="width=device-width"></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"""


def consent_page(pending: Pending) -> HTMLResponse:
    """What is agreed to, by whom, and where; going on is a form that only this page can send."""
    issuer = parse_found_url(pending.found.issuer.authorization_endpoint).base
    scopes = ", ".join(pending.scopes) or "whatever it gives by default"
    body = (
        f"<p>Garrison wants to use the server <b>{escape(pending.server)}</b> for the principal "
        f"<b>{escape(pending.name)}</b> (<code>{escape(pending.principal)}</code>).</p>"
        f"<p>You will sign in at <b>{escape(issuer)}</b>. Asked for: {escape(scopes)}.</p>"
        "<p>If you did not ask for this yourself just now, close this page: whoever did would act in your name.</p>"
        f'<form method="post" action="{BEGIN}"><input type="hidden" name="ticket" value="{escape(pending.ticket)}">'
        '<button type="submit">Sign in</button></form>'
    )
    return _page("Sign in", body, form_action=f"'self' {issuer}")


def done_page(pending: Pending) -> HTMLResponse:
    body = f"<p>Garrison can use the server <b>{escape(pending.server)}</b> now. You can close this page.</p>"
    return _page("Signed in", body)


def failed_page(error: GarrisonError, status: int) -> HTMLResponse:
    """Our own words; nothing that came with the request."""
    return _page("Not signed in", f"<p>{escape(error.message)}.</p><p>{escape(error.hint)}.</p>", status)


def _page(title: str, body: str, status: int = 200, form_action: str = "'none'") -> HTMLResponse:
    headers = {
        "content-security-policy": f"default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {form_action}",
        "x-frame-options": "DENY",
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
    }
    return HTMLResponse(_PAGE.format(title=escape(title), body=body), status, headers)
