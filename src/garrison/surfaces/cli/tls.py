"""`garrison tls …`: certificates for trials, and what the fleet shows its clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509

from garrison.identity.certificates import fingerprint_of
from garrison.kernel.errors import Conflict, NotFound, Unavailable
from garrison.kernel.home import write_private
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, YesOption, home_of
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.issuing import Issued, new_authority, new_client, new_server
from garrison.surfaces.node_trust import served_certificate

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
AUTHORITY, SERVER, CLIENT = "ca", "server", "client"


@app.callback()
def tls() -> None:
    """Make certificates for trials, and show what the fleet serves.

    Examples: garrison tls new ./tls --host mcp.example; garrison tls show
    """


@app.command("new")
def new(
    folder: Annotated[Path, typer.Argument(help="Where the files go; made if it is not there.", show_default=False)],
    host: Annotated[
        list[str] | None, typer.Option("--host", help="A name or address that clients use; may be repeated.")
    ] = None,
    client: Annotated[str, typer.Option("--client", help="The client's common name.")] = "trial",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long all of them are valid.")] = 30,
    yes: YesOption = False,
    output: OutputOption = Form.TABLE,
) -> None:
    """Make a private authority, and a certificate for the server and for one client, each with its key.

    For trials: the authority's key lies beside them. Localhost is always among the names.

    Examples: garrison tls new ./tls; garrison tls new ./tls --host mcp.example --client build --days 7
    """
    now, life = datetime.now(UTC), timedelta(days=days)
    authority = new_authority("garrison trial authority", now, life)
    hosts = list(dict.fromkeys([*(host or []), "localhost", "127.0.0.1", "::1"]))
    made = {
        AUTHORITY: authority,
        SERVER: new_server(authority, hosts, now, life),
        CLIENT: new_client(authority, client, f"urn:garrison:client:{client}", now, life),
    }
    _write(folder, made, replace=yes)
    show([_row(name, folder, one) for name, one in made.items()], output, ("what", "certificate", "key", "sha256"))
    if output is Form.TABLE:
        say(_advice(folder.absolute(), client))


@app.command("show")
def show_served(home: HomeOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Show the certificate that the running fleet serves.

    Examples: garrison tls show; garrison tls show --output json
    """
    path = served_certificate(home_of(home, env_name))
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except FileNotFoundError as error:
        hint = "set edge.tls_certificate and edge.tls_key; `garrison tls new` makes them for trials"
        raise NotFound("tls.none", "no certificate is served from this home", hint) from error
    show([_served(found)], output, ("subject", "names", "issuer", "expires", "sha256"))


def _write(folder: Path, made: dict[str, Issued], *, replace: bool) -> None:
    present = [path for name in made for path in _paths(folder, name) if path.exists()]
    if present and not replace:
        raise Conflict("tls.present", f"{present[0]} is there already", "another folder, or --yes to replace it")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, one in made.items():
            certificate, key = _paths(folder, name)
            write_private(key, one.key_pem)
            write_private(certificate, one.pem)
    except OSError as error:
        raise Unavailable(
            "tls.unwritable", f"{folder} cannot be written to: {error.strerror}", "another folder"
        ) from error


def _paths(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.pem", folder / f"{name}.key"


def _row(name: str, folder: Path, one: Issued) -> dict[str, Any]:
    certificate, key = _paths(folder, name)
    return {
        "what": name,
        "certificate": str(certificate),
        "key": str(key),
        "sha256": fingerprint_of(one.certificate),
    }


def _served(found: x509.Certificate) -> dict[str, Any]:
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return {
        "subject": found.subject.rfc4514_string(),
        "names": ", ".join(str(name.value) for name in names),
        "issuer": found.issuer.rfc4514_string(),
        "expires": found.not_valid_after_utc.isoformat(),
        "sha256": fingerprint_of(found),
    }


def _advice(folder: Path, client: str) -> str:
    return f"""
In garrison.yaml:

  settings:
    edge:
      tls_certificate: {folder}/server.pem
      tls_key: {folder}/server.key
      client_ca: {folder}/ca.pem               # these two for client certificates
      client_certificates: optional
  certificates:
    {client}: {{uri: "urn:garrison:client:{client}", roles: []}}

Clients trust {folder}/ca.pem, for instance: curl --cacert {folder}/ca.pem https://localhost:8420/healthz
"""
