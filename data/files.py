"""Files on disk: whole or not there at all, and known by the hash of their bytes."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or folder at; renamed to `path` once the block is done.

    Makes the folder that `path` lies in. If the block fails, what it wrote is removed and `path`
    is as it was. A file replaces what is there; a folder replaces only an empty one (OSError).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.writing")
    _remove(aside)  # a process of the same number may have been killed
    try:
        yield aside
        usual_permissions(aside)
        os.replace(aside, path)
    finally:
        _remove(aside)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, all of it or nothing; makes its folder."""
    with written_aside(path) as aside:
        aside.write_bytes(content.encode() if isinstance(content, str) else content)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def usual_permissions(path: Path) -> None:
    """Give files that only their owner may read the permissions that `open` gives.

    safetensors makes such files, whatever the umask says.
    """
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    private = [file for file in files if not file.stat().st_mode & 0o077]
    if private:
        probe = path.with_name(f"{path.name}.mode")  # the umask can only be read by changing it
        probe.touch()
        mode = probe.stat().st_mode
        probe.unlink()
        for file in private:
            file.chmod(mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
