from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Defect
from garrison.telemetry import names
from garrison.telemetry.exposition import render
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.process import add_process_metrics
from telemetry.promtext import Sample, flaws, read


def parse(data: bytes) -> tuple[dict[str, str], list[Sample]]:
    """Types by family, and all samples."""
    families = read(data)
    return {one.name: one.type for one in families}, [sample for one in families for sample in one.samples]


def values(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(name, labels): value for name, labels, value in parse(render(metrics))[1]}


def test_a_counter_counts_by_label_values() -> None:
    metrics = Metrics()
    calls = metrics.counter("garrison.calls", "Calls.", ("method", "error.type"))
    calls.cell("tools/call", "").add()
    calls.cell("tools/call", "").add(2)
    calls.cell("ping", "timeout").add()
    assert values(metrics) == {
        ("garrison_calls_total", (("method", "tools/call"), ("error_type", ""))): 3,
        ("garrison_calls_total", (("method", "ping"), ("error_type", "timeout"))): 1,
    }


def test_the_same_label_values_give_the_same_cell() -> None:
    calls = Metrics().counter("c", "C.", ("a",))
    assert calls.cell("x") is calls.cell("x")


def test_a_metric_without_labels_shows_zero_from_the_start() -> None:
    metrics = Metrics()
    metrics.counter("c", "C.")
    assert values(metrics) == {("c_total", ()): 0}


def test_a_gauge_is_set_or_read_when_it_is_scraped() -> None:
    metrics = Metrics()
    metrics.gauge("set", "S.").cell().set(2.5)
    queue = [1, 2, 3]
    metrics.gauge("read", "R.").cell().read_from(lambda: len(queue))
    queue.pop()
    assert values(metrics) == {("set", ()): 2.5, ("read", ()): 2}


def test_a_histogram_has_the_buckets_of_the_conventions_and_they_are_cumulative() -> None:
    metrics = Metrics()
    cell = metrics.histogram(names.SERVER_OPERATION_DURATION, "D.", (names.METHOD,)).cell("tools/call")
    for seconds in (0.001, 0.01, 0.015, 400.0):
        cell.observe(seconds)
    found = values(metrics)
    method = ("mcp_method_name", "tools/call")
    bucket = "mcp_server_operation_duration_seconds_bucket"
    assert found[bucket, (method, ("le", "0.01"))] == 2, "a bound belongs to its bucket"
    assert found[bucket, (method, ("le", "0.02"))] == 3
    assert found[bucket, (method, ("le", "300.0"))] == 3
    assert found[bucket, (method, ("le", "+Inf"))] == 4
    assert found["mcp_server_operation_duration_seconds_count", (method,)] == 4
    assert found["mcp_server_operation_duration_seconds_sum", (method,)] == pytest.approx(400.026)
    assert len([1 for name, _ in found if name == bucket]) == len(names.DURATION_BUCKETS_S) + 1


def test_label_values_beyond_the_bound_share_the_cell_other() -> None:
    metrics = Metrics()
    calls = metrics.counter("c", "C.", ("tool", "server"), cells_max=3)
    for number in range(100):
        calls.cell(f"tool{number}", "s").add()
    found = values(metrics)
    assert len(found) == 4
    assert found["c_total", (("tool", "other"), ("server", "other"))] == 97
    assert calls.cell("tool1", "s").value == 1, "known values keep their cells"


def test_long_label_values_are_cut() -> None:
    metrics = Metrics()
    metrics.counter("c", "C.", ("tool",)).cell("x" * 100_000).add()
    assert len(render(metrics)) < 400


def test_a_name_twice_or_a_wrong_number_of_labels_is_a_defect() -> None:
    metrics = Metrics()
    calls = metrics.counter("c", "C.", ("a",))
    with pytest.raises(Defect, match="twice"):
        metrics.counter("c", "C.")
    with pytest.raises(Defect, match="1 label"):
        calls.cell("a", "b")


def test_special_numbers_are_written_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("g", "G.", ("n",))
    for text in ("inf", "-inf", "nan"):
        gauge.cell(text).set(float(text))
    found = {labels[0][1]: value for (_, labels), value in values(metrics).items()}
    assert found["inf"] == math.inf
    assert found["-inf"] == -math.inf
    assert math.isnan(found["nan"])


@given(st.lists(st.text(max_size=40), max_size=8, unique=True), st.text(max_size=40))
def test_any_label_value_and_help_text_comes_back_from_the_rendered_text(labels: list[str], text: str) -> None:
    metrics = Metrics()
    calls = metrics.counter("c", text, ("x",))
    for label in labels:
        calls.cell(label).add()
    types, samples = parse(render(metrics))
    assert types == {"c_total": "counter"}
    expected = {label.encode("utf-8", "replace").decode() for label in labels}
    assert {pairs[0][1] for _, pairs, _ in samples} == expected


