"""The right to write into a folder of results, which one process has at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goodsam.data.errors import InputError

MARK = ".running"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Write into `folder`, which is made, while no other process does.

    The lock is POSIX's, of this process alone: one that is killed gives its right back at once,
    though processes that it forked still live. Where a file system knows no locks, there is none.
    Raises InputError when another process has the right.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MARK
    lock = _locked(path)
    while not _is_at(lock, path):  # who had it removed the file in between
        os.close(lock)
        lock = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def _locked(path: Path) -> int:
    """A descriptor of the file at `path`, locked. InputError if another process has it locked."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            return lock
        os.close(lock)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            raise
        raise InputError(
            f"{path.parent}: another process is writing into it; wait for it, or end it first"
        ) from None
    return lock


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
