"""Checks a located tree against types, as `msgspec` describes them: every mismatch at its place, none fatal.

Gives what `msgspec.convert` would, with what is wrong left out.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import inspect

from garrison.catalog.access import AnnotationsSpec, ArgumentSpec, GroupSpec, PolicySpec, WhenSpec
from garrison.catalog.certificates import CertificateSpec
from garrison.catalog.coerce import kind_of
from garrison.catalog.credentials import AuthSpec
from garrison.catalog.documents import FilterDocument, GrantDocument, OfferDocument, SelectionDocument
from garrison.catalog.issuers import ClaimsSpec, IssuerSpec
from garrison.catalog.limits import AmountsSpec, LimitSpec
from garrison.catalog.notes import Notes, brief, did_you_mean
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table, plain
from garrison.catalog.problems import Severity

FATEFUL: Final = frozenset(
    {
        GrantDocument,
        WhenSpec,
        ArgumentSpec,
        AnnotationsSpec,
        GroupSpec,
        PolicySpec,
        FilterDocument,
        OfferDocument,
        SelectionDocument,
        AuthSpec,
        IssuerSpec,
        ClaimsSpec,
        LimitSpec,
        AmountsSpec,
        CertificateSpec,
    }
)
"""Where a misspelt key must not pass: without its `servers:` a grant would be one for all of them."""

WRONG: Any = msgspec.UNSET
"""Stands for a value that could not be used."""


def decode(node: Node, wanted: inspect.Type, where: str, notes: Notes) -> Any:
    """The value as the type asks for, or WRONG (reported). `where` names the value in messages."""
    if isinstance(wanted, inspect.Metadata):
        return decode(node, wanted.type, where, notes)
    if isinstance(wanted, inspect.StructType):
        return _struct(node, wanted, where, notes)
    if isinstance(wanted, inspect.UnionType) and (struct := _struct_in(wanted)) is not None:
        return _struct(node, struct, where, notes)
    if isinstance(wanted, inspect.DictType):
        return _map(node, wanted, where, notes)
    if isinstance(wanted, inspect.VarTupleType | inspect.ListType):
        return _list(node, wanted, where, notes)
    if isinstance(wanted, inspect.AnyType):
        return plain(node)
    return _scalar(node, wanted, where, notes)


def _struct(node: Node, wanted: inspect.StructType, where: str, notes: Notes) -> Any:
    if not isinstance(node, Table):
        return _wrong(node, "a group of keys", where, notes)
    fields = {field.encode_name: field for field in wanted.fields}
    values: dict[str, Any] = {}
    for entry in node:
        field = fields.get(entry.key)
        if field is None:
            if not entry.key.startswith("x-"):  # anchors for reuse have to stand somewhere
                hint = did_you_mean(entry.key, fields) or "known here: " + ", ".join(fields)
                severity: Severity = "error" if wanted.cls in FATEFUL else "warning"
                notes.add(
                    severity, "config.unknown_key", f"unknown key {brief(entry.key)} in {where}", hint, entry.place
                )
        elif not _absent(entry.value):
            value = decode(entry.value, field.type, entry.key, notes)
            if value is not WRONG:
                values[field.name] = value
    return wanted.cls(**values) if _is_complete(node, wanted, values, where, notes) else WRONG


def _struct_in(wanted: inspect.UnionType) -> inspect.StructType | None:
    """A group of keys that need not be there."""
    return next((one for one in wanted.types if isinstance(one, inspect.StructType)), None)


def _is_complete(node: Table, wanted: inspect.StructType, values: dict[str, Any], where: str, notes: Notes) -> bool:
    """Whether all that must be said is there; what was there and wrong has been complained about already."""
    needed = [field for field in wanted.fields if field.required and field.name not in values]
    for field in needed:
        if field.encode_name not in node.keys:
            message = f"{brief(where)} lacks {brief(field.encode_name)}, which has no default"
            notes.error("config.missing_key", message, "see the annotated example", node.place)
    return not needed


def _absent(node: Node) -> bool:
    """`key:` with nothing after it says nothing."""
    return isinstance(node, Scalar) and node.value is None


def _map(node: Node, wanted: inspect.DictType, where: str, notes: Notes) -> Any:
    if not isinstance(node, Table):
        return _wrong(node, "names with values", where, notes)
    values: dict[str, Any] = {}
    for entry in node:
        if not _fits_pattern(entry.key, wanted.key_type):
            hint = "use 1 to 64 of A-Z a-z 0-9 _ -"
            notes.error("config.name", f"{brief(entry.key)} cannot be a name in {where}", hint, entry.place)
        empty_struct = isinstance(wanted.value_type, inspect.StructType) and _absent(entry.value)
        child = Table((), entry.place) if empty_struct else entry.value
        if (value := decode(child, wanted.value_type, entry.key, notes)) is not WRONG:
            values[entry.key] = value
    return values


def _fits_pattern(key: str, wanted: inspect.Type) -> bool:
    pattern = wanted.pattern if isinstance(wanted, inspect.StrType) else None
    return pattern is None or re.search(pattern, key) is not None


def _list(node: Node, wanted: inspect.VarTupleType | inspect.ListType, where: str, notes: Notes) -> Any:
    if not isinstance(node, Listing):
        hint = f"write {where}: [first, second, …]"
        return _wrong(node, "a list", where, notes, hint)
    if wanted.min_length and len(node.items) < wanted.min_length:
        notes.error("config.value", f"{brief(where)} is an empty list", "give it an item, or remove it", node.place)
        return WRONG
    items = (decode(item, wanted.item_type, f"an item of {where}", notes) for item in node.items)
    return tuple(item for item in items if item is not WRONG)


def _scalar(node: Node, wanted: inspect.Type, where: str, notes: Notes) -> Any:
    if not isinstance(node, Scalar) or not _suits(node.value, wanted):
        return _wrong(node, _in_words(wanted), where, notes, _scalar_hint(node, wanted))
    reason = _out_of_bounds(node.value, wanted)
    if reason:
        notes.error("config.value", f"{brief(where)} {reason}", "the default is used", node.place)
        return WRONG
    return float(node.value) if isinstance(wanted, inspect.FloatType) and node.value is not None else node.value


def _suits(value: object, wanted: inspect.Type) -> bool:
    if isinstance(wanted, inspect.UnionType):
        return any(_suits(value, one) for one in wanted.types)
    if isinstance(wanted, inspect.LiteralType):
        return value in wanted.values
    if isinstance(value, bool):
        return isinstance(wanted, inspect.BoolType)
    kinds: tuple[tuple[type[inspect.Type], type | tuple[type, ...]], ...] = (
        (inspect.StrType, str),
        (inspect.IntType, int),
        (inspect.FloatType, (int, float)),
        (inspect.NoneType, type(None)),
    )
    return any(isinstance(wanted, kind) and isinstance(value, types) for kind, types in kinds)


def _out_of_bounds(value: object, wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.FloatType | inspect.IntType) and isinstance(value, int | float):
        if (wanted.gt is not None and value <= wanted.gt) or (wanted.ge is not None and value < wanted.ge):
            return f"must be more than {wanted.gt if wanted.gt is not None else wanted.ge}"
        if wanted.le is not None and not value <= wanted.le:
            return f"must be at most {wanted.le}"
    if isinstance(wanted, inspect.StrType) and isinstance(value, str):
        return _bad_text(value, wanted)
    if isinstance(wanted, inspect.UnionType):
        reasons = [_out_of_bounds(value, one) for one in wanted.types if _suits(value, one)]
        return "" if "" in reasons else next(iter(reasons), "")
    return ""


def _bad_text(value: str, wanted: inspect.StrType) -> str:
    if len(value) < (wanted.min_length or 0):
        return "is empty"
    if wanted.pattern is not None and re.search(wanted.pattern, value) is None:
        return f"must fit {wanted.pattern}"
    return ""


def _scalar_hint(node: Node, wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.LiteralType) and isinstance(node, Scalar):
        return did_you_mean(node.text, [str(value) for value in wanted.values])
    if isinstance(wanted, inspect.StrType) and isinstance(node, Scalar) and node.value is not None:
        return "put it into quotes"
    return ""


def _in_words(wanted: inspect.Type) -> str:
    if isinstance(wanted, inspect.LiteralType):
        return " or ".join(str(value) for value in wanted.values)
    if isinstance(wanted, inspect.BoolType):
        return "true or false"
    if isinstance(wanted, inspect.FloatType | inspect.IntType):
        return "a number"
    return "a text"


def _wrong(node: Node, wanted: str, where: str, notes: Notes, hint: str = "") -> Any:
    message = f"{brief(where)} should be {wanted}, not {kind_of(node)}"
    notes.error("config.type", message, hint or "see the annotated example", node.place)
    return WRONG
