"""What this machine has: cores, memory, disk, GPUs."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import msgspec

GIB = 1 << 30


class Hardware(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes. `cores`: those that this process may use. `gpus`: names, as far as the kernel shows them."""

    system: str
    cores: int
    memory_bytes: int
    memory_free_bytes: int
    disk_free_bytes: int
    gpus: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        gpus = ", ".join(self.gpus) or "no GPU"
        memory = f"{self.memory_bytes / GIB:.1f} GiB memory ({self.memory_free_bytes / GIB:.1f} free)"
        return f"{self.system}, {self.cores} cores, {memory}, {self.disk_free_bytes / GIB:.1f} GiB disk free, {gpus}"


def hardware(folder: Path | None = None) -> Hardware:
    memory = _memory()
    return Hardware(
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=min(memory.get("MemTotal", 0), _memory_limit() or memory.get("MemTotal", 0)),
        memory_free_bytes=memory.get("MemAvailable", 0),
        disk_free_bytes=shutil.disk_usage(folder or Path.cwd()).free,
        gpus=_gpus(),
    )


def _memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in lines if line.endswith("kB"))
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _memory_limit() -> int | None:
    """What a container may use; None without a limit."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(path).read_text())
        except (OSError, ValueError):
            continue
    return None


def _gpus() -> tuple[str, ...]:
    nvidia = [_model(path) for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))]
    others = [f"GPU {path.name}" for path in sorted(Path("/dev/dri").glob("renderD*"))]
    return tuple(nvidia or others)


def _model(path: Path) -> str:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for name, _, value in lines if name == "Model"), "NVIDIA GPU")
