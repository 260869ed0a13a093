"""Several caches of one identity made into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from goodsam.data.cache.lock import writing
from goodsam.data.cache.metadata import check_images
from goodsam.data.cache.store import SamCache
from goodsam.data.errors import InputError


def merge_caches(
    out: Path | str,
    sources: Sequence[Path | str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, str]:
    """The records of several caches of one identity in one, made at `out` or gone on with.

    A panorama that several of them hold is taken from the first that has it whole. All provenance
    is kept. Returns what could not be taken: name -> why.

    Raises InputError, before any work, for caches of different identities and for images that two
    of them have under one name.
    """
    caches, images = list[SamCache](), dict[str, str]()
    for source in sources:  # each is held against the first before the next takes memory
        cache = SamCache.open(source)
        first = caches[0] if caches else cache
        if differences := cache.identity.differences(first.identity):
            raise InputError(
                f"{cache.path}: made otherwise than {first.path}: {'; '.join(differences)}; "
                "only caches made with the same settings can be merged"
            )
        cache.match(images)
        images |= cache.images
        caches.append(cache)
    check_images(images)
    made_by = [entry for cache in caches for entry in cache.provenance]
    with writing(out):
        merged = SamCache.create_or_resume(out, first.identity, images, *made_by)
        failed: dict[str, str] = {}
        todo = merged.missing()
        for count, name in enumerate(todo, 1):
            for cache in (cache for cache in caches if name in cache.images):
                try:
                    if cache.done(name):
                        merged.write(name, cache.read(name))
                        failed.pop(name, None)
                        break
                except InputError as error:
                    failed[name] = str(error)
            progress(count, len(todo))
    return failed
