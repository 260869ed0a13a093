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
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole

_OPEN = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_AT_ONCE = 16  # requests to a server
_CHUNK = 2**20  # bytes of one read from a server
_MAX_DIRECTORY = 2**25  # bytes of a zip's list of files; Python makes some 15 times as much of it

T = TypeVar("T")


def place_of(path: Path | str) -> Folder | Zip | Address:
    """The place that a path or a URL names. Raises InputError for one that cannot be opened."""
    if "://" in str(path) or "::" in str(path):
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
        except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: no zip file that can be read ({error})") from error
        self.names = [entry.filename for entry in entries]
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


class _Bounded(io.FileIO):
    """A zip whose list of files is bounded: the largest thing that is read to open one."""

    def read(self, size: int | None = -1) -> bytes:
        left = os.fstat(self.fileno()).st_size - self.tell()
        wanted = left if size is None or size < 0 else min(size, left)
        if wanted > _MAX_DIRECTORY:
            raise ValueError(f"its list of files takes {wanted} bytes")
        return super().read(wanted) or b""


class Address:
    """A folder elsewhere, by a URL of any protocol that fsspec knows. To be read only."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # slow to import

        self.url = url.rstrip("/")
        try:
            self._files, self._root = url_to_fs(self.url)
        except (ImportError, ValueError, OSError) as error:
            raise InputError(f"{url}: cannot be opened ({error})") from error
        protocol = self._files.protocol
        # Over HTTP: one request a file, none before it to ask for the size.
        streamed = {"block_size": 0, "size": 1}
        self._options: dict[str, Any] = streamed if "http" in protocol else {}

    def read(self, key: str, limit: int) -> bytes | None:
        """A file's bytes, None if the server has none. ValueError for one too large.

        OSError for whatever else goes wrong, a transfer that breaks off included.
        """
        content = bytearray()
        try:
            with self._files.open(f"{self._root}/{key}", "rb", **self._options) as file:
                while len(content) <= limit and (part := file.read(_CHUNK)):
                    content += part
        except FileNotFoundError:
            return None
        except Exception as error:  # each protocol has its own
            raise OSError(f"{self.url}/{key}: {str(error) or type(error).__name__}") from error
        if len(content) > limit:
            raise ValueError(f"{key} has more than {limit} bytes")
        return bytes(content)

    def each(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """The function's results, in order; several are worked on at once."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(function, keys))
