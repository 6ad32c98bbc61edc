"""Sending to receivers: sockets that parse what comes, and the real rsyslogd over UDP, TCP and TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from certificates import Pem, make_certificates
from garrison.kernel.errors import Denied, Invalid, Unavailable
from garrison.protection.entries import Entry, Recorded
from garrison.protection.export import syslog
from garrison.protection.export.event import Origin
from garrison.protection.export.receiver import Address, Receiver, address_of
from garrison.protocol.addresses import Rules, networks
from protection_receivers import Listener, eventually, free_port, rsyslogd

HOSTILE = Entry(1_795_331_696 * 10**9, "refusal", "c1", 'k"]\n<34>1 - evil', "tools/call", "git", "ü\x1b[31m", "x")


def messages(count: int = 3) -> list[bytes]:
    one = [Recorded(seq, HOSTILE, "") for seq in range(1, count + 1)]
    return [syslog.render(each, Origin("fleet-1")) for each in one]


@pytest.mark.parametrize(
    ("url", "port"),
    [("syslog+udp://h", 514), ("syslog+tcp://h", 601), ("syslog+tls://h", 6514), ("syslog+tls://[::1]:7", 7)],
)
def test_a_url_says_transport_host_and_port(url: str, port: int) -> None:
    assert address_of(url).port == port


@pytest.mark.parametrize(
    "url",
    ["http://h", "syslog://h", "syslog+tcp://", "syslog+tcp://h:x", "syslog+tcp://u:p@h", "syslog+tcp://h/p", "x"],
)
def test_what_is_no_receiver_is_refused(url: str) -> None:
    with pytest.raises(Invalid, match="no syslog receiver"):
        address_of(url)


def test_messages_arrive_whole_over_tcp(listener: Listener) -> None:
    receiver = Receiver(Address("tcp", "127.0.0.1", listener.port))
    receiver.send(messages(500))
    receiver.delivered()
    receiver.close()
    eventually(lambda: len(listener.messages) == 500, "all messages")
    assert listener.messages == messages(500)


def test_messages_arrive_over_tls_with_a_certificate_that_is_trusted(pem: Pem) -> None:
    with Listener(pem) as listener:
        receiver = Receiver(Address("tls", "localhost", listener.port, ca=str(pem.ca)))
        receiver.send(messages())
        receiver.delivered()
        receiver.close()
        eventually(lambda: listener.messages == messages(), "all messages")


def test_a_certificate_of_somebody_else_is_not_taken(pem: Pem, tmp_path: Path) -> None:
    other = make_certificates(tmp_path)
    with Listener(pem) as listener:
        for ca in (str(other.ca), ""):
            with pytest.raises(Unavailable, match="cannot be reached"):
                Receiver(Address("tls", "localhost", listener.port, ca=ca))


def test_a_certificate_for_another_name_is_not_taken(tmp_path: Path, pem: Pem) -> None:
    with Listener(pem) as listener, pytest.raises(Unavailable, match="cannot be reached"):
        Receiver(Address("tls", "127.0.0.2", listener.port, ca=str(pem.ca)))


def test_nobody_there_is_an_error_that_says_so() -> None:
    with pytest.raises(Unavailable, match="cannot be reached"):
        Receiver(Address("tcp", "127.0.0.1", free_port()))


def test_where_no_connection_may_lead_no_receiver_is_reached(listener: Listener) -> None:
    denied = Rules(deny=networks(["127.0.0.0/8"]))
    for host in ("127.0.0.1", "localhost"):
        with pytest.raises(Denied, match=r"outbound\.deny"):
            Receiver(address_of(f"syslog+tcp://{host}:{listener.port}", rules=denied))
    with pytest.raises(Denied, match="metadata"):
        Receiver(Address("udp", "169.254.169.254", 514))


def test_a_receiver_that_has_gone_is_noticed_before_anything_counts_as_delivered(listener: Listener) -> None:
    receiver = Receiver(Address("tcp", "127.0.0.1", listener.port))
    receiver.send(messages())
    receiver.delivered()
    eventually(lambda: len(listener.messages) == 3, "the first messages")
    listener.go_away()
    with pytest.raises(Unavailable):
        _deliver(receiver)
    receiver.close()


def _deliver(receiver: Receiver) -> None:
    receiver.send(messages())
    receiver.delivered()


@pytest.mark.slow
def test_rsyslogd_understands_every_message_over_udp_tcp_and_tls(tmp_path: Path, pem: Pem) -> None:
    with rsyslogd(tmp_path, pem) as real:
        for transport in ("udp", "tcp", "tls"):
            address = address_of(f"syslog+{transport}://localhost:{real.ports[transport]}", ca=str(pem.ca))
            receiver = Receiver(address)
            receiver.send(messages())
            receiver.delivered()
            receiver.close()
        eventually(lambda: len(real.seen()) >= 9, "all messages of all transports")
        for version, priority, host, app, msgid, data, text in real.seen():
            assert (version, priority, host, app, msgid) == ("1", "108", "fleet-1", "garrison", "refusal")
            assert data.startswith("[garrison@32473 seq=") and data.endswith('outcome="x"]')  # noqa: PT018
            assert "evil" in text
        assert len(real.seen()) == 9
