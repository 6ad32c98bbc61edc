"""What this process uses: memory, processor time, open files. Read from /proc when it is scraped."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics

_PROC = Path("/proc/self")


def add_process_metrics(metrics: Metrics) -> None:
    """Register the five `process_*` metrics that dashboards expect."""
    rss = metrics.gauge(names.PROCESS_RSS, "Resident memory in bytes.").cell()
    fds = metrics.gauge(names.PROCESS_OPEN_FDS, "Open file descriptors.").cell()
    limit = metrics.gauge(names.PROCESS_MAX_FDS, "Most file descriptors that may be open.").cell()
    start = metrics.gauge(names.PROCESS_START, "Start of the process, in seconds since 1970-01-01 UTC.").cell()
    cpu = metrics.counter(names.PROCESS_CPU, "Processor time in user and system mode, in seconds.").cell()
    start.set(started_at_s())

    def collect() -> None:
        rss.set(resident_bytes())
        fds.set(open_descriptors())
        limit.set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        used = os.times()
        cpu.value = used.user + used.system

    metrics.before_rendering(collect)


def resident_bytes() -> int:
    try:
        pages = int((_PROC / "statm").read_text().split()[1])
    except OSError:  # no /proc (macOS): the peak is the best there is, in bytes there
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return pages * os.sysconf("SC_PAGE_SIZE")


def open_descriptors() -> int:
    folder = _PROC / "fd" if _PROC.exists() else Path("/dev/fd")
    return sum(1 for _ in folder.iterdir()) - 1  # listing opens one itself


def age_s() -> float:
    """Since exec, imports included, to 10 ms; 0 where there is no /proc."""
    try:
        ticks = int((_PROC / "stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def started_at_s() -> float:
    """Boot time plus the start in clock ticks (proc(5), `stat` field 22); now, where there is no /proc."""
    try:
        after_name = (_PROC / "stat").read_text().rpartition(")")[2].split()
        boot = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except OSError:
        return time.time()
    return int(boot.split()[1]) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