def test_process_metrics_are_plausible() -> None:
    metrics = Metrics()
    add_process_metrics(metrics)
    found = {name: value for (name, _), value in values(metrics).items()}
    assert 5e6 < found[names.PROCESS_RSS] < 5e9
    assert 3 <= found[names.PROCESS_OPEN_FDS] <= found[names.PROCESS_MAX_FDS]
    assert found[names.PROCESS_CPU] > 0
    assert found[names.PROCESS_START] > 1.6e9
    assert parse(render(metrics))[0][names.PROCESS_CPU] == "counter"


def test_what_is_rendered_has_no_flaw() -> None:
    metrics = Metrics()
    add_process_metrics(metrics)
    metrics.counter("garrison.calls", 'C "quoted" \\ and\nbroken.', ("m",)).cell('a"b\\c\nd').add()
    metrics.histogram(names.SERVER_OPERATION_DURATION, "Duration of an operation.", (names.METHOD,)).cell("x").observe(
        1
    )
    assert flaws(read(render(metrics))) == []


ABOUT = "# HELP {0} Of it.\n# TYPE {0} {1}\n"


@pytest.mark.parametrize(
    "text",
    [
        "a 1\n",
        "# HELP a_total Of it.\na_total 1\n",
        ABOUT.format("a", "gauge") + "a 1",
        ABOUT.format("a", "gauge") + "a 1\na 2\n",
        ABOUT.format("a", "gauge") + "b 1\n",
        ABOUT.format("a", "gauge") + "a one\n",
        ABOUT.format("a", "gauge") + "a{b=1} 1\n",
        ABOUT.format("a", "gauge") + 'a{b="1" c="2"} 1\n',
        ABOUT.format("a", "gauge") + 'a{b="\\x"} 1\n',
        ABOUT.format("a", "gauge") + 'a{b="1",b="2"} 1\n',
        ABOUT.format("a", "gauge") + 'a{b="1",c="2"} 1\na{c="2",b="1"} 1\n',
        ABOUT.format("a", "gauge") + ABOUT.format("b", "gauge") + "a 1\n",
        ABOUT.format("a", "gauge") * 2,
        ABOUT.format("a", "number") + "a 1\n",
        "# HELP a A \\t tab.\n# TYPE a gauge\na 1\n",
        "#HELP a Of it.\n# TYPE a gauge\na 1\n",
    ],
)
def test_the_reader_takes_nothing_that_is_not_the_format(text: str) -> None:
    with pytest.raises(AssertionError):
        read(text.encode())


BUCKETS = 'h_bucket{{le="1.0"}} {0}\nh_bucket{{le="{2}"}} {1}\nh_sum 3\nh_count 2\n'


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("# HELP a \n# TYPE a gauge\na 1\n", "a: no help"),
        (ABOUT.format("a", "counter") + "a 1\n", "a: a counter ends in _total"),
        (ABOUT.format("a_total", "gauge") + "a_total 1\n", "a_total: only a counter ends in _total"),
        (ABOUT.format("a_count", "gauge") + "a_count 1\n", "a_count: an ending that histograms have"),
        (ABOUT.format("a", "gauge") + 'a{le="1"} 1\n', "a: le is a histogram's"),
        (ABOUT.format("a_ms", "gauge") + "a_ms 1\n", "a_ms: a unit that is not a base unit"),
        (ABOUT.format("aB", "gauge") + "aB 1\n", "aB: capitals"),
        (ABOUT.format("h", "histogram") + BUCKETS.format(1, 2, "2.0"), "h: buckets go up to +Inf"),
        (ABOUT.format("h", "histogram") + BUCKETS.format(3, 2, "+Inf"), "h: buckets are cumulative"),
        (ABOUT.format("h", "histogram") + BUCKETS.format(1, 3, "+Inf"), "h: the last bucket is the count"),
        (ABOUT.format("h", "histogram") + "h_sum 3\nh_count 2\n", "h: buckets, a sum and a count belong together"),
        (ABOUT.format("h", "histogram") + BUCKETS.format(1, 2, "+Inf"), ""),
    ],
)
def test_the_judge_finds_what_prometheus_own_tool_would(text: str, flaw: str) -> None:
    assert flaws(read(text.encode())) == ([flaw] if flaw else [])


def test_span_and_metric_names_follow_the_conventions() -> None:
    assert names.span_name("tools/call", "echo") == "tools/call echo"
    assert names.span_name("ping") == "ping"
    assert names.prometheus_name("mcp.client.session.duration", "seconds") == "mcp_client_session_duration_seconds"
