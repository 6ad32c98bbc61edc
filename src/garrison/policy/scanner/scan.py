"""The scanner's front: definitions of one server or of a fleet, and texts that servers send.

Pure and bounded: the same input gives the same findings, and nothing is fetched, run or remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from garrison.policy.scanner import disguises
from garrison.policy.scanner.allowance import DEFINITION_CHARS_MAX, Allowance
from garrison.policy.scanner.findings import Finding, Kind, excerpt, rank
from garrison.policy.scanner.intents import intents
from garrison.policy.scanner.lookalikes import lookalikes
from garrison.policy.scanner.normal import normal
from garrison.policy.scanner.reading import Hit, by_rules, read, speaks_to_model, unseen
from garrison.policy.scanner.signals import FILES
from garrison.policy.scanner.strings import Placed, strings

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[_-]+")
_REFERABLE: Final = re.compile(r"(?=.{6,})[A-Za-z][\w]*_\w+|[a-z]+(?:[A-Z][a-z]+){1,}")


_IS_VALUE: Final = re.compile(r"/(?:default|const|enum/\d+|examples?(?:/\d+)?)$")
_STOLEN: Final = re.compile(rf"^[^ ]*(?:{FILES})[^ ]*$")
_KEEPER: Final = re.compile(r"ssh|key|cert|tunnel|deploy|env|config|kube|aws|cloud|vault|secret|docker|npm|compose")


class Offered(msgspec.Struct, frozen=True):
    """What one server offers, as its lists have it."""

    server: str
    instructions: str = ""
    tools: Sequence[Mapping[str, Any]] = ()
    prompts: Sequence[Mapping[str, Any]] = ()
    resources: Sequence[Mapping[str, Any]] = ()
    templates: Sequence[Mapping[str, Any]] = ()

    def items(self) -> Iterator[tuple[Kind, str, object]]:
        """Each definition with its kind and its place."""
        if self.instructions:
            yield "instructions", "/instructions", self.instructions
        lists: tuple[tuple[Kind, str, Sequence[Mapping[str, Any]]], ...] = (
            ("tool", "tools", self.tools),
            ("prompt", "prompts", self.prompts),
            ("resource", "resources", self.resources),
            ("template", "resourceTemplates", self.templates),
        )
        for kind, member, entries in lists:
            for index, entry in enumerate(entries):
                yield kind, f"/{member}/{index}", entry


def scan(
    server: str, kind: Kind, definition: object, pointer: str = "", *, others: Iterable[str] = ()
) -> list[Finding]:
    """One definition of a server: a tool, prompt, resource or template as JSON-like data, or its instructions.

    `pointer` is put before the places; `others`: tool names of other servers that it has no business to name.
    """
    name = _name_of(definition)
    placed = list(strings(definition, pointer))
    allowance = Allowance()
    read_ones = [one for one in placed if one.role != "data" and allowance.covers(one)]
    directed = any(
        speaks_to_model(normal(one.text[:DEFINITION_CHARS_MAX]).text)
        for one in read_ones
        if one.role == "text" and len(one.text) > 40
    )
    findings: list[Finding] = []
    for one in allowance.left:
        findings += [_finding(server, kind, name, one, hit) for hit in unseen(one.text)]
    for one in read_ones:
        findings += [_finding(server, kind, name, one, hit) for hit in _hits(one, directed)]
        findings += [_finding(server, kind, name, one, hit) for hit in _wanted(one, name)]
    if unread := allowance.left + allowance.cut:
        spent = Hit("scan.size", "high", "the definition is longer than what the rules read of one", 0, 1)
        findings.append(_finding(server, kind, name, unread[0], spent))
    findings += _references(server, kind, name, read_ones, frozenset(others))
    if not any(rank(finding.severity) >= rank("medium") for finding in findings):
        findings += _split(server, kind, name, read_ones)
    return findings


def _wanted(one: Placed, name: str) -> Iterator[Hit]:
    """What its sentences want, the most serious of each kind; names of members are read as words."""
    shown = one.text[:DEFINITION_CHARS_MAX]
    words = shown if " " in shown else _CAMEL.sub(" ", shown)
    if words.count(" ") < 2 and one.role != "text":
        return
    if _IS_VALUE.search(one.pointer) and _STOLEN.search(shown) and not _KEEPER.search(name.lower()):
        yield Hit("scan.exfiltration", "high", "a private file is the value of a parameter", 0, len(shown))
    flat = normal(words)
    of_parameter = one.role == "key" or "/properties/" in one.pointer
    found = intents(flat.text, name.lower(), parameter=of_parameter)
    best = {wanted.intent.code: wanted for wanted in sorted(found, key=lambda wanted: rank(wanted.intent.severity))}
    for wanted in best.values():
        span = flat.span(wanted.start, wanted.end) if words == shown else (0, len(one.text))
        yield Hit(wanted.intent.code, wanted.intent.severity, wanted.intent.why, *span)


def scan_text(text: str, server: str = "", name: str = "") -> list[Finding]:
    """A text that a server sent: a result, an error, a message."""
    one = Placed("", text, "text")
    return [_finding(server, "result", name, one, hit) for hit in read(text)]


def scan_fleet(servers: Iterable[Offered]) -> list[Finding]:
    """Everything that several servers offer, seen together."""
    fleet = list(servers)
    tools = {one.server: [str(tool.get("name", "")) for tool in one.tools] for one in fleet}
    findings: list[Finding] = []
    for one in fleet:
        own = set(tools[one.server])
        others = {name for server, names in tools.items() if server != one.server for name in names} - own
        for kind, pointer, definition in one.items():
            findings += scan(one.server, kind, definition, pointer, others=others)
    return findings + _alike(tools)


def _hits(one: Placed, directed: bool) -> list[Hit]:
    if one.role in ("key", "name") and len(one.text) <= 200:
        return _named(one.text, directed)
    return read(one.text, directed=directed, chars=DEFINITION_CHARS_MAX)


def _named(text: str, directed: bool) -> list[Hit]:
    """Names are read as words, too: `contentOfIdRsa`, `do_not_tell_the_user`."""
    hits = read(text, directed=directed)
    words = _CAMEL.sub(" ", text)
    if not hits and words.count(" ") >= 2:
        hits = [hit._replace(start=0, end=len(text)) for hit in by_rules(normal(words), directed=True)][:1]
    return hits


def _finding(server: str, kind: Kind, name: str, one: Placed, hit: Hit) -> Finding:
    shown = excerpt(one.text, hit.start, hit.end)
    return Finding(hit.code, hit.severity, server, kind, name, one.pointer, hit.start, hit.end, shown, hit.why)


def _name_of(definition: object) -> str:
    if not isinstance(definition, Mapping):
        return ""
    found = definition.get("name") or definition.get("uri") or definition.get("uriTemplate") or ""
    return found[:200] if isinstance(found, str) else ""


def _references(server: str, kind: Kind, name: str, placed: list[Placed], others: frozenset[str]) -> Iterator[Finding]:
    """Tools of other servers that are named in a text; plain words are names of many things and do not count."""
    wanted = {other for other in others if _REFERABLE.fullmatch(other)}
    for one in placed if wanted else ():
        if one.role != "text":
            continue
        for word in re.finditer(r"[A-Za-z]\w{5,}", one.text):
            if word[0] in wanted:
                why = f"names {word[0]}, a tool of another server"
                directs = speaks_to_model(normal(one.text).text)
                hit = Hit("scan.cross_server_reference", "medium" if directs else "low", why, *word.span())
                yield _finding(server, kind, name, one, hit)
                break


def _split(server: str, kind: Kind, name: str, placed: list[Placed]) -> Iterator[Finding]:
    """Harmless pieces that read on as an order: all texts of a definition, one after the other."""
    texts = [one for one in placed if one.role == "text" and " " in one.text]
    if len(texts) < 2:
        return
    joined = normal(" ".join(one.text for one in texts)[:DEFINITION_CHARS_MAX])
    hits = by_rules(joined)
    strong = [hit for hit in hits if rank(hit.severity) >= rank("high") and hit.code in _ACROSS]
    if not hits and disguises.broken_up(joined.text):
        strong = [Hit("", "high", "orders to the model, broken up", 0, 1)]
    for hit in strong[:1]:
        first = texts[0]
        shown = excerpt(joined.text, hit.start, min(hit.end, len(joined.text)))
        why = f"read one after the other, its texts are an order: {hit.why}"
        yield Finding(
            "scan.split_instruction", "high", server, kind, name, first.pointer, 0, len(first.text), shown, why
        )


_ACROSS: Final = frozenset({"scan.instruction_override", "scan.secrecy", "scan.exfiltration"})


def _alike(tools: Mapping[str, list[str]]) -> list[Finding]:
    found = []
    for one in lookalikes((server, name) for server, names in tools.items() for name in names):
        whose = f"{one.other} of server {one.owner}" if one.owner else one.other or "a Latin word"
        how = "cannot be told from" if one.exact else "is one slip away from"
        place = f"/tools/{tools[one.server].index(one.name)}/name"
        shown = excerpt(one.name, 0, len(one.name))
        why = f"{how} {whose}"
        found.append(
            Finding(
                "scan.lookalike_name",
                "high" if one.exact else "medium",
                one.server,
                "tool",
                one.name,
                place,
                0,
                len(one.name),
                shown,
                why,
            )
        )
    return found
