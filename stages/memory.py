"""The C library's memory: keep what was freed for the next tensor of that size."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Let this process reuse freed blocks of any size. Without effect where libc is not glibc.

    By default glibc hands blocks of 32 MiB and more back to the system as they are freed, and the
    next tensor of that size pays for every page of it again: on a CPU an elementwise operation on
    64 MiB takes four times as long.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
