"""A run directory: what it says of itself, what it was started with, and whether it may resume.

RUN/config.yaml     every setting of stage 2
RUN/origin.json     identity of the cache, the hashes of the images, and the networks it began with
RUN/metrics.jsonl, tensorboard/, checkpoints/, teacher_assistant/, student/
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from goodsam.data.cache import Identity, SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole
from goodsam.data.geometry import Geometry
from goodsam.data.hashes import Hashes
from goodsam.data.licences import UNKNOWN, Licence, strictest
from goodsam.data.panoramas import image_root, survey
from goodsam.data.panoramas.fitted import hashes_beside
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.pipeline.config import MAX_SETTINGS, as_yaml, build, read_yaml
from goodsam.pipeline.licences import (
    LicensedNetwork,
    learners_of,
    networks_of,
    refuse_unless_commercial,
)
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.checkpoint import latest_checkpoint
from goodsam.stages.export import card_of_run

# settings that change where and how often, never what
FREE = ("device", "workers", "checkpoint_every", "pictures_every")

SETTINGS, ORIGIN = "config.yaml", "origin.json"
CAME = {
    "student": "student started from",
    "TA": "teacher assistant started from",
    "SAM": "masks by SAM",
}


@dataclass(frozen=True)
class Run:
    """A directory that `goodsam train` writes. path: to it; a Run can be given wherever a path can.

    >>> from goodsam.pipeline.rundir import Run
    >>> Run.found("no such folder") is None
    True
    """

    path: Path

    @classmethod
    def found(cls, source: str | os.PathLike[str]) -> Run | None:
        """The run at `source`; None where there is none, as for a model's folder or a hub name."""
        path = Path(source)
        return cls(path) if (path / SETTINGS).is_file() else None

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def student(self) -> Path:
        """The adapted student: a folder that transformers loads."""
        return self.path / "student"

    @property
    def teacher_assistant(self) -> Path:
        """The adapted teacher assistant (TA), likewise."""
        return self.path / "teacher_assistant"

    @cached_property
    def config(self) -> AdaptConfig:
        """Every setting of stage 2. InputError for a file that is torn."""
        return build(AdaptConfig, _read(self.path / SETTINGS))

    @cached_property
    def _origin(self) -> dict[str, Any]:
        found = _read(self.path / ORIGIN)
        try:
            return {
                "cache": Identity.from_json(found["cache"]),
                "images": dict(found["images"]),
                "networks": tuple(map(LicensedNetwork.from_json, found.get("networks", ()))),
            }
        except (ValueError, KeyError, TypeError) as error:
            raise _torn(self.path / ORIGIN, error) from error

    @property
    def geometry(self) -> Geometry:
        """How its panoramas were seen: fitted or not, by which windows, without which pixels."""
        return self._origin["cache"].geometry

    @property
    def images(self) -> dict[str, str]:
        """The panoramas that it learns from: name -> SHA-256."""
        return self._origin["images"]

    @property
    def networks(self) -> tuple[LicensedNetwork, ...]:
        """What it was made from: SAM, TA and student, each with its licence."""
        older = (LicensedNetwork("SAM", None, UNKNOWN), *learners_of(self.config))
        return self._origin["networks"] or older

    @property
    def licence(self) -> Licence:
        """Of what was trained: the strictest of those of its networks."""
        return strictest(network.licence for network in self.networks)

    def facts(self) -> Sequence[str]:
        """What a model card says of the run, a line each."""
        config = self.config
        named = (network for network in self.networks if network.name is not None)
        return (
            *(f"{CAME[of.role]} {of.name}, licence: {of.licence}" for of in named),
            f"adapted to {len(self.images)} panoramas, without a label",
            f"seed {config.seed}; learning rates {config.student_lr} and {config.teacher_lr}",
        )


def open_run(
    images: Path,
    cache: Path | str,
    out: Path,
    config: AdaptConfig,
    partial: bool = False,
    verify: bool = False,
    commercial: bool = False,
) -> CachedPanoramas:
    """The finished panoramas of a cache, ready for training.

    Check that images, cache and run directory belong together; write OUT/config.yaml.

    Raises InputError as `finished_panoramas`, and for a run directory that was started with other
    settings or another cache; if `commercial`, as `refuse_unless_commercial` for its networks.
    """
    check_folder(out)
    sam_cache, hashes = finished_panoramas(images, cache, partial, verify)
    networks = networks_of(config, sam_cache)
    if commercial:
        refuse_unless_commercial(networks)
    _claim(out, config, hashes, sam_cache, networks)
    return CachedPanoramas(image_root(images), sam_cache, list(hashes))


