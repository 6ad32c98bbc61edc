from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from costs import cost
from garrison.kernel.errors import Invalid
from garrison.protocol import events
from garrison.protocol.events import Event, EventReader, write_event

LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
TEXT = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=["Cs"]), max_size=12)
FIELD = st.tuples(st.sampled_from(["data", "event", "id", "retry", "", "junk"]), TEXT)


def expected(records: list[list[tuple[str, str]]]) -> list[Event]:
    """The rules of WHATWG HTML 9.2.6, written as slowly and plainly as they stand there."""
    found, last_id = [], ""
    for record in records:
        data, kind, has_data = "", "", False
        for name, value in record:
            if name == "data":
                data, has_data = data + value + "\n", True
            elif name == "event":
                kind = value
            elif name == "id":
                last_id = value
        if has_data:
            found.append(Event(data[:-1].encode(), kind or "message", last_id))
    return found


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *marks], [*marks, len(stream)], strict=True)]


@given(
    st.lists(st.lists(FIELD, min_size=1, max_size=4), max_size=5), LINE_ENDS, st.booleans(), st.lists(st.integers(0))
)
def test_any_cutting_of_any_events_gives_the_same_events(
    records: list[list[tuple[str, str]]], line_end: bytes, marked: bool, places: list[int]
) -> None:
    lines = [line_end.join(f"{n}: {v}".encode() for n, v in record) + line_end + line_end for record in records]
    stream = (b"\xef\xbb\xbf" if marked else b"") + b"".join(lines)
    reader = EventReader()
    assert [event for chunk in cut(stream, places) for event in reader.feed(chunk)] == expected(records)


@given(st.lists(st.sampled_from([b"data: a", b"data:b", b"\r", b"\n", b"\r\n", b":", b"data"]), max_size=12))
@example([b"data: a", b"\r", b"\n", b"\r", b"\n"])
def test_cutting_after_each_byte_is_the_same_as_not_cutting(parts: list[bytes]) -> None:
    stream = b"".join(parts)
    whole, slow = EventReader(), EventReader()
    assert [e for i in range(len(stream)) for e in slow.feed(stream[i : i + 1])] == whole.feed(stream)


def test_a_carriage_return_at_a_chunks_end_ends_the_line_at_once() -> None:
    reader = EventReader()
    assert reader.feed(b"data: 1\r\r") == [Event(b"1")]
    assert reader.feed(b"\ndata: 2\n\n") == [Event(b"2")]


def test_a_carriage_return_inside_data_is_a_line_end_and_never_data() -> None:
    assert EventReader().feed(b"data: a\rdata: b\n\n") == [Event(b"a\nb")]


def test_comments_and_unknown_fields_are_nothing() -> None:
    assert EventReader().feed(b": ping\n\nretry: 5\n\nfoo: bar\ndata: x\n\n") == [Event(b"x")]


def test_only_one_space_after_the_colon_belongs_to_the_syntax() -> None:
    assert EventReader().feed(b"data:  x\n\n") == [Event(b" x")]


def test_an_id_with_nul_is_ignored_and_the_last_good_one_stays() -> None:
    assert EventReader().feed(b"id: 7\ndata: a\n\nid: 8\0\ndata: b\n\n") == [
        Event(b"a", id="7"),
        Event(b"b", id="7"),
    ]


def test_an_event_that_the_stream_does_not_finish_never_was() -> None:
    assert EventReader().feed(b"data: whole\n\ndata: half\n") == [Event(b"whole")]


@pytest.mark.parametrize("line", [b"x" * 400, b"data: x\n" * 60, b"data\n" * 200, b"event: " + b"x" * 400])
def test_an_event_over_the_bound_is_refused(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 100)
    reader = EventReader()
    pieces = [line[place : place + 7] for place in range(0, len(line), 7)]
    with pytest.raises(Invalid, match="larger than 100 bytes"):
        any(reader.feed(piece) for piece in pieces)


def test_a_stream_may_be_longer_than_the_bound_of_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 100)
    assert len(EventReader().feed(b": comment\ndata: 0123456789\n\n" * 100)) == 100


def test_a_large_event_in_many_pieces_costs_no_more_than_its_size() -> None:
    def read() -> None:
        reader, piece = EventReader(), b"x" * 512
        reader.feed(b"data: ")
        for _ in range(20_000):
            assert reader.feed(piece) == []
        assert len(reader.feed(b"\n\n")[0].data) == 10_240_000

    assert cost(read, 150) < 150


@given(st.binary(max_size=40).filter(lambda data: b"\n" not in data and b"\r" not in data))
def test_what_is_written_is_read_again(data: bytes) -> None:
    assert EventReader().feed(write_event(data)) == [Event(data)]


def test_a_line_break_between_tokens_does_not_begin_an_event_of_its_own() -> None:
    forged = b'{"a":\n\nevent: endpoint\rdata: http://elsewhere/\n\n1}'
    assert len(EventReader().feed(write_event(forged))) == 1
