"""A run directory: what it says of itself, what it was started with, and whether it may resume.

RUN/config.yaml     every setting of stage 2
RUN/origin.json     identity of the cache, the hashes of the images, and the networks it began with
RUN/history.jsonl   when it began, went on and ended, and which settings were changed on the way
RUN/train.log       what was said meanwhile, with a line of progress a minute
RUN/metrics.jsonl, tensorboard/, pictures/, checkpoints/, teacher_assistant/, student/
RUN/val.jsonl, best/  with `--val`: scores on labelled panoramas, and the student with the best
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from goodsam.data.alone import alone
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
from goodsam.pipeline.history import add_event, changes, changes_line, read_history
from goodsam.pipeline.licences import LicensedNetwork, learners_of, networks_of
from goodsam.pipeline.tell import say
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.processes import is_first
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.checkpoint import latest_checkpoint, step_of
from goodsam.stages.export.card import card_of_run
from goodsam.stages.segformer.origin import KEY, origin_of

if TYPE_CHECKING:
    from goodsam.stages.segformer.segmenter import Segmenter

# settings that change where and how often, never what
FREE = ("device", "workers", "checkpoint_every", "pictures_every", "val_every", "trackers")
# those that a run may change when it goes on: what was done before stays as it is
CHANGEABLE = ("steps", "epochs", "teacher_lr", "student_lr", "precision", "collapse")


SETTINGS, ORIGIN, BEST = "config.yaml", "origin.json", "best"
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
            *(f"changed {line}" for line in changes(read_history(self.path))),
        )

    def moment(self, network: Segmenter) -> str:
        """In words that a network of this run is of a checkpoint, and why; "" where it is not."""
        if network.step is None:
            return ""
        last = (read_history(self.path) or [{"event": "began"}])[-1]
        how = "it has not ended"
        if last["event"] in ("stopped", "collapsed", "failed"):
            how = f"it {last['event'].replace('stopped', 'was stopped')} at step {last.get('step')}"
        learnt = "" if network.step else "; nothing is learnt by then"
        steps = self.config.length(len(self.images))
        return (
            f"the {network.network.replace('_', ' ')} of the newest checkpoint of this run, step "
            f"{network.step} of {steps}{learnt}; {how}"
        )


def say_moment(loaded: Segmenter) -> None:
    """Say so where a network is not a run's last word."""
    run = Run.found(loaded.source)
    if run is not None and (moment := run.moment(loaded)):
        say(f"{run.path}: {moment}")


def run_of(loaded: Segmenter) -> Run | None:
    """The run that a network was loaded from, or is the best of; None where none is known."""
    of_best = Run.found(Path(loaded.source).parent) if _chosen(loaded) else None
    return Run.found(loaded.source) or of_best


def _chosen(loaded: Segmenter) -> str:
    origin = origin_of(loaded.model, loaded.source)
    return "" if origin is None else origin.chosen


def facts_of(loaded: Segmenter) -> Sequence[str]:
    """What a model card says of a network's run, a line each; nothing where no run is known."""
    run, chosen = run_of(loaded), _chosen(loaded)
    if run is None:
        return () if not chosen else (chosen,)
    return tuple(fact for fact in (*run.facts(), run.moment(loaded), chosen) if fact)


def open_run(
    images: Path,
    cache: Path | str,
    out: Path,
    config: AdaptConfig,
    partial: bool = False,
    verify: bool = False,
) -> CachedPanoramas:
    """The finished panoramas of a cache, ready for training.

    Check that images, cache and run directory belong together; write OUT/config.yaml, and into
    OUT/history.jsonl that the run began or went on.

    Raises InputError as `finished_panoramas`, and for a run directory that was started with other
    settings than CHANGEABLE and FREE ones, or another cache.
    """
    check_folder(out)
    sam_cache, hashes = finished_panoramas(images, cache, partial, verify)
    return claimed(out, config, images, sam_cache, hashes, networks_of(config, sam_cache))


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
                f"{path}: not the image that {cache} was made from; make the cache again"
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
    """A README.md beside each network that a run has written: its licence, what it comes from."""
    for folder in (run.student, run.teacher_assistant, run.path / BEST):
        if (folder / "config.json").is_file():
            said = _read(folder / "config.json").get(KEY, {})
            facts = [fact for fact in (*run.facts(), said.get("chosen", "")) if fact]
            role = "student" if folder.name == BEST else folder.name
            card = card_of_run(role, run.licence, facts, said.get("starts", ()))
            write_whole(folder / "README.md", card)


@contextmanager
def held(out: Path) -> Iterator[None]:
    """The right to train in a run directory, which one process (of torchrun's, the first) has.

    A process that dies gives it back. InputError where another has it.
    """
    if not is_first():
        yield
        return
    check_folder(out)
    with alone(out):
        yield


def claimed(
    out: Path,
    config: AdaptConfig,
    images: Path,
    cache: SamCache,
    hashes: dict[str, str],
    networks: Sequence[LicensedNetwork],
) -> CachedPanoramas:
    """What `open_run` gives and writes, of panoramas that are known to be the cache's."""
    _claim(out, config, hashes, cache, networks)
    return CachedPanoramas(image_root(images), cache, list(hashes))


def _claim(
    out: Path,
    config: AdaptConfig,
    hashes: dict[str, str],
    cache: SamCache,
    networks: Sequence[LicensedNetwork],
) -> None:
    record = json.loads(
        json.dumps({"cache": cache.identity.to_json(), "images": hashes}, default=str)
    )
    text = as_yaml(config)
    newest = latest_checkpoint(out / "checkpoints")
    done = 0 if newest is None else step_of(newest)
    changed = {} if newest is None else _changed(out, yaml.safe_load(text), record, done)
    if (steps := config.length(len(hashes))) < done:
        raise InputError(
            f"{out}: has done {done} steps already; ask for as many or more, not {steps}"
        )
    if not is_first():
        return
    if newest is not None and done == 0 and changed:
        newest.unlink()  # nothing was learnt: it begins anew
    if done and (told := {name: pair for name, pair in changed.items() if name in CHANGEABLE}):
        say(f"{out}: resumes from step {done} with other settings: {changes_line(told)}")
    write_whole(out / SETTINGS, text)
    known = [network.to_json() for network in networks]
    write_whole(out / ORIGIN, json.dumps({**record, "networks": known}, indent=1))
    if done:
        add_event(out, done, "went on", changed=changed)
    else:
        add_event(out, 0, "began")


def _changed(
    out: Path, wanted: dict[str, Any], record: dict[str, Any], done: int
) -> dict[str, list[Any]]:
    """Settings that differ from those that the run has had: name -> [before, now].

    InputError where something was learnt and others than CHANGEABLE and FREE ones differ, or the
    cache does.
    """
    kept, before = _read(out / SETTINGS), _read(out / ORIGIN)
    differing = {
        name: [kept.get(name), value]
        for name, value in wanted.items()
        if kept.get(name) != value and (name in kept or name not in FREE)  # an older goodsam's
    }
    decisive = [name for name in differing if name not in (*FREE, *CHANGEABLE)]
    if any(before.get(key) != value for key, value in record.items()):
        decisive.append("the cache")
        differing["the cache"] = ["another", "this"]
    if decisive and done:
        raise InputError(
            f"{out}: was started with other settings ({', '.join(decisive)}); "
            f"choose another --out, or delete it (what may change: {', '.join(CHANGEABLE)})"
        )
    return differing


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
    return InputError(f"{path}: cannot be read ({error}); start a new run")