def finished_panoramas(
    images: Path, cache: Path | str, partial: bool = False, verify: bool = False
) -> tuple[SamCache, dict[str, str]]:
    """The cache, and the hash of each panorama whose masks are there, by name.

    Of a folder those that the cache was made from; of one image or a list, these alone. partial:
    leave out panoramas that the cache lacks. verify: read every image, even those whose size and
    time of change are as remembered. Raises InputError for a cache that is unfinished or made from
    other images.
    """
    sam_cache = SamCache.open(cache)
    given = _given_names(images, sam_cache, partial)
    images = image_root(images)
    missing = [name for name in sam_cache.missing() if given is None or name in given]
    names = sorted((set(sam_cache.names) if given is None else given) - set(missing))
    if not names:
        raise InputError(f"{cache}: holds no finished panorama; run goodsam cache-sam first")
    if missing and not partial:
        raise InputError(
            f"{cache}: {len(missing)} of {len(sam_cache.names)} panoramas are not done "
            f"(the first: {missing[0]}); start goodsam cache-sam again to finish it, or pass "
            "--partial to leave them out"
        )
    hashes, known = sam_cache.images, Hashes(hashes_beside(cache), verify)
    for name in names:
        path = images / name
        if not path.is_file():
            raise InputError(f"{path}: the cache was made from it and it is gone; wrong IMAGES?")
        if known.of(path) != hashes[name]:
            raise InputError(
                f"{path}: not the image that {cache} was made from; make the cache anew"
            )
    return sam_cache, {name: hashes[name] for name in names}


def _given_names(images: Path, cache: SamCache, partial: bool) -> set[str] | None:
    """The names of one image, or of those of a list, that are the cache's; None for a folder."""
    if images.is_dir():
        return None
    names = {sample.name for sample in survey(images).samples}
    unknown = sorted(names - set(cache.names))
    if unknown and not partial:
        raise InputError(
            f"{images}: the cache holds no {unknown[0]}; put a list into the folder that the cache "
            "was made from, or pass --partial to leave out what the cache lacks"
        )
    return names - set(unknown)


def write_cards(run: Run) -> None:
    """A README.md beside each of a run's networks: their licence, and what they come from."""
    for folder in (run.student, run.teacher_assistant):
        card = card_of_run(folder.name, run.licence, run.facts())
        write_whole(folder / "README.md", card)


def _claim(
    out: Path,
    config: AdaptConfig,
    images: dict[str, str],
    cache: SamCache,
    networks: Sequence[LicensedNetwork],
) -> None:
    record = json.loads(
        json.dumps({"cache": cache.identity.to_json(), "images": images}, default=str)
    )
    settings, origin = out / SETTINGS, out / ORIGIN
    text = as_yaml(config)
    if latest_checkpoint(out / "checkpoints") is not None:
        kept, wanted = _read(settings), yaml.safe_load(text)
        differing = [key for key in wanted if key not in FREE and kept.get(key) != wanted[key]]
        before = _read(origin)
        if any(before.get(key) != value for key, value in record.items()):
            differing.append("the cache")
        if differing:
            raise InputError(
                f"{out}: was started with other settings ({', '.join(differing)}); "
                "choose another --out, or delete it"
            )
    write_whole(settings, text)
    record |= {"networks": [network.to_json() for network in networks]}
    write_whole(origin, json.dumps(record, indent=1))


def _read(path: Path) -> dict[str, Any]:
    """The mapping in a run's YAML or JSON. InputError for a file that is torn."""
    try:
        values = (
            parse_json(read_bounded(path))
            if path.suffix == ".json"
            else read_yaml(read_bounded(path, MAX_SETTINGS))
        )
        if not isinstance(values, dict):
            raise ValueError("it holds no mapping")
    except (OSError, ValueError) as error:
        raise _torn(path, error) from error
    return values


def _torn(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({error}); start the run anew")
