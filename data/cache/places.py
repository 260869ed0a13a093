"""Where a cache's files lie: a folder, a zip, a URL. They are read as a stranger's files must be.

A key is a path below the place, with `/`. No file of more bytes than the caller allows is read, and
in a folder nothing is followed or waited for: a link, a pipe or a device is refused.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import google_crc32c

from goodsam.data.cache.address import Address, is_url
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole

_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_STATEMENT = b"goodsam-sam-cache "  # what the comment of a zip begins with
_END = 22  # bytes of the record at the end of a zip that has no comment
_MAX_DIRECTORY = 2**25  # bytes of a zip's list of files; Python makes some 15 times as much of it

T = TypeVar("T")


def place_of(path: Path | str) -> Folder | Zip | Address:
    """The place that a path or a URL names. Raises InputError for one that cannot be opened.

    What lies on this machine is read as such, whatever it is called.
    """
    if isinstance(path, str) and path.startswith("file://"):
        path = path.removeprefix("file://")
    elif is_url(str(path)) and not os.path.lexists(path):
        return Address(str(path))
    if Path(path).suffix == ".zip" and Path(path).is_file():
        return Zip(Path(path))
    return Folder(Path(path))


class Folder:
    """A folder on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, key: str, limit: int) -> bytes | None:
        """A file's bytes, None if there is none. ValueError for a link, no file, or one too large.

        OSError for what the disk refuses.
        """
        self.refuse_links(key)
        try:
            handle = os.open(f"{self.root}/{key}", _OPEN)
        except (FileNotFoundError, NotADirectoryError):
            return None
        with open(handle, "rb", buffering=0) as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise ValueError(f"{key} is no plain file")
            if status.st_size > limit:
                raise ValueError(f"{key} has {status.st_size} bytes, the most is {limit}")
            content = file.read(status.st_size)
        return content

    def each(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """The function's results, in order."""
        return [function(key) for key in keys]

    def write(self, key: str, content: bytes) -> None:
        """All of a file or nothing; makes its folder. ValueError where a link is in the way."""
        self.refuse_links(key)
        write_whole(self.root / key, content)

    def delete(self, key: str) -> bool:
        """Whether there was such a file."""
        self.refuse_links(key)
        try:
            os.unlink(self.root / key)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def size(self) -> int:
        """Bytes of all files."""
        files = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        return sum(file.lstat().st_size for file in files)

    def refuse_links(self, key: str) -> None:
        """ValueError if there is a link on the way from the folder to the file."""
        path = str(self.root)
        for part in key.split("/"):
            path = f"{path}/{part}"
            try:
                mode = os.lstat(path).st_mode
            except OSError:  # nothing there yet
                continue
            if stat.S_ISLNK(mode):
                raise ValueError(f"{path} is a link, and no cache has one")


class Zip:
    """A zip of files that are stored as they are. To be read only; kept open by nobody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
                entries = archive.infolist()
                self.names = [entry.filename for entry in entries]
                _check_statement(file, archive.comment, self.names)
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no zip file that can be read ({error})") from error
        self._entries = dict(zip(self.names, entries, strict=True))

    def read(self, key: str, limit: int) -> bytes | None:
        """A file's bytes, None if there is none. ValueError for one too large, packed or damaged.

        OSError for what the disk refuses.
        """
        entry = self._entries.get(key)
        if entry is None:
            return None
        # Not even deflated: what is stored takes no more memory than the zip has bytes.
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise ValueError(f"{key} is compressed or encrypted")
        if entry.file_size > limit:
            raise ValueError(f"{key} has {entry.file_size} bytes, the most is {limit}")
        with self.path.open("rb") as file:
            file.seek(entry.header_offset)
            header = file.read(30).ljust(30, b"\0")
            name, extra = struct.unpack_from("<HH", header, 26)
            file.seek(name + extra, os.SEEK_CUR)
            content = file.read(entry.file_size)
        if header[:4] != b"PK\3\4" or zlib.crc32(content) != entry.CRC:
            raise ValueError(f"{key} is damaged")
        return content

    def each(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """The function's results, in order."""
        return [function(key) for key in keys]

    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size


def zip_statement(names: Sequence[str]) -> bytes:
    """The comment of a zip of these files: how many they are, and a checksum of their names."""
    return b"%s%d %08x" % (_STATEMENT, len(names), google_crc32c.value("\n".join(names).encode()))


def _check_statement(file: io.FileIO, comment: bytes, names: Sequence[str]) -> None:
    """ValueError unless a zip that states its files holds just these; older ones state nothing."""
    file.seek(-min(_END, file.seek(0, os.SEEK_END)), os.SEEK_END)
    end = file.read(_END)
    silent = end.startswith(b"PK\5\6") and end.endswith(b"\0\0")  # a comment of no bytes
    if not silent and comment != zip_statement(names):
        raise ValueError("its list of files is not the one that it states")


class _Bounded(io.FileIO):
    """A zip whose list of files is bounded: the largest thing that is read to open one."""

    def read(self, size: int | None = -1) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _MAX_DIRECTORY:
            raise ValueError(f"its list of files takes {wanted} bytes")
        return super().read(wanted) or b""
