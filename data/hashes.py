"""The hashes of files, remembered by size and time of change: 200 GB of photographs are read once.

A file beside what was made of the photographs holds a line for each of them, the last one counts.
Lines are only ever added, each by one write, so that processes may share it and a process may die.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from goodsam.data.files import file_hash

NAME = "hashes.jsonl"
_SETTLED = 2.0  # s: a file that changed since may change again within the clock's resolution


class Hashes:
    """The SHA-256 of files. path: of the memory; None: nothing is remembered.

    verify: read every file, whatever is remembered of it.
    """

    def __init__(self, path: Path | None, verify: bool = False) -> None:
        self.path, self.verify = path, verify
        self._known = {} if path is None or verify else _read(path)

    def of(self, file: Path) -> str:
        """The SHA-256 of a file's bytes, in hexadecimal. OSError for one that cannot be read."""
        where, mark = os.path.abspath(file), _mark(file)
        known = self._known.get(where)
        if known is not None and known[0] == mark:
            return known[1]
        found = file_hash(file)
        settled = time.time() - max(mark[1], mark[2]) / 1e9 > _SETTLED
        if self.path is not None and settled and _mark(file) == mark:
            self._remember(where, mark, found)
        return found

    def _remember(self, where: str, mark: list[int], found: str) -> None:
        assert self.path is not None
        self._known[where] = (mark, found)
        line = json.dumps([where, mark, found]) + "\n"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.write(line.encode())
        except OSError:
            self.path = (
                None  # to remember is a convenience: other people's folders may be read-only
            )


def _mark(file: Path) -> list[int]:
    """Size, time of change of the content and of the file's entry, ns."""
    status = os.stat(file)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read(path: Path) -> dict[str, tuple[list[int], str]]:
    known = {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            where, mark, found = json.loads(line)
            if len(mark) == 3 and len(found) == 64:
                known[where] = (mark, found)
        except (ValueError, TypeError):  # torn, by a process that died
            continue
    return known
