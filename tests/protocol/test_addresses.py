"""Which addresses our own connections may lead to, and how a host may be written."""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Invalid
from garrison.protocol.addresses import Rules, embedded, is_inside_name, kind_of, networks, plain_host
from garrison.protocol.transports.origin import parse_found_url, parse_url

FOUR = st.integers(0, 2**32 - 1).map(IPv4Address)
SIX = st.integers(0, 2**128 - 1).map(IPv6Address)
INSIDE = ("127.0.0.1", "10.0.0.1", "172.31.255.254", "192.168.1.1", "169.254.1.1", "100.64.0.1", "::1", "fd00::1")
NEVER = (
    *("0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.51.100.7", "203.0.113.9"),
    *("198.18.0.1", "192.0.0.8", "192.88.99.1", "::", "ff02::1", "2001:db8::1", "3fff::1", "100::1", "4000::1"),
    *("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "2002:7f00:1::", "2002:808:808::1", "64:ff9b::7f00:1"),
    *("64:ff9b::808:808", "64:ff9b:1::a00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::ffff:0:10.0.0.1"),
    *("2a00:1450::5efe:10.0.0.1", "2a00:1450::200:5efe:a00:1"),
)


def objection(address: str, host: str, naming: str, rules: Rules | None = None) -> str:
    return (rules or Rules()).objection(ipaddress.ip_address(address), host, naming)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", INSIDE)
def test_what_is_inside_is_reached_only_if_the_administrator_means_it(address: str) -> None:
    assert not objection(address, address, "written")
    assert not objection(address, "localhost", "written")
    assert not objection(address, "wiki.example.com", "private")
    assert objection(address, "wiki.example.com", "written")
    assert objection(address, address, "found")
    assert objection(address, "localhost", "found")


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("naming", ["written", "private", "found"])
def test_what_is_no_place_for_a_server_is_never_reached(address: str, naming: str) -> None:
    assert objection(address, address, naming)
    assert objection(address, "metadata.internal", naming)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])
def test_public_addresses_are_reached(address: str) -> None:
    assert not objection(address, "example.com", "found")


@given(st.one_of(FOUR, SIX))
def test_nothing_is_public_that_python_does_not_call_global(address: IPv4Address | IPv6Address) -> None:
    if kind_of(address) == "public":
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(FOUR, st.sampled_from(["::ffff:{}", "::{}", "64:ff9b::{}", "::ffff:0:{}"]))
def test_an_address_in_another_is_found_and_never_reached_by_itself(inner: IPv4Address, form: str) -> None:
    outer = IPv6Address(form.format(inner))
    assert Rules().objection(outer, str(outer), "private") or outer == IPv6Address("::1")
    if kind_of(outer) == "translated":
        assert inner in embedded(outer)


@given(FOUR)
def test_an_allowed_translator_leads_to_public_addresses_alone(inner: IPv4Address) -> None:
    rules = Rules(allow=networks(["64:ff9b::/96", "2002::/16"]))
    for outer in (IPv6Address(f"64:ff9b::{inner}"), IPv6Address(int(IPv6Address("2002::")) | int(inner) << 80)):
        assert bool(rules.objection(outer, "example.com", "found")) == (kind_of(inner) != "public")


@given(FOUR, st.integers(8, 32))
def test_denied_wins_over_allowed_also_in_disguise(address: IPv4Address, bits: int) -> None:
    network = str(ipaddress.ip_network((address, bits), strict=False))
    allowed, denied = Rules(allow=networks([network])), Rules(networks([network, "::/0"]), networks([network]))
    assert not allowed.objection(address, str(address), "found")
    for one in (address, IPv6Address(f"::ffff:{address}"), IPv6Address(f"64:ff9b::{address}")):
        assert "outbound.deny" in denied.objection(one, str(one), "written")


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="no network"):
        networks(["10.0.0.0/33"])


ODD = (
    *(
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "0",
        "0x",
        "127.0.0.01",
    ),
    *("1.2.3.4.5", "256.1.1.1", "１２７.０.０.１", "127。0。0。1", "①②⑦.0.0.1", "exa mple.com", "127%2e0.0.1"),
    *(
        "a..b",
        ".",
        "..",
        "",
        "-a.com",
        "a-.com",
        "a" * 64 + ".com",
        "x." * 130 + "com",
        "127.0.0.1..",
        "foo.0x1",
        "foo.1",
    ),
    *("fe80::1%eth0", "::1%1", "::g", "1:2:3", "exa$mple.com", "a,b", "a\x00b"),
)


@pytest.mark.parametrize("host", ODD)
def test_a_host_that_readers_understand_differently_is_refused(host: str) -> None:
    with pytest.raises(Invalid):
        plain_host(host)


@pytest.mark.parametrize(
    ("host", "plain"),
    [
        ("Example.COM.", "example.com"),
        ("127.0.0.1.", "127.0.0.1"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("0:0::1", "::1"),
        ("my_service", "my_service"),
        ("::FFFF:7f00:1", "::ffff:7f00:1"),
    ],
)
def test_one_spelling_stands_for_each_host(host: str, plain: str) -> None:
    assert plain_host(host) in {plain, str(ipaddress.ip_address(plain)) if ":" in plain else plain}


def _spelt(number: int, form: str) -> str:
    """An address as `inet_aton` would also read it."""
    octets = number.to_bytes(4, "big")
    return {
        "decimal": str(number),
        "hex": hex(number),
        "octal": f"0{number:o}",
        "short": f"{octets[0]}.{int.from_bytes(octets[1:], 'big')}",
        "octal quad": ".".join(f"0{octet:o}" for octet in octets),
        "hex quad": ".".join(hex(octet) for octet in octets),
    }[form]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["decimal", "hex", "octal", "short", "octal quad", "hex quad"]))
def test_what_only_old_resolvers_take_for_an_address_is_refused(number: int, form: str) -> None:
    spelt = _spelt(number, form)
    assert socket.inet_aton(spelt) == number.to_bytes(4, "big")  # so that it is worth refusing
    with pytest.raises(Invalid):
        plain_host(spelt)


@given(st.text(max_size=30))
def test_a_plain_host_is_plain_to_everybody(host: str) -> None:
    try:
        plain = plain_host(host)
    except Invalid:
        return
    assert plain.isascii()
    assert plain_host(plain) == plain
    try:
        read = socket.inet_aton(plain)
    except OSError:
        return
    assert IPv4Address(read) == IPv4Address(plain)


@pytest.mark.parametrize("url", ["http://a@b/", "https://u:p@host/x", "https://host/x#y", "https://" + "a" * 3000])
def test_a_named_url_holds_no_user_and_no_fragment(url: str) -> None:
    with pytest.raises(Invalid):
        parse_found_url(url)


@pytest.mark.parametrize(
    "url", ["http://good.example\\@127.0.0.1/", "http://127.0.0.1\t/", "http://a\r\nb/", "ftp://a/"]
)
def test_a_url_that_readers_understand_differently_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        parse_url(url)


def test_a_url_s_host_is_made_plain() -> None:
    assert parse_url("HTTPS://EXAMPLE.com./mcp?x=1").base == "https://example.com"
    assert parse_url("http://[::0001]:80/").base == "http://[::1]"


def test_names_that_nobody_can_register_are_inside() -> None:
    assert all(map(is_inside_name, ("localhost", "wiki", "db.internal", "a.b.svc.cluster.local", "printer.local")))
    assert not any(map(is_inside_name, ("example.com", "local.example", "internal.dev", "127.0.0.1.nip.io")))
