"""A run directory: what it was started with, and whether it may go on."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.panoramas import file_hash
from goodsam.pipeline.config import as_yaml
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.checkpoint import latest_checkpoint

# settings that change where and how often, never what
FREE = ("device", "workers", "checkpoint_every", "pictures_every")


def open_run(
    images: Path, cache: Path | str, out: Path, config: AdaptConfig, partial: bool = False
) -> CachedPanoramas:
    """The finished panoramas of a cache, ready for training.

    Check that images, cache and run directory belong together; write OUT/config.yaml.

    Raises InputError for a cache that is unfinished or made from other images, and for a run
    directory that was started with other settings or another cache.
    """
    if not images.is_dir():
        raise InputError(f"{images}: no such folder of images")
    sam_cache = SamCache.open(cache)
    missing = sam_cache.missing()
    names = sorted(set(sam_cache.names) - set(missing))
    if not names:
        raise InputError(f"{cache}: holds no finished panorama; run goodsam cache-sam first")
    if missing and not partial:
        raise InputError(
            f"{cache}: {len(missing)} of {len(sam_cache.names)} panoramas are not done "
            f"(the first: {missing[0]}); start goodsam cache-sam again to finish it, or pass "
            "--partial to leave them out"
        )
    hashes = sam_cache.images
    for name in names:
        path = images / name
        if not path.is_file():
            raise InputError(f"{path}: the cache was made from it and it is gone; wrong IMAGES?")
        if file_hash(path) != hashes[name]:
            raise InputError(
                f"{path}: not the image that {cache} was made from; make the cache anew"
            )
    _claim(out, config, {name: hashes[name] for name in names}, sam_cache)
    return CachedPanoramas(images, sam_cache, names)


def _claim(out: Path, config: AdaptConfig, images: dict[str, str], cache: SamCache) -> None:
    record = json.loads(
        json.dumps({"cache": cache.identity.to_json(), "images": images}, default=str)
    )
    settings, origin = out / "config.yaml", out / "origin.json"
    text = as_yaml(config)
    if latest_checkpoint(out / "checkpoints") is not None:
        kept, wanted = yaml.safe_load(settings.read_text()), yaml.safe_load(text)
        differing = [key for key in wanted if key not in FREE and kept.get(key) != wanted[key]]
        if json.loads(origin.read_text()) != record:
            differing.append("the cache")
        if differing:
            raise InputError(
                f"{out}: was started with other settings ({', '.join(differing)}); "
                "choose another --out, or delete it"
            )
    write_whole(settings, text)
    write_whole(origin, json.dumps(record, indent=1))
