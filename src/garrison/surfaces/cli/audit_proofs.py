"""`garrison audit verify`, `checkpoint`, `prove`, `key`, `verifier`: what makes the ledger more than our word."""

from __future__ import annotations

import getpass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from garrison.kernel.errors import Conflict, Invalid, NotFound
from garrison.protection import proven, verifier
from garrison.protection.checking import Verdict
from garrison.protection.head import head_path
from garrison.protection.ledger import writing_once
from garrison.protection.notes import Checkpoint, parse
from garrison.protection.place import Place
from garrison.protection.verifying import public_key, verify_log
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.fleet_settings import place_of_fleet
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, confirm, home_of
from garrison.surfaces.cli.output import Form, say, show, tell

SinceOption = Annotated[
    Path | None,
    typer.Option("--since", metavar="FILE", help="A checkpoint kept elsewhere; the log must be that one, grown."),
]


def ledger_of(home: Path | None, env_name: str) -> Place:
    """NotFound when there is no ledger there."""
    place = place_of_fleet(home_of(home, env_name), env_name)
    if not place.url and not place.path.exists() and not head_path(place.path).exists():
        raise NotFound("ledger.missing", f"There is no ledger at {place}.", "Start the fleet once.")
    return place


def verify(
    export: Annotated[
        Path | None, typer.Argument(help="An export or a proof, instead of this home's ledger.", show_default=False)
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="PUB", help="For EXPORT: the public key, or a file with it.")
    ] = "",
    since: SinceOption = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Verify the whole log against its checkpoints; or an export or a proof, offline, with the public key.

    Exits with 1 when an entry was changed, removed or inserted, or when the log is not the one it was.

    Examples: garrison audit verify --since kept.checkpoint; garrison audit verify all.jsonl --key ledger.pub
    """
    if (export is None) != (not key):
        raise Invalid("audit.key", "An export is verified with a public key.", "garrison audit verify EXPORT --key PUB")
    kept = _kept(since) if since else None
    if export is not None:
        _verify_file(export, key, kept, output)
    else:
        _show_verdict(verify_log(ledger_of(home, env_name), [kept] if kept else []), output)


def checkpoint(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Vouch for the log as it is now: a signed text, to be kept where the ledger's owner cannot change it.

    Examples: garrison audit checkpoint > kept.checkpoint; garrison audit checkpoint --output json
    """
    with writing_once(ledger_of(home, env_name)) as log:
        made = log.checkpoint()
    if made is None:
        raise Conflict("ledger.empty", "There is nothing to vouch for yet.", "Start the fleet once.")
    _show_checkpoint(made, output)


def key(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Print the public key that checkpoints are verified with.

    Examples: garrison audit key > ledger.pub
    """
    place = ledger_of(home, env_name)
    with proven.proving(place) as (store, _):
        public = public_key(place, store)
    if output is Form.TABLE:
        say(str(public))
    else:
        show({"key": str(public), "name": public.name, "id": public.id.hex()}, output)


def rotate_key(
    yes: YesOption = False, home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE
) -> None:
    """Sign with a new key from now on. The change is recorded, and vouched for by both keys; the former one is deleted.

    Examples: garrison audit rotate-key --yes; garrison audit key > ledger.pub
    """
    confirm("Whoever verifies exports needs the new public key from now on. Rotate?", yes)
    with writing_once(ledger_of(home, env_name)) as log:
        made = log.rotate_key(f"local:{getpass.getuser()}")
    tell("rotated; `garrison audit key` prints the new public key")
    _show_checkpoint(made, output)


def prove(
    seq: Annotated[int | None, typer.Argument(min=1, help="Prove that this entry is in the log.")] = None,
    size: Annotated[
        int | None, typer.Option("--from", metavar="SIZE", min=0, help="Prove that the log is that of SIZE, grown.")
    ] = None,
    home: HomeOption = None,
    env_name: EnvOption = "",
) -> None:
    """Print a proof as JSON, against a checkpoint: of one entry (inclusion), or of the log's past (consistency).

    Examples: garrison audit prove 17 > proof.json; garrison audit prove --from 4000 > grown.json
    """
    place = ledger_of(home, env_name)
    if (seq is None) == (size is None):
        raise Invalid(
            "audit.prove", "Either one entry or an earlier size is proved.", "prove SEQ, or prove --from SIZE"
        )
    proof = proven.inclusion(place, seq) if seq is not None else proven.consistency(place, size or 0)
    say(proven.encode(proof).decode())


def print_verifier() -> None:
    """Print a program that verifies exports and proofs; it needs Python and `cryptography`, and nothing of Garrison.

    Examples: garrison audit verifier > verify.py
    """
    say((files("garrison.protection") / "verifier.py").read_text(encoding="utf-8"))


def _kept(path: Path) -> Checkpoint:
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("audit.since", f"{path} cannot be read: {error}.") from error
    if found is None:
        raise Invalid("audit.since", f"{path} holds no checkpoint.", "`garrison audit checkpoint` prints one.")
    return found


def _verify_file(path: Path, key: str, kept: Checkpoint | None, output: Form) -> None:
    since = verifier.read_checkpoint(kept.note) if kept else None
    try:
        found = verifier.verify_file(path, verifier.read_key(key), since)
        reason, pruned, at = "; ".join(found.losses), found.pruned, found.checkpoint.size
        result = {"first": found.first, "last": found.last, "pruned": pruned, "checkpoint": at}
        words = f"{path} holds: entries {found.first} to {found.last} of {found.checkpoint.origin}, at {at} entries"
    except verifier.Refused as error:
        result, reason, words = {}, str(error), ""
    except OSError as error:
        raise NotFound("audit.export", f"{path} cannot be read: {error}.") from error
    if output is not Form.TABLE:
        show({"ok": not reason, **result, "reason": reason}, output)
    else:
        say(f"{path} does NOT hold: {reason}" if reason else words)
    raise typer.Exit(exits.FOUND if reason else exits.OK)


def _show_verdict(verdict: Verdict, output: Form) -> None:
    if output is not Form.TABLE:
        result = {"ok": verdict.ok, "entries": verdict.entries, "first_bad": verdict.first_bad_seq}
        counts = {"checkpoints": verdict.checkpoints, "pruned": verdict.pruned}
        show({**result, **counts, "reason": verdict.reason}, output)
    elif verdict.ok:
        gone = f", {verdict.pruned} of them without a body" if verdict.pruned else ""
        say(f"the ledger holds: {verdict.entries} entries{gone}, {verdict.checkpoints} checkpoints")
    else:
        say(f"the ledger does NOT hold from entry {verdict.first_bad_seq} on: {verdict.reason}")
    raise typer.Exit(exits.OK if verdict.ok else exits.FOUND)


def _show_checkpoint(made: Checkpoint, output: Form) -> None:
    if output is Form.TABLE:
        say(made.note)
    else:
        show({"origin": made.origin, "size": made.head.seq, "root": made.head.root.hex(), "note": made.note}, output)
