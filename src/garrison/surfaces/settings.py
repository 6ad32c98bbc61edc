"""The settings of a fleet's processes: one group per room. Static: a change needs `garrison down` and `up`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from garrison.kernel.errors import Invalid
from garrison.kernel.settings import LoadedSettings, SettingProblem, load_settings
from garrison.protection.export.receiver import address_of
from garrison.protocol.addresses import networks
from garrison.surfaces.setting_groups.approvals import ApprovalSettings
from garrison.surfaces.setting_groups.audit import AuditSettings
from garrison.surfaces.setting_groups.calls import (
    BreakerSettings,
    CacheSettings,
    LimitSettings,
    RetrySettings,
    SpreadSettings,
)
from garrison.surfaces.setting_groups.edge import EdgeSettings
from garrison.surfaces.setting_groups.identity import AuthSettings
from garrison.surfaces.setting_groups.outbound import OutboundSettings
from garrison.surfaces.setting_groups.pins import PinSettings
from garrison.surfaces.setting_groups.records import LedgerGroup, LogSettings
from garrison.surfaces.setting_groups.supervisor import SupervisorSettings


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    edge: EdgeSettings = EdgeSettings()
    auth: AuthSettings = AuthSettings()
    approvals: ApprovalSettings = ApprovalSettings()
    limits: LimitSettings = LimitSettings()
    breaker: BreakerSettings = BreakerSettings()
    spread: SpreadSettings = SpreadSettings()
    retry: RetrySettings = RetrySettings()
    cache: CacheSettings = CacheSettings()
    ledger: LedgerGroup = LedgerGroup()
    logs: LogSettings = LogSettings()
    supervisor: SupervisorSettings = SupervisorSettings()
    outbound: OutboundSettings = OutboundSettings()
    pins: PinSettings = PinSettings()
    audit: AuditSettings = AuditSettings()


def load(
    file: Mapping[str, Any], file_name: str, environment: Mapping[str, str], flags: Mapping[str, str]
) -> LoadedSettings[Settings]:
    """All layers; the rules between settings are checked as well."""
    loaded = load_settings(Settings, file=file, file_name=file_name, environment=environment, flags=flags)
    single = (_plaintext_rule(loaded), _redis_rule(loaded), _ledger_rule(loaded), _forward_rule(loaded))
    rules = [rule for rule in (*single, *_tls_rules(loaded), *_network_rules(loaded)) if rule is not None]
    return replace(loaded, problems=(*loaded.problems, *rules)) if rules else loaded


def listen_address(listen: str) -> tuple[str, int]:
    """`HOST:PORT` or `[IPv6]:PORT` in two. Raises `Invalid`."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise Invalid(
            "settings.listen", f"{listen!r} is not HOST:PORT", "for example 127.0.0.1:8420, or port 0 for any"
        )
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _forward_rule(loaded: LoadedSettings[Settings]) -> SettingProblem | None:
    forward = loaded.values.audit.forward
    try:
        if forward:
            address_of(forward)
    except Invalid as error:
        message = f"audit.forward: {error.message}"
        return SettingProblem("audit.forward", message, error.hint, loaded.origins["audit.forward"])
    return None


def _network_rules(loaded: LoadedSettings[Settings]) -> Iterator[SettingProblem]:
    outbound = loaded.values.outbound
    for name, given in (("outbound.allow", outbound.allow), ("outbound.deny", outbound.deny)):
        try:
            networks(given)
        except Invalid as error:
            yield SettingProblem(name, f"{name}: {error.message}", error.hint, loaded.origins[name])


def _plaintext_rule(loaded: LoadedSettings[Settings]) -> SettingProblem | None:
    edge, origin = loaded.values.edge, loaded.origins["edge.listen"]
    host = edge.listen.rpartition(":")[0].strip("[]")
    if is_loopback(host) or edge.allow_plaintext or edge.tls_certificate:
        return None
    message = f"edge.listen: {host} can be reached by others, and keys would travel readable"
    hint = (
        "set edge.tls_certificate and edge.tls_key (`garrison tls new` makes them for trials), listen on 127.0.0.1, "
        "or put a proxy with TLS in front and set edge.allow_plaintext"
    )
    return SettingProblem("edge.listen", message, hint, origin)


def _tls_rules(loaded: LoadedSettings[Settings]) -> Iterator[SettingProblem]:
    """What of TLS means nothing alone."""
    edge = loaded.values.edge
    if bool(edge.tls_certificate) != bool(edge.tls_key):
        there, missing = ("tls_certificate", "tls_key") if edge.tls_certificate else ("tls_key", "tls_certificate")
        message = f"edge.{there} is given without edge.{missing}"
        yield SettingProblem(f"edge.{there}", message, "both, or none", loaded.origins[f"edge.{there}"])
    if edge.client_certificates != "none" and not (edge.tls_certificate and edge.client_ca):
        message = "edge.client_certificates asks for certificates, which needs edge.tls_certificate and edge.client_ca"
        hint = "say whose certificates are taken, or set it to none"
        yield SettingProblem("edge.client_certificates", message, hint, loaded.origins["edge.client_certificates"])
    if edge.client_ca and edge.client_certificates == "none":
        message = "edge.client_ca is given, but edge.client_certificates asks nobody for a certificate"
        yield SettingProblem(
            "edge.client_ca", message, "set it to optional or required", loaded.origins["edge.client_ca"]
        )


def _ledger_rule(loaded: LoadedSettings[Settings]) -> SettingProblem | None:
    url, origin = loaded.values.ledger.url, loaded.origins["ledger.url"]
    if url and not url.startswith(("postgresql://", "postgres://", "${")):
        hint = "postgresql://USER@HOST/DATABASE, or empty for the home's own SQLite"
        return SettingProblem("ledger.url", "ledger.url is no address of a PostgreSQL", hint, origin)
    try:
        parts = urlsplit(url)
        given = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    except ValueError:
        return SettingProblem("ledger.url", "ledger.url cannot be read", "postgresql://USER@HOST/DATABASE", origin)
    if all("${" in one or not one for one in given):
        return None
    hint = "write ${secret:NAME} in its place, and store it: `garrison secrets set NAME`"
    return SettingProblem("ledger.url", "ledger.url holds a password in plain text", hint, origin)


def _redis_rule(loaded: LoadedSettings[Settings]) -> SettingProblem | None:
    """A password belongs among the secrets: settings are shown, and stored readable."""
    url = loaded.values.limits.redis_url
    try:
        password = urlsplit(url).password or ""
    except ValueError:
        password = ""
    if not password or "${" in password:
        return None
    message = "limits.redis_url holds a password in plain text"
    hint = "`garrison secrets set REDIS`, and write redis://:${secret:REDIS}@HOST:6379/0"
    return SettingProblem("limits.redis_url", message, hint, loaded.origins["limits.redis_url"])
