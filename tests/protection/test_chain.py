from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from garrison.protection.chain import GENESIS, Head, Page, check, extend, head_of, link
from garrison.protection.entries import GAP, Entry, encode
from garrison.telemetry.redaction import Redactor

bodies = st.lists(st.binary(min_size=1, max_size=30).filter(lambda body: b"\n" not in body), min_size=1, max_size=12)


def chain(all_bodies: list[bytes], cuts: list[int]) -> list[Page]:
    """The bodies as pages of the given sizes, the last one holding the rest."""
    pages: list[Page] = []
    head, rest = Head(), all_bodies
    for cut in [*cuts, len(all_bodies)]:
        part, rest = rest[:cut], rest[cut:]
        if part:
            pages.append(extend(head, part))
            head = head_of(pages[-1])
    return pages


def rows(body: bytes = b"a", count: int = 6) -> list[Page]:
    """One entry per page, which makes moving entries about simple."""
    return chain([body + str(number).encode() for number in range(1, count + 1)], [1] * count)


def test_a_link_is_the_documented_hash() -> None:
    expected = hashlib.sha256(bytes(32) + b"\0\0\0\0\0\0\0\1" + b"body").digest()
    assert link(GENESIS, 1, b"body") == expected


@given(bodies, st.lists(st.integers(1, 5), max_size=4))
def test_what_was_written_verifies_however_it_is_split_into_pages(all_bodies: list[bytes], cuts: list[int]) -> None:
    pages = chain(all_bodies, cuts)
    verdict = check(pages, head_of(pages[-1]))
    assert verdict.ok
    assert verdict.entries == len(all_bodies)
    assert b"".join(page.hashes for page in pages) == extend(Head(), all_bodies).hashes


@given(bodies, st.lists(st.integers(1, 5), max_size=4), st.data())
def test_every_changed_byte_is_found_and_located(all_bodies: list[bytes], cuts: list[int], data: st.DataObject) -> None:
    pages = chain(all_bodies, cuts)
    head = head_of(pages[-1])
    which = data.draw(st.integers(0, len(pages) - 1))
    page = pages[which]
    column = data.draw(st.sampled_from(["bodies", "hashes"]))
    value = bytearray(getattr(page, column))
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    pages[which] = Page(page.first, page.last, **{"bodies": page.bodies, "hashes": page.hashes, column: bytes(value)})
    verdict = check(pages, head)
    assert not verdict.ok
    assert verdict.first_bad_seq is not None
    assert page.first <= verdict.first_bad_seq <= page.last
    if column == "hashes":
        assert verdict.first_bad_seq == page.first + at // 32


@given(st.integers(0, 5), st.sampled_from(["first", "last"]), st.integers(-3, 3).filter(bool))
def test_a_changed_number_is_found(which: int, column: str, by: int) -> None:
    pages = rows()
    page = pages[which]
    numbers = {"first": page.first, "last": page.last}
    numbers[column] += by
    pages[which] = Page(**numbers, bodies=page.bodies, hashes=page.hashes)
    assert not check(pages, head_of(rows()[-1])).ok


@given(st.integers(1, 6))
def test_a_removed_entry_is_found_the_last_one_included(seq: int) -> None:
    pages = rows()
    head = head_of(pages[-1])
    del pages[seq - 1]
    verdict = check(pages, head)
    assert not verdict.ok
    assert verdict.first_bad_seq == seq


@given(st.integers(0, 6), st.booleans())
def test_an_inserted_entry_is_found_even_with_a_hash_of_its_own(before: int, renumbered: bool) -> None:
    pages = rows()
    head = head_of(pages[-1])
    forged = extend(head_of(pages[before - 1]) if before else Head(), [b"forged"])
    after = pages[before:]
    if renumbered:
        after = [Page(page.first + 1, page.last + 1, page.bodies, page.hashes) for page in after]
    verdict = check([*pages[:before], forged, *after], head)
    assert verdict.ok is (before == 6), "an entry after the end is an append; nothing forbids those"


@given(st.integers(0, 5), st.integers(0, 5))
def test_reordering_is_found(one: int, other: int) -> None:
    pages = rows()
    head = head_of(pages[-1])
    swapped = list(pages)
    swapped[one], swapped[other] = (
        Page(pages[one].first, pages[one].last, pages[other].bodies, pages[other].hashes),
        Page(pages[other].first, pages[other].last, pages[one].bodies, pages[one].hashes),
    )
    assert check(swapped, head).ok is (one == other)


@given(st.integers(0, 5))
def test_a_cut_end_is_found_by_the_head(left: int) -> None:
    pages = rows()
    verdict = check(pages[:left], head_of(pages[-1]))
    assert not verdict.ok
    assert verdict.entries == left
    assert verdict.first_bad_seq == left + 1


def test_a_chain_that_was_computed_anew_is_found_by_the_head() -> None:
    verdict = check(rows(b"b"), head_of(rows(b"a")[-1]))
    assert not verdict.ok
    assert "rewritten" in verdict.reason


def test_a_missing_head_is_reported_and_an_older_head_is_fine() -> None:
    pages = rows()
    assert not check(pages, None).ok
    assert check(pages, head_of(pages[2])).ok
    assert check(pages, Head()).ok
    assert check([], Head()).ok


def test_a_recorded_gap_is_never_forgotten() -> None:
    gap = encode(Entry(1, "change", action=GAP), Redactor())
    pages = chain([b"one", gap, b"three"], [1])
    verdict = check(pages, head_of(pages[-1]))
    assert not verdict.ok
    assert verdict.first_bad_seq == 2


def test_text_that_only_mentions_a_gap_is_no_gap() -> None:
    mention = encode(Entry(1, "refusal", target=GAP), Redactor())
    pages = chain([mention], [])
    assert check(pages, head_of(pages[-1])).ok
