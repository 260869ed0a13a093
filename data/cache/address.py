"""A cache's files at a URL: read over a connection that may break off or fall silent.

GOODSAM_HTTP_SECONDS, 30 if not set: how long a server may be silent before it is asked again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

from goodsam.data.errors import InputError
from goodsam.data.files import regular

SILENCE = "GOODSAM_HTTP_SECONDS"
RETRIES = 3  # of a request that failed; they go on where it broke off
PAUSE = 0.5  # seconds before the first of them; each later one waits twice as long
_AT_ONCE = 16  # requests to a server
_CHUNK = 2**20  # bytes of one read from a server

T = TypeVar("T")


def is_url(text: str) -> bool:
    """Whether a text names a place elsewhere: `PROTOCOL://...`, or a chain of such, with `::`."""
    if "://" in text or "::" not in text:
        return "://" in text
    from fsspec.registry import known_implementations  # slow to import

    return text.partition("::")[0] in known_implementations


class Address:
    """A folder elsewhere, by a URL of any protocol that fsspec knows. To be read only."""

    def __init__(self, url: str) -> None:
        from fsspec.core import url_to_fs  # slow to import

        self.url = url.rstrip("/")
        for part in self.url.split("::"):  # a file of this machine that the others are read from
            if "://" not in part or part.startswith("file://"):
                regular(Path(part.removeprefix("file://")))
        self._over_http = self.url.startswith(("http://", "https://"))
        try:
            options = _http_options() if self._over_http else {}
            self._files, self._root = url_to_fs(self.url, **options)
        except (ImportError, ValueError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{url}: cannot be opened ({error})") from error

    def read(self, key: str, limit: int) -> bytes | None:
        """A file's bytes, None if the server has none. ValueError for one too large.

        OSError for whatever else goes wrong, a transfer that breaks off included, once it was tried
        again.
        """
        content = bytearray()
        tries = 1 + RETRIES if self._over_http else 1
        for number in range(1, tries + 1):
            try:
                with self._open(key, len(content)) as file:
                    while len(content) <= limit and (part := file.read(_CHUNK)):
                        content += part
                break
            except FileNotFoundError:
                return None
            except Exception as error:  # each protocol has its own
                if number == tries or getattr(error, "status", 500) < 500:
                    what = str(error) or type(error).__name__
                    raise OSError(f"{self.url}/{key}: {what}") from error
                time.sleep(PAUSE * 2 ** (number - 1))
        if len(content) > limit:
            raise ValueError(f"{key} has more than {limit} bytes")
        return bytes(content)

    @contextmanager
    def _open(self, key: str, first: int) -> Iterator[IO[bytes]]:
        """A file to be read from its byte `first` on."""
        options: dict[str, Any] = {}
        if self._over_http:
            options = {"block_size": 0, "size": 1}  # no request before it, to ask for the size
        if first:
            options["headers"] = {"Range": f"bytes={first}-"}
        with self._files.open(f"{self._root}/{key}", "rb", **options) as file:
            if first and file.r.status != 206:  # a server that knows no ranges begins anew
                while first and (part := file.read(min(first, _CHUNK))):
                    first -= len(part)
            yield file

    def each(self, function: Callable[[str], T], keys: Iterable[str]) -> list[T]:
        """The function's results, in order; several are worked on at once."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(function, keys))


def _http_options() -> dict[str, Any]:
    import aiohttp

    text = os.environ.get(SILENCE, "30")
    try:
        seconds = float(text)
        if not 0 < seconds < 86_400:
            raise ValueError("not between 0 and a day")
    except ValueError as error:
        raise InputError(f"{SILENCE}={text}: give seconds, more than 0 ({error})") from error
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    return {"client_kwargs": {"timeout": timeout}}
