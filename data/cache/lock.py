"""The right to write a cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from goodsam.data.cache.places import Folder, place_of
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, left_behind

_LOCK = ".lock"
_ARRAYS = ("cells", "tables", "index")


@contextmanager
def writing(path: Path | str) -> Iterator[Folder]:
    """The right to write a cache at `path`, which one process has at a time; it may nest.

    Makes the folder, and removes what processes that were killed left half written. A process that
    dies gives its right back. Raises InputError when another process has it, and for a path where
    no cache can be.
    """
    place = place_of(path)
    if not isinstance(place, Folder):
        raise InputError(f"{path}: a cache is written in a folder, not in a zip or at a URL")
    ours = {_LOCK, "zarr.json", *_ARRAYS}
    root = place.root
    ours |= {path.name for path in left_behind(root)}
    others = root.is_dir() and any(entry.name not in ours for entry in root.iterdir())
    if root.is_file() or (others and not (root / "zarr.json").exists()):
        raise InputError(f"{path}: exists and is no SAM cache; give another path")
    check_folder(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        place.refuse_links(_LOCK)
        lock = FileLock(root / _LOCK, is_singleton=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{path}: another process is writing into it; wait for it, or end it first"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be written ({error}); give another path") from error
    try:
        if lock.lock_counter == 1:
            for folder in (root, *(root / name for name in _ARRAYS)):
                for path in left_behind(folder):
                    path.unlink(missing_ok=True)
        yield place
    finally:
        outermost = lock.lock_counter == 1  # what it nests in still holds the folder
        if outermost and [entry.name for entry in root.iterdir()] == [_LOCK]:  # nothing came of it
            shutil.rmtree(root)
        lock.release()
