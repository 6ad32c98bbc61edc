"""The command line's side of the node's admin API."""

from __future__ import annotations

import http.client
import ssl
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from garrison.kernel import errors
from garrison.kernel.errors import GarrisonError, Invalid, Kind, NotFound, TimedOut, Unavailable
from garrison.kernel.home import Home
from garrison.protection import reasons
from garrison.surfaces.node_trust import client_context
from garrison.surfaces.presence import NodeNote, running_node

QUICK_S = 10.0
SCAN_S = 120.0
SIGN_IN_S = 60.0
"""Several servers are asked who gives tokens."""
APPLY_S = 600.0
"""Applying waits for drains and for the starts of new servers."""

_OF_KIND: dict[str, type[GarrisonError]] = {
    cls.kind: cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, GarrisonError) and cls is not GarrisonError
}


class NodeClient:
    """Asks one running node; raises the typed errors that it answers with."""

    def __init__(self, note: NodeNote, key: str, home: Home) -> None:
        self.note = note
        self.key = key
        self._home = home

    def tls(self) -> ssl.SSLContext | None:
        """By which the node is known, and knows us; made anew each time, for certificates change."""
        return client_context(self._home) if self.note.url.startswith("https:") else None

    def status(self) -> dict[str, Any]:
        return self._ask("GET", "/api/v1/status", QUICK_S)

    def whoami(self, presented: str = "") -> dict[str, Any]:
        """Of whoever presents this; of ourselves unless given."""
        asking = NodeClient(self.note, presented, self._home) if presented else self
        return asking._ask("GET", "/api/v1/whoami", QUICK_S)

    def apply(self) -> list[dict[str, str]]:
        actions: list[dict[str, str]] = self._ask("POST", "/api/v1/apply", APPLY_S)["actions"]
        return actions

    def restart(self, server: str) -> dict[str, Any]:
        return self._ask("POST", f"/api/v1/servers/{quote(server, safe='')}/restart", APPLY_S)

    def scan(self, server: str = "") -> dict[str, Any]:
        """What the scanner finds in what servers list now."""
        return self._ask("GET", f"/api/v1/scan?server={quote(server, safe='')}", SCAN_S)

    def limits(self, principal: str = "") -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/limits?principal={quote(principal, safe='')}", QUICK_S)

    def limits_report(self, by: str, since_s: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("GET", f"/api/v1/limits/report?by={by}&since_s={since_s}", QUICK_S)[
            "used"
        ]
        return rows

    def sign_ins(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("GET", "/api/v1/auth", QUICK_S)["sign_ins"]
        return rows

    def begin_sign_in(self, server: str, principal: str) -> dict[str, Any]:
        return self._ask("POST", _auth_path(server, principal), SIGN_IN_S)

    def sign_out(self, server: str, principal: str) -> dict[str, Any]:
        return self._ask("DELETE", _auth_path(server, principal), APPLY_S)

    def offers(self) -> list[dict[str, Any]]:
        """What servers list now."""
        rows: list[dict[str, Any]] = self._ask("GET", "/api/v1/offers", QUICK_S)["offers"]
        return rows

    def approvals(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("GET", "/api/v1/approvals", QUICK_S)["approvals"]
        return rows

    def approval(self, approval_id: str) -> dict[str, Any]:
        return self._ask("GET", f"/api/v1/approvals/{quote(approval_id, safe='')}", QUICK_S)

    def decide(self, approval_id: str, verdict: str, reason: str) -> dict[str, Any]:
        """`verdict`: approve or deny."""
        path = f"/api/v1/approvals/{quote(approval_id, safe='')}/{verdict}"
        return self._ask("POST", path, QUICK_S, msgspec.json.encode({"reason": reason}))

    def reload_pins(self) -> None:
        """The lock may have been edited."""
        self._ask("POST", "/api/v1/pins/reload", QUICK_S)

    def decide_pins(self, decision: str, server: str, name: str, sha256: str) -> list[dict[str, Any]]:
        """`approve` or `revoke`; what was taken over."""
        asked = msgspec.json.encode({"server": server, "name": name, "sha256": sha256})
        taken: list[dict[str, Any]] = self._ask("POST", f"/api/v1/pins/{decision}", QUICK_S, asked)["taken"]
        return taken

    def _ask(self, method: str, path: str, timeout_s: float, body: bytes | None = None) -> dict[str, Any]:
        connection = self._connection(timeout_s)
        try:
            connection.request(method, path, body, headers={"Authorization": f"Bearer {self.key}", **_reason()})
            answer = connection.getresponse()
            return _understood(answer.status, answer.read())
        except TimeoutError as error:
            message = f"the node at {self.note.url} did not answer within {timeout_s:g} s"
            raise TimedOut("node.slow", message, "see `garrison logs`; `garrison down` ends it in any case") from error
        except (OSError, http.client.HTTPException) as error:
            message = f"the node at {self.note.url} does not answer: {error}"
            raise Unavailable(
                "node.unreachable", message, "it may be restarting; try again, or see `garrison logs`"
            ) from error
        finally:
            connection.close()

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        address, tls = urlsplit(self.note.url), self.tls()
        host = address.hostname or ""
        if tls is None:
            return http.client.HTTPConnection(host, address.port, timeout=timeout_s)
        return http.client.HTTPSConnection(host, address.port, timeout=timeout_s, context=tls)


def _reason() -> dict[str, str]:
    return {reasons.HEADER: reasons.to_header(reasons.given())} if reasons.given() else {}


def _auth_path(server: str, principal: str) -> str:
    query = f"?principal={quote(principal, safe='')}" if principal else ""
    return f"/api/v1/auth/{quote(server, safe='')}{query}"


def client_of(home: Home) -> NodeClient:
    """For the node that runs. Raises `NotFound` when none does."""
    note = running_node(home)
    if note is None:
        raise NotFound("fleet.not_running", f"no fleet runs from {home.root}", "start it with `garrison up`")
    return NodeClient(note, read_key(home), home)


def read_key(home: Home) -> str:
    try:
        return home.admin_key.read_text().strip()
    except FileNotFoundError as error:
        raise NotFound("key.no_admin", f"{home.admin_key} is missing", "`garrison up` makes it") from error
    except OSError as error:
        message = f"{home.admin_key} cannot be read: {error.strerror}"
        raise Invalid("key.unreadable", message, "only its owner may read it") from error


def _understood(status: int, body: bytes) -> dict[str, Any]:
    try:
        content: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any]) if body else {}
    except msgspec.MsgspecError as error:
        raise Unavailable("node.nonsense", f"the node answered {status} with no JSON", "see `garrison logs`") from error
    if status < 400:
        return content
    told = {name: str(content.get(name, "")) for name in ("title", "code", "detail", "hint")}
    cls = _OF_KIND.get(told["title"], _OF_KIND[Kind.DEFECT if status >= 500 else Kind.INVALID])
    raise cls(told["code"] or "node.error", told["detail"] or f"the node answered {status}", told["hint"])
