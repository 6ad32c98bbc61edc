"""The tree against a naive reading of RFC 6962, and against the vectors of its reference implementation."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.protection.merkle import (
    BLOCK_LEVEL,
    EMPTY_ROOT,
    HASH_BYTES,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_at,
    stored_nodes,
    subtrees,
    verify_consistency,
    verify_inclusion,
)

VECTOR_LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
sizes = st.integers(1, 40) | st.integers(1, 1100)


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def naive_root(row: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not row:
        return sha256(b"").digest()
    if len(row) == 1:
        return row[0]
    k = 1
    while 2 * k < len(row):
        k *= 2
    return sha256(b"\x01" + naive_root(row[:k]) + naive_root(row[k:])).digest()


def naive_path(index: int, row: list[bytes]) -> list[bytes]:
    if len(row) == 1:
        return []
    k = 1
    while 2 * k < len(row):
        k *= 2
    if index < k:
        return [*naive_path(index, row[:k]), naive_root(row[k:])]
    return [*naive_path(index - k, row[k:]), naive_root(row[:k])]


def naive_proof(old: int, row: list[bytes], whole: bool = True) -> list[bytes]:
    if old == len(row):
        return [] if whole else [naive_root(row)]
    k = 1
    while 2 * k < len(row):
        k *= 2
    if old <= k:
        return [*naive_proof(old, row[:k], whole), naive_root(row[k:])]
    return [*naive_proof(old - k, row[k:], False), naive_root(row[:k])]


class Tree:
    """All nodes of a row of leaves."""

    def __init__(self, row: list[bytes]) -> None:
        self.row = row

    def node(self, level: int, index: int) -> bytes:
        found = self.row[index << level : (index + 1) << level]
        assert len(found) == 1 << level, "asked for a subtree that is not complete"
        return naive_root(found)


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_are_those_of_the_reference_implementation(size: int) -> None:
    frontier = Frontier()
    frontier.extend(b"".join(leaf_hash(one) for one in VECTOR_LEAVES[:size]))
    assert frontier.root().hex() == VECTOR_ROOTS[size - 1]
    assert root_at(size, Tree([leaf_hash(one) for one in VECTOR_LEAVES]).node).hex() == VECTOR_ROOTS[size - 1]


def test_an_empty_tree_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == EMPTY_ROOT == sha256(b"").digest()


def test_known_paths_of_the_reference_implementation() -> None:
    node = Tree([leaf_hash(one) for one in VECTOR_LEAVES]).node
    assert [one.hex() for one in inclusion_proof(5, 8, node)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [one.hex() for one in consistency_proof(6, 8, node)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_a_tree_grows_to_the_same_however_its_leaves_come(parts: list[int]) -> None:
    row = leaves(sum(parts))
    frontier, stored, at = Frontier(), [], 0
    for part in parts:
        found = frontier.extend(b"".join(row[at : at + part]))
        names = stored_nodes(at, at + part - 1)
        assert len(found) == HASH_BYTES * len(names)
        stored += [(name, found[n * HASH_BYTES :][:HASH_BYTES]) for n, name in enumerate(names)]
        at += part
        assert frontier.root() == naive_root(row[:at])
    node = Tree(row).node
    assert all(hash_ == node(*name) for name, hash_ in stored)
    levels = range(BLOCK_LEVEL, 14)
    assert sorted(name for name, _ in stored) == [(lv, i) for lv in levels for i in range(len(row) >> lv)]


@given(sizes, st.data())
def test_inclusion_is_the_definition_and_verifies(size: int, data: st.DataObject) -> None:
    row, index = leaves(size), data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, Tree(row).node)
    assert proof == naive_path(index, row)
    root = naive_root(row)
    assert verify_inclusion(row[index], index, size, proof, root)
    assert not verify_inclusion(leaf_hash(b"else"), index, size, proof, root)
    assert not verify_inclusion(row[index], index, size, [*proof, root], root)
    assert not verify_inclusion(row[index], size, size, proof, root)
    for one in range(len(proof)):
        wrong = [*proof[:one], bytes(HASH_BYTES), *proof[one + 1 :]]
        assert not verify_inclusion(row[index], index, size, wrong, root)
        assert not verify_inclusion(row[index], index, size, proof[:one], root)


@given(sizes, st.data())
def test_consistency_is_the_definition_and_verifies(size: int, data: st.DataObject) -> None:
    row, old = leaves(size), data.draw(st.integers(0, size))
    proof = consistency_proof(old, size, Tree(row).node)
    assert proof == (naive_proof(old, row) if old else [])
    old_root, root = naive_root(row[:old]), naive_root(row)
    assert verify_consistency(old, size, old_root, root, proof)
    assert not verify_consistency(old, size, bytes(32), root, proof)
    assert not verify_consistency(size + 1, size, old_root, root, proof)
    assert not verify_consistency(old, size, old_root, root, [*proof, root])
    if 0 < old < size:
        assert not verify_consistency(old, size, old_root, bytes(32), proof)
        for one in range(len(proof)):
            wrong = [*proof[:one], bytes(HASH_BYTES), *proof[one + 1 :]]
            assert not verify_consistency(old, size, old_root, root, wrong)
            assert not verify_consistency(old, size, old_root, root, proof[:one])


@given(st.integers(0, 3000), st.integers(0, 3000))
def test_subtrees_cover_a_range_without_gap_or_overlap(one: int, other: int) -> None:
    first, end = sorted((one, other))
    at = first
    for level, index in subtrees(first, end):
        assert index << level == at
        at += 1 << level
    assert at == end


def test_a_leaf_is_never_taken_for_a_node() -> None:
    left, right = leaves(2)
    assert leaf_hash(left + right) != node_hash(left, right)


@pytest.mark.parametrize(("index", "size"), [(-1, 5), (5, 5), (0, 0)])
def test_a_proof_of_what_is_not_there_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError):
        inclusion_proof(index, size, Tree(leaves(5)).node)
    with pytest.raises(ValueError):
        consistency_proof(7, 5, Tree(leaves(7)).node)
