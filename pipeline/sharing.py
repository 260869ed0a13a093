"""Networks, caches and label maps on the hub: `card` says what would stand there, `push` sends it.

A network goes to a model repository as `export` writes it, with its card. A cache goes to a data
set repository as one zip: its records are checked as it is packed, it is there whole or not at all,
and a folder of one file a panorama would soon be more files than the hub takes. Label maps go as
they are, without overlays, which show the photographs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from goodsam.data.errors import InputError
from goodsam.data.licences import Licence, strictest
from goodsam.pipeline.rundir import Run, facts_of, run_of
from goodsam.pipeline.stage1 import AnyPath
from goodsam.pipeline.tell import progress_bar, say
from goodsam.stages.uploads import RepoType, check_repo, check_token, files_of, upload

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.stages.segformer.segmenter import Segmenter
    from goodsam.stages.segformer.snapshot import Network

Kind = Literal["model", "cache", "labels"]

CARD, ARCHIVE = "README.md", "cache.zip"
MAPS = ("labels", "confidence", "trust")  # folders of maps that show no photograph
PATTERNS = tuple(f"{kind}/*.png" for kind in MAPS)  # `*` goes over `/` on the hub
NOBODYS = "OWNER/NAME"  # in a card that is not on the hub yet


@dataclass(frozen=True)
class Pushed:
    """url: of the repository; None after a dry run. files: name there -> bytes."""

    url: str | None
    files: dict[str, int]

    def __str__(self) -> str:
        return f"{len(self.files)} files, {sum(self.files.values()) / 2**20:.1f} MiB"


def card(
    source: AnyPath,
    *,
    network: Network = "student",
    scores: AnyPath | None = None,
) -> str:
    r"""The card that `push` would write of a network, a cache or a folder of label maps, Markdown.

    source: as for `push`. scores: an eval.json, for a network's numbers. A folder that has a card,
    as `export` writes one, keeps it unless there are new scores.

    >>> print(card("street-student").split("\n\n")[1])
    # SegFormer for panoramas, street-student
    """
    from goodsam.stages.export.card import model_card

    name = os.fspath(source)
    kind, record = _kind(name), _record(name, scores)
    if kind == "cache":
        return _card_of_cache(_cache(name), NOBODYS)
    if kind == "labels":
        return _card_of_labels(Path(name), _maps(Path(name)), NOBODYS)
    if record is None and (own := _own_card(name)):
        return own
    loaded = _network(name, network)
    return model_card(loaded, facts_of(loaded), record)


def push(
    repo: str,
    source: AnyPath,
    *,
    network: Network = "student",
    scores: AnyPath | None = None,
    private: bool = False,
    revision: str | None = None,
    dry_run: bool = False,
) -> Pushed:
    """Upload a network, a SAM cache or a folder of label maps to the Hugging Face hub.

    repo: OWNER/NAME, made if it is not there. source: a run or another network; a cache, as a
    folder, a zip or a URL; or a folder that `predict` or `label` wrote.
    network: which of a run's two. scores: an eval.json, for the card's numbers. private: as a
    private repository. revision: the branch, made if it is not there. dry_run: prepare everything,
    send nothing, ask for no token.

    The token is that of `hf auth login` or HF_TOKEN. Raises InputError for wrong names, without a
    token, for what the hub refuses, and, unless private, for a licence whose name says that nothing
    made from it be shared; OSError if the hub cannot be reached or the upload breaks off: nothing
    here has changed then, and the same call resumes.

    >>> list(push("me/street", "street-student", dry_run=True).files)
    ['README.md', 'config.json', 'model.safetensors', 'preprocessor_config.json']
    """
    check_repo(repo, revision)
    if not dry_run:
        check_token()
    name = os.fspath(source)
    kind, record = _kind(name), _record(name, scores)
    with TemporaryDirectory(prefix="goodsam-push-") as made:
        folder = Path(made) / "content"
        if kind == "model":
            _stage_network(_network(name, network), record, folder, private)
        elif kind == "cache":
            _stage_cache(_cache(name), repo, folder, private)
        else:
            _stage_labels(Path(name), repo, folder)
        pushed = Pushed(None, files_of(folder))
        if dry_run:
            return pushed
        say(f"{name}: {pushed} to {repo}")
        to: RepoType = "model" if kind == "model" else "dataset"
        replaces = PATTERNS if kind == "labels" else ()
        url = upload(folder, repo, to, private=private, revision=revision, replaces=replaces)
        return replace(pushed, url=url)


def _kind(name: str) -> Kind:
    """What is to be shared. InputError for a folder that holds nothing of ours."""
    from goodsam.data.cache.address import is_url

    path = Path(name)
    packed = path.is_file() and path.suffix == ".zip"
    if packed or is_url(name) or (path / "zarr.json").is_file():
        return "cache"
    if Run.found(path) or not path.exists() or (path / "config.json").is_file():
        return "model"
    if (path / "classes.json").is_file():
        return "labels"
    raise InputError(
        f"{path}: nothing that can be shared; give a run, a folder that transformers loads, a "
        "cache, or a folder that `goodsam predict` or `goodsam label` wrote"
    )


def _stage_network(
    loaded: Segmenter, record: dict[str, Any] | None, folder: Path, private: bool
) -> None:
    from goodsam.stages.export.huggingface import export_huggingface

    _refuse_what_is_kept(loaded.source, loaded.licence, private)
    found = export_huggingface(loaded, folder, facts_of(loaded), record)
    if record is None and (own := _own_card(loaded.source)):
        (folder / CARD).write_text(own, encoding="utf-8")
    say(f"{loaded.source}: {found}")


def _own_card(name: str) -> str:
    """The card in a folder of one network, which says what was known when it was written; or ""."""
    path = Path(name) / CARD
    if Run.found(Path(name)) or not path.is_file():
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text; write it anew, or remove it") from error


def _stage_cache(cache: SamCache, repo: str, folder: Path, private: bool) -> None:
    from goodsam.data.cache.archive import pack

    _refuse_what_is_kept(str(cache.path), _licence_of(cache), private)
    folder.mkdir()
    with progress_bar("pack") as update:
        pack(cache, folder / ARCHIVE, update)
    (folder / CARD).write_text(_card_of_cache(cache, repo), encoding="utf-8")


def _stage_labels(labelled: Path, repo: str, folder: Path) -> None:
    """Links to the maps: nothing is copied."""
    maps = _maps(labelled)
    for path in (labelled / "classes.json", *maps):
        link = folder / path.relative_to(labelled)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
    (folder / CARD).write_text(_card_of_labels(labelled, maps, repo), encoding="utf-8")


def _network(name: str, network: Network) -> Segmenter:
    """The network, under the licence of its run where one is known."""
    from goodsam.pipeline.api import load

    loaded = load(name, network=network, device="cpu")
    run = run_of(loaded)
    return loaded if run is None else replace(loaded, licence=run.licence)


def _cache(name: str) -> SamCache:
    from goodsam.data.cache import SamCache

    return SamCache.open(name)


def _licence_of(cache: SamCache) -> Licence:
    from goodsam.pipeline.licences import sams_of

    return strictest(sam.licence for sam in sams_of(cache))


def _record(name: str, scores: AnyPath | None) -> dict[str, Any] | None:
    """The content of an eval.json. InputError where what is to be shared is no network."""
    from goodsam.pipeline.scoring import read_record

    if scores is None:
        return None
    if _kind(name) != "model":
        raise InputError(f"{name}: no network, so it has no scores; leave --scores out")
    return read_record(Path(scores))


def _card_of_cache(cache: SamCache, repo: str) -> str:
    from goodsam.stages.export.dataset_card import cache_card

    return cache_card(cache, _licence_of(cache), repo, ARCHIVE)


def _card_of_labels(labelled: Path, maps: list[Path], repo: str) -> str:
    """The folder's own card, if somebody has written one."""
    from goodsam.data.labels import read_classes
    from goodsam.stages.export.dataset_card import labels_card

    if (labelled / CARD).is_file():
        return (labelled / CARD).read_text(encoding="utf-8")
    kinds = [path.relative_to(labelled).parts[0] for path in maps]
    others = [kind for kind in MAPS[1:] if kind in kinds]
    return labels_card(read_classes(labelled), kinds.count(MAPS[0]), others, repo)


def _maps(labelled: Path) -> list[Path]:
    """The maps of a folder that are shared. InputError for a folder without label maps."""
    from goodsam.data.files import regular

    found = [regular(p) for kind in MAPS for p in sorted((labelled / kind).rglob("*.png"))]
    if not any(path.relative_to(labelled).parts[0] == MAPS[0] for path in found):
        raise InputError(f"{labelled}/{MAPS[0]}: no label maps; run goodsam predict or label first")
    return found


def _refuse_what_is_kept(what: str, licence: Licence, private: bool) -> None:
    if licence.forbids_sharing and not private:
        raise InputError(f"{what}: {licence}; take other networks, or share it with --private only")
