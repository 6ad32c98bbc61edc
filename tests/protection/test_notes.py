from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Invalid
from garrison.protection import verifier
from garrison.protection.notes import PublicKey, parse, parse_public, public_of, sign
from garrison.protection.pages import Head

NAME = "garrison/ledger/5f0c0a0b0c0d0e0f"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOTE = sign(NAME, Head(4711, bytes(range(32))), "2026-11-22T00:14:46.123456Z", [KEY])


def test_a_checkpoint_has_the_form_of_a_signed_note() -> None:
    lines = NOTE.split("\n")
    assert lines[:3] == [NAME, "4711", base64.b64encode(bytes(range(32))).decode()]
    assert lines[3:5] == ["time 2026-11-22T00:14:46.123456Z", ""]
    assert lines[5].startswith(f"— {NAME} ")
    raw = base64.b64decode(lines[5].split(" ")[2])
    assert len(raw) == 4 + 64
    KEY.public_key().verify(raw[4:], ("\n".join(lines[:4]) + "\n").encode())


def test_the_form_of_a_public_key_is_that_of_go_and_c2sp() -> None:
    """The example of golang.org/x/mod/sumdb/note."""
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(parse_public(text)) == text
    assert parse_public(text).name == "PeterNeumann"


def test_the_example_of_the_note_package_is_signed_by_its_key() -> None:
    public = parse_public("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:])
    assert public_of(key, "PeterNeumann") == public


def test_what_is_signed_is_read_back_and_believed() -> None:
    found = parse(NOTE)
    assert found is not None
    assert (found.origin, found.head) == (NAME, Head(4711, bytes(range(32))))
    assert found.is_signed_by(public_of(KEY, NAME))
    assert not found.is_signed_by(public_of(OTHER, NAME))
    assert not found.is_signed_by(public_of(KEY, "another"))


def test_both_keys_sign_at_a_change_and_the_last_is_the_new_one() -> None:
    found = parse(sign(NAME, Head(1, bytes(32)), "now", [KEY, OTHER]))
    assert found is not None
    assert found.is_signed_by(public_of(KEY, NAME))
    assert found.is_signed_by(public_of(OTHER, NAME))
    assert found.signer == f"{NAME}+{public_of(OTHER, NAME).id.hex()}"


@pytest.mark.parametrize("at", range(len(NOTE.encode())))
def test_no_byte_of_a_checkpoint_can_be_changed(at: int) -> None:
    """By us, and by the verifier that others run."""
    public = public_of(KEY, NAME)
    for change in (1, 0x20, 0x80):
        changed = bytearray(NOTE.encode())
        changed[at] ^= change
        text = changed.decode("utf-8", "replace")
        found = parse(text)
        assert found is None or not found.is_signed_by(public)
        with pytest.raises(verifier.Refused):
            verifier.open_checkpoint(text, verifier.read_key(str(public)))


@given(st.text(max_size=200))
def test_anything_may_be_read_and_nothing_is_believed(text: str) -> None:
    public = public_of(KEY, NAME)
    for candidate in (text, text + NOTE, NOTE + text, NOTE.replace("4711", text or "x", 1)):
        found = parse(candidate)
        assert candidate == NOTE or found is None or not found.is_signed_by(public)


@pytest.mark.parametrize("text", ["", "a", "a+b+c", "a+00000000+AQ==", str(public_of(KEY, NAME))[:-4] + "AAAA"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse_public(text)
    with pytest.raises(verifier.Refused):
        verifier.read_key(text)


def test_blanks_around_a_public_key_do_not_matter() -> None:
    public = public_of(KEY, NAME)
    assert parse_public(f" {public}\n") == PublicKey(NAME, KEY.public_key().public_bytes_raw())
