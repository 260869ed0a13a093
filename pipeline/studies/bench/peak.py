"""The most memory that a process has held."""

from __future__ import annotations

import resource
from pathlib import Path


def reset_peak() -> int:
    """Memory in use, bytes; on Linux the peak counts from here on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """Bytes; on Linux since `reset_peak`, or since the process began."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
