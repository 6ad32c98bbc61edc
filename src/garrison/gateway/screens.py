"""What screening does to calls: whose results are treated how, and what is told of what was found."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import msgspec
from msgspec import Raw

from garrison.catalog.screening import Screening
from garrison.gateway.call import Call, Outcome
from garrison.kernel.errors import Invalid, Unavailable
from garrison.policy.screening.finding import Screened
from garrison.policy.screening.prefilter import Prefilter
from garrison.policy.screening.screener import Screener
from garrison.policy.screening.stream import StreamScreen
from garrison.policy.screening.treatments import Treatments, wanted
from garrison.protocol import methods
from garrison.protocol.messages import RpcError, decode_error, encode
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics

BLOCKED = "screen.blocked"
NOTED_MAX = 100
log = logging.getLogger("garrison.gateway")


class Screens:
    """`edition` is replaced with each change of the section, and everything that was decided by it is void."""

    def __init__(self, section: Screening, metrics: Metrics) -> None:
        self._section = section
        self._prefilter = Prefilter(wanted(section))
        self.edition = Treatments(section, self._prefilter)
        about = "What screening found in results, errors, messages and arguments."
        self._found = metrics.counter(
            names.SCREEN_FINDINGS, about, (names.SERVER, names.SCREEN_CODE, names.SCREEN_ACTION)
        )

    @property
    def prefilter(self) -> Prefilter:
        return self._prefilter

    def replace(self, section: Screening) -> None:
        if section == self._section:
            return
        if wanted(section) != self._prefilter.categories:
            self._prefilter = Prefilter(wanted(section))
        self._section = section
        self.edition = Treatments(section, self._prefilter)

    def of(self, call: Call) -> Screener | None:
        """Who looks at what comes back; None where nobody does."""
        if call.answer is not None or call.method in methods.LIST_MEMBER or call.upstream is None:
            return None
        found = self.edition.of_results(call.upstream.name, call.target.name)
        return None if found.is_off else found

    def check_arguments(self, call: Call) -> None:
        """Secrets in arguments, where anybody wants them looked at. Raises `Invalid` (`screen.blocked`)."""
        if call.arguments is None or call.upstream is None:
            return
        screener = self.edition.of_inputs(call.upstream.name, call.target.name)
        if screener is None or screener.is_clean(call.params["arguments"]):
            return
        verdict = screener.screen(call.params["arguments"])
        note(call, verdict.findings, "arguments")
        if verdict.blocked:
            message = f"the arguments hold what must not leave ({verdict.blocked})"
            raise Invalid(BLOCKED, message, "see docs/screening.md")
        call.params["arguments"] = Raw(verdict.json)
        call.arguments = msgspec.json.decode(verdict.json)

    def result(self, call: Call, outcome: Outcome) -> None:
        """The outcome's result becomes what may go on. Raises `Unavailable` (`screen.blocked`) where nothing may."""
        screener = call.screener
        if screener is None or outcome.result is None or screener.is_clean(outcome.result):
            return
        verdict = screener.screen(outcome.result)
        note(call, verdict.findings, "result")
        if not verdict.blocked:
            outcome.result = verdict.json
        elif call.method == methods.TOOLS_CALL:
            outcome.result = withheld(call, verdict.blocked)
        else:
            raise Unavailable(BLOCKED, f"the answer was withheld ({verdict.blocked})", "see docs/screening.md")

    def error(self, call: Call, outcome: Outcome) -> None:
        """The same for a server's error."""
        screener = call.screener
        if screener is None or outcome.error is None:
            return
        json = encode(outcome.error)
        if screener.is_clean(json):
            return
        verdict = screener.screen(json)
        note(call, verdict.findings, "error")
        if verdict.blocked:
            outcome.error = RpcError(
                outcome.error.code, f"{BLOCKED}: the server's error was withheld ({verdict.blocked})"
            )
        else:
            outcome.error = decode_error(verdict.json)

    def tell(self, call: Call) -> None:
        """Counted and in the log; `audit` puts it on the record. Codes and places, never values."""
        server = call.target.server
        for finding in call.screened:
            self._found.cell(server, finding.code, finding.action).add()
        if call.screened:
            codes = sorted({finding.code for finding in call.screened})
            log.warning("screening found something", extra={"call": call.id, "server": server, "codes": codes})


def passed_on(call: Call, frame: bytes) -> bytes:
    """A message of a server in mid-call, as far as it may go on; empty where nothing may."""
    screener = call.screener
    if screener is None or screener.is_clean(frame):
        return frame
    verdict = screener.screen(frame)
    note(call, verdict.findings, "message")
    return b"" if verdict.blocked else verdict.json


class PieceScreen:
    """A large result's pieces on their way, see `passage`."""

    def __init__(self, call: Call, screener: Screener) -> None:
        self._call = call
        self._stream = StreamScreen(screener)
        self.feed = self._stream.feed

    def end(self) -> bytes:
        rest = self._stream.end()
        note(self._call, self._stream.findings, "result")
        return rest


def screened(call: Call) -> PieceScreen | None:
    """What looks at the pieces of this call's result; None where nobody does."""
    return PieceScreen(call, call.screener) if call.screener is not None else None


def note(call: Call, findings: Iterable[Screened], part: str) -> None:
    """Bounded, however often a server speaks in mid-call."""
    if len(call.screened) < NOTED_MAX:
        call.screened += tuple(finding._replace(place=f"{part}{finding.place}") for finding in findings)


def withheld(call: Call, why: str) -> bytes:
    """A tool's result that says so: models and clients can go on with it."""
    text = f"{BLOCKED}: the result was withheld by the gateway ({why})"
    result: dict[str, object] = {"content": [{"type": "text", "text": text}], "isError": True}
    return encode({"resultType": "complete", **result} if call.era == "modern" else result)
