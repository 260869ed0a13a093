"""Files on disk: whole or not there at all, known by their hash, and never waited for."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from goodsam.data.errors import InputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a disk says that takes no more
_LONGEST = 200  # bytes of a name that has room for more; file systems allow 255


def regular(path: Path) -> Path:
    """The path itself, of a file that is to be read; links are followed.

    Raises InputError for what is there and no regular file: who reads a pipe, a terminal or a
    device waits for ever, or gets bytes without end.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # whoever opens it says so
        return path
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: no regular file (a pipe, a device, a folder); remove it")
    return path


def check_folder(*paths: Path) -> None:
    """InputError for a folder that cannot be written into; whether it is there does not matter."""
    for path in paths:
        there = path
        while not os.path.lexists(there):
            there = there.parent
        what = "" if there == path else f" {there.absolute()}"
        if not there.is_dir():
            raise InputError(f"{path}:{what} is there and no folder; give another path")
        if not _writable(there):
            raise InputError(f"{path}:{what} cannot be written into; give another path")


def _writable(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or folder at; renamed to `path` once the block is done.

    Makes the folder that `path` lies in. If the block fails, what it wrote is removed and `path`
    is as it was. A file replaces what is there; a folder replaces an empty one alone (InputError).
    The OSError of a full disk names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{_short(path.name)}.{os.getpid()}.writing")
    _remove(aside)  # a process of the same number may have been killed
    try:
        yield aside
        usual_permissions(aside)
        os.replace(aside, path)
    except OSError as error:
        if error.filename2 == str(path) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise InputError(f"{path}: is there already; give a folder that is not") from error
        if error.errno not in NO_ROOM or error.filename not in (None, str(aside)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        _remove(aside)


@contextmanager
def files_written_aside(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write files into, which are then put into `folder` one by one.

    Who reads `folder` meanwhile finds every file whole. If the block fails nothing is moved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{_short(folder.name)}.{os.getpid()}.writing")
    _remove(aside)
    aside.mkdir()
    try:
        yield aside
        usual_permissions(aside)
        for path in sorted(aside.iterdir(), reverse=True):  # config.json last: it says all is there
            os.replace(path, folder / path.name)
    finally:
        _remove(aside)


def left_behind(folder: Path) -> list[Path]:
    """What processes that were killed left aside in `folder`, or processes at work write there.

    A link is not followed.
    """
    return [] if folder.is_symlink() else sorted(folder.glob(".*.[0-9]*.writing"))


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, all of it or nothing; makes its folder.

    What is no text, the bytes of a file name in another encoding, is written as `\\udcXX`.
    """
    with written_aside(path) as aside:
        text = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        aside.write_bytes(text)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal. InputError for what is no regular file."""
    with regular(path).open("rb") as file:
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


def _short(name: str) -> str:
    """A name, or what stands for one that is too long to be added to."""
    content = os.fsencode(name)
    return name if len(content) <= _LONGEST else hashlib.sha256(content).hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
