"""Settings: typed groups, loaded as defaults < file < environment < flags. Every value remembers where it came from.

A group is a frozen msgspec Struct; each field is documented with `Annotated[T, msgspec.Meta(description=…)]`. The
whole is a frozen Struct whose fields are groups. In the environment `edge.listen` is `GARRISON_EDGE__LISTEN`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import inspect as shapes

PREFIX = "GARRISON_"
SEPARATOR = "__"

Source = Literal["default", "file", "environment", "flag"]
S = TypeVar("S", bound=msgspec.Struct)


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from. `where`: the file, the variable or the flag; empty for a default."""

    source: Source
    where: str = ""


class SettingProblem(msgspec.Struct, frozen=True):
    """One setting that cannot be used; the value itself is not repeated."""

    setting: str
    message: str
    hint: str
    origin: Origin


@dataclass(frozen=True)
class LoadedSettings(Generic[S]):
    """`values` are usable only when there are no problems; where there was one, the value stays as it was below."""

    values: S
    origins: Mapping[str, Origin]
    problems: tuple[SettingProblem, ...] = ()


@dataclass(frozen=True)
class Field:
    """One documented setting."""

    name: str
    """Dotted: `edge.listen`."""
    description: str
    annotation: Any
    default: Any

    @property
    def variable(self) -> str:
        return PREFIX + self.name.upper().replace(".", SEPARATOR)

    @property
    def is_list(self) -> bool:
        described = shapes.type_info(self.annotation)
        shape = described.type if isinstance(described, shapes.Metadata) else described
        return isinstance(shape, shapes.VarTupleType)


@dataclass(frozen=True)
class Given:
    """A value from one layer, not converted yet. `is_text`: from the environment or a flag, where all is text."""

    setting: str
    value: object
    origin: Origin
    is_text: bool


def fields_of(model: type[msgspec.Struct]) -> dict[str, Field]:
    """All settings by dotted name, in the order in which they are declared."""
    return {
        f"{group.name}.{field.name}": Field(
            f"{group.name}.{field.name}", _description(field.type), field.type, _default(field)
        )
        for group in msgspec.structs.fields(model)
        for field in msgspec.structs.fields(group.type)
    }


def load_settings(
    model: type[S],
    *,
    file: Mapping[str, Any] | None = None,
    file_name: str = "",
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, str] | None = None,
) -> LoadedSettings[S]:
    """Put the layers on top of each other; all problems come at once.

    file: groups of plain values. environment: the process's whole environment. flags: dotted names and texts.
    """
    known = fields_of(model)
    values = {name: field.default for name, field in known.items()}
    origins = dict.fromkeys(known, Origin("default"))
    problems: list[SettingProblem] = []
    layers = (_from_file(file or {}, file_name), _from_environment(environment or {}), _from_flags(flags or {}))
    for given in (one for layer in layers for one in layer):
        problem = _take(given, known, values)
        if problem is None:
            origins[given.setting] = given.origin
        else:
            problems.append(problem)
    return LoadedSettings(_assemble(model, values), origins, tuple(problems))


def _from_file(groups: Mapping[str, Any], file_name: str) -> Iterator[Given]:
    origin = Origin("file", file_name)
    for group, fields in groups.items():
        if isinstance(fields, Mapping):
            for field, value in fields.items():
                yield Given(f"{group}.{field}", value, origin, is_text=False)
        else:
            yield Given(str(group), fields, origin, is_text=False)


def _from_environment(environment: Mapping[str, str]) -> Iterator[Given]:
    """Only names with the separator are settings; `GARRISON_HOME` and the like mean other things."""
    for variable in sorted(environment):
        if variable.startswith(PREFIX) and SEPARATOR in variable:
            name = variable.removeprefix(PREFIX).lower().replace(SEPARATOR, ".", 1)
            yield Given(name, environment[variable], Origin("environment", variable), is_text=True)


def _from_flags(flags: Mapping[str, str]) -> Iterator[Given]:
    for name, value in flags.items():
        yield Given(name, value, Origin("flag", name), is_text=True)


def _take(given: Given, known: Mapping[str, Field], values: dict[str, Any]) -> SettingProblem | None:
    """Convert the value and put it in its place, or say what is wrong with it."""
    field = known.get(given.setting)
    if field is None:
        return _unknown(given, known)
    try:
        value = _parts(given.value) if given.is_text and field.is_list else given.value
        values[field.name] = msgspec.convert(value, field.annotation, strict=not given.is_text)
    except msgspec.ValidationError as error:
        return SettingProblem(field.name, f"{field.name}: {_plainly(str(error))}", field.description, given.origin)
    return None


def _unknown(given: Given, known: Mapping[str, Field]) -> SettingProblem:
    groups = sorted({name.partition(".")[0] for name in known})
    if given.setting in groups:
        message = f"{given.setting} is a group of settings and holds no value itself"
        fields = ", ".join(name.partition(".")[2] for name in known if name.startswith(f"{given.setting}."))
        return SettingProblem(given.setting, message, f"its settings are: {fields}", given.origin)
    near = get_close_matches(given.setting, known, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else "`garrison settings show` lists them all"
    return SettingProblem(given.setting, f"there is no setting {given.setting}", hint, given.origin)


def _parts(value: object) -> object:
    """A list as one text: separated by commas."""
    return [part.strip() for part in str(value).split(",") if part.strip()]


def _plainly(message: str) -> str:
    """msgspec names the place inside the value, which has none here; a pattern tells nobody anything."""
    if " matching regex " in message:
        return "this is not of the form that is asked for"
    return message.partition(" - at `")[0]


def _assemble(model: type[S], values: Mapping[str, Any]) -> S:
    groups: dict[str, msgspec.Struct] = {}
    for group in msgspec.structs.fields(model):
        inside = {field.name: values[f"{group.name}.{field.name}"] for field in msgspec.structs.fields(group.type)}
        groups[group.name] = group.type(**inside)
    return model(**groups)


def _description(annotation: Any) -> str:
    metas = getattr(annotation, "__metadata__", ())
    return next((meta.description for meta in metas if getattr(meta, "description", None)), "")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        factory: Callable[[], Any] = field.default_factory
        return factory()
    return field.default
