from __future__ import annotations

import math
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.errors import Defect
from garrison.telemetry import names
from garrison.telemetry.exposition import render
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.process import add_process_metrics

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (NaN|[+-]Inf|[0-9.e+-]+)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_UNESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}

Sample = tuple[str, tuple[tuple[str, str], ...], float]


def parse(data: bytes) -> tuple[dict[str, str], list[Sample]]:
    """A strict reader of text format 0.0.4: types by family, and all samples. Fails on anything unexpected."""
    text = data.decode("utf-8")
    assert text.endswith("\n")
    types: dict[str, str] = {}
    samples: list[Sample] = []
    for line in text[:-1].split("\n"):
        if line.startswith("# "):
            comment = re.fullmatch(rf"# (HELP|TYPE) ({_NAME}) ?(.*)", line)
            assert comment, line
            if comment[1] == "TYPE":
                assert comment[2] not in types, "a family appears once"
                types[comment[2]] = comment[3]
            continue
        samples.append(_sample(line))
        assert _family(samples[-1][0], types) in types, f"no TYPE before {line}"
    assert len({(name, labels) for name, labels, _ in samples}) == len(samples), "a sample appears twice"
    return types, samples


def _sample(line: str) -> Sample:
    found = _SAMPLE.fullmatch(line)
    assert found, line
    pairs, rest = [], found[2] or ""
    while rest:
        pair = _PAIR.match(rest)
        assert pair, line
        pairs.append((pair[1], re.sub(r'\\[\\"n]', lambda escape: _UNESCAPE[escape[0]], pair[2])))
        rest = rest[pair.end() :]
    return found[1], tuple(pairs), float(found[3].replace("Inf", "inf"))


def _family(name: str, types: dict[str, str]) -> str:
    stem = re.sub(r"_(bucket|sum|count)$", "", name)
    return stem if types.get(stem) == "histogram" else name


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


def test_promtool_accepts_the_text() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed; the strict parser in this file has checked the format")
    metrics = Metrics()
    add_process_metrics(metrics)
    metrics.counter("garrison.calls", 'C "quoted" \\ and\nbroken.', ("m",)).cell('a"b\\c\nd').add()
    metrics.histogram(names.SERVER_OPERATION_DURATION, "Duration of an operation.", (names.METHOD,)).cell("x").observe(
        1
    )
    done = subprocess.run([promtool, "check", "metrics"], input=render(metrics), capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_span_and_metric_names_follow_the_conventions() -> None:
    assert names.span_name("tools/call", "echo") == "tools/call echo"
    assert names.span_name("ping") == "ping"
    assert names.prometheus_name("mcp.client.session.duration", "seconds") == "mcp_client_session_duration_seconds"
