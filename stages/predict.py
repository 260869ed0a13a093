"""Prediction: label maps and colour overlays of images, from a SegFormer directory.

    segmenter = Segmenter.load("runs/street", network="student")
    predict(segmenter, find_panoramas(Path("images")), Path("out"))

writes `out/labels/<path>.png` (ids, with the classes' colours as palette), what the ids mean in
`out/classes.json`, and `out/overlays/<path>.png`, `<path>` as below the folder of images, all in
the image's own pixels; on demand `out/confidence/<path>.png` and `out/probabilities/<path>.npy`.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Protocol, get_args

import numpy as np

from goodsam.data.alone import alone
from goodsam.data.classes import IGNORE, colourise
from goodsam.data.errors import InputError
from goodsam.data.files import NO_ROOM, check_folder, write_whole
from goodsam.data.hashes import NAME as HASHES
from goodsam.data.hashes import Hashes
from goodsam.data.labels import grey_png, label_png, rgb_png, write_classes
from goodsam.data.labels.classes_file import NAME as CLASSES
from goodsam.data.labels.classes_file import classes_json
from goodsam.data.labels.maps import is_foreign, read_stamp
from goodsam.data.panoramas import Conversions, Placement, Sample, image_size, read_image
from goodsam.data.ranges import COUNT, check_range
from goodsam.stages.segformer.native import MapKind, Maps

OVERLAY_OPACITY = 0.55
KINDS = ("labels", "overlays", *get_args(MapKind))  # of maps, each in a folder of its own
# that read and write files beside the computing
_THREADS = min(4, max(2, os.cpu_count() or 1))
_LOOKED_AT = 100  # label maps at most, for a stamp of ours
_CACHED = 2**15  # pixels whose colours are looked up at once


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): the colours of `labels` laid over `image`; 255 leaves it as it is.

    All pairs of a label and a value of the image are blended once and looked up, channel by
    channel, in as many rows as the processor's caches hold.
    """
    values = np.arange(256)
    colours = colourise(values.astype(np.uint8), palette)  # of each label, red, green and blue
    mixed = (1 - OVERLAY_OPACITY) * values + OVERLAY_OPACITY * colours.T[..., None]
    mixed[:, IGNORE] = values
    pairs = np.rint(mixed).astype(np.uint8).reshape(3, -1)
    laid = np.empty_like(image)
    step = max(1, _CACHED // image.shape[1])
    for top in range(0, len(image), step):
        rows = slice(top, top + step)
        first = labels[rows].astype(np.intp) << 8  # of a label's pairs
        for channel in range(3):
            laid[rows, :, channel] = pairs[channel].take(first | image[rows, :, channel])
    return laid


class Labeller(Protocol):
    """Whoever labels photographs: a network, or the ensemble of stage 2.

    fingerprint: changes when labels may. placement: how a photograph lies on its sphere. view: what
    it sees of an image; kept_view: the same of one that was fitted before, None if none is kept.
    maps: what it says of the images called so, of one size and placement, from
    their views.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def palette(self) -> np.ndarray: ...
    @property
    def fingerprint(self) -> str: ...
    def placement(self, path: Path, size: tuple[int, int]) -> Placement | None: ...
    def view(self, image: np.ndarray, placement: Placement | None = None) -> np.ndarray: ...
    def kept_view(self, name: str, sha256: str) -> np.ndarray | None: ...
    def maps(
        self,
        names: Sequence[str],
        views_NHWC: np.ndarray,
        size: tuple[int, int],
        wanted: Collection[MapKind] = (),
        placement: Placement | None = None,
    ) -> Maps: ...


@dataclass
class PredictSummary:
    """What became of the images: written now, found already written, failed and why."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    conversions: Conversions = field(default_factory=Conversions)

    def __str__(self) -> str:
        done, skipped, failed = map(len, (self.done, self.skipped, self.failed))
        return f"{done} written, {skipped} already there, {failed} failed"


def predict(
    labeller: Labeller,
    samples: Sequence[Sample],
    out: Path,
    progress: Callable[[str], None] = lambda name: None,
    *,
    batch: int = 1,
    wanted: Collection[MapKind] = (),
    overlays: bool = True,
    verify: bool = False,
) -> PredictSummary:
    """Write the label map and the overlay of each sample; `progress` is told each finished name.

    batch: how many images of one size are seen together. wanted: also write `confidence/` or
    `trust/<path>.png`, uint8 with 255 for 1, or `probabilities/<path>.npy`, float16 (C, h, w), at
    the size that the network sees. overlays: without them a photograph that was fitted before need
    not be decoded. verify: read every image, even those whose size and time of change are as
    remembered in `out`. Every label map carries the fingerprints of its image, model and
    settings: one that is there and still right is skipped, any other is written anew. An image that
    cannot be read is noted in `failed`, the others are done. Files are read and written beside the
    computing. InputError for maps in the way that were drawn or corrected elsewhere, and while
    another process writes into `out`.
    """
    check_range("batch", batch, COUNT)
    check_folder(*(out / kind for kind in KINDS))
    _check_apart(samples, out)
    _check_ours(samples, out, labeller)
    summary = PredictSummary()
    written: deque[tuple[Sample, Future[None]]] = deque()
    group: list[_Read] = []

    def read(sample: Sample) -> _Read:
        sha256, seen = hashes.of(sample.image), Conversions()
        origin = f"image {sha256} model {labeller.fingerprint} palette"
        kinds = ["overlays", *wanted] if overlays else wanted
        files = [map_path(out, kind, sample.name) for kind in kinds]
        if all(f.is_file() for f in files) and read_stamp(label_path(out, sample.name)) == origin:
            return _Read(sample, origin, seen)
        kept = None if overlays else labeller.kept_view(sample.name, sha256)
        if kept is not None:
            size = image_size(sample.image)
            where = labeller.placement(sample.image, size)
            return _Read(sample, origin, seen, None, kept, where, size)
        image = read_image(sample.image, seen)
        size = (image.shape[0], image.shape[1])
        where = labeller.placement(sample.image, size)
        return _Read(sample, origin, seen, image, labeller.view(image, where), where, size)

    def write(item: _Read, labels: np.ndarray, others: dict[MapKind, np.ndarray]) -> None:
        name = item.sample.name
        # what another model, or a run that was killed, left of this image is not taken for ours
        for kind in KINDS:
            map_path(out, kind, name).unlink(missing_ok=True)
        if overlays:
            assert item.image is not None
            shown = overlay(item.image, labels, labeller.palette)
            write_whole(map_path(out, "overlays", name), rgb_png(shown))
        for other, map_ in others.items():
            content = _npy(map_) if other == "probabilities" else grey_png(map_)
            write_whole(map_path(out, other, name), content)
        png = label_png(labels, labeller.palette, name, item.origin)
        write_whole(label_path(out, name), png)  # last: all is there

    def fail(sample: Sample, error: Exception) -> None:
        where = "" if str(sample.image) in str(error) else f"{sample.image}: "
        summary.failed[sample.name] = f"{where}{error}"
        progress(sample.name)

    def settle(leave: int) -> None:
        while len(written) > leave:
            sample, future = written.popleft()
            try:
                future.result()
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise
                fail(sample, error)
                continue
            summary.done.append(sample.name)
            progress(sample.name)

    def compute() -> None:
        views = np.stack([item.view for item in group if item.view is not None])
        try:
            names = [item.sample.name for item in group]
            found = labeller.maps(names, views, group[0].size, wanted, group[0].placement)
        except InputError as error:
            for item in group:
                fail(item.sample, error)
        else:
            for i, item in enumerate(group):
                task = pool.submit(write, item, found.labels[i], found.of(i))
                written.append((item.sample, task))
        group.clear()
        settle(leave=max(batch, _THREADS))  # what is computed and not yet written costs memory

    with alone(out), ThreadPoolExecutor(_THREADS) as pool:
        hashes = Hashes(out / HASHES, verify)
        write_classes(out, labeller.names, labeller.palette)
        (out / "labels").mkdir(exist_ok=True)  # by it the folder is known as ours, from the start
        for sample, reading in _ahead(pool, read, samples, batch + _THREADS):
            try:
                item = reading.result()
            except (InputError, OSError) as error:
                fail(sample, error)
                continue
            summary.conversions.kinds.update(item.conversions.kinds)
            if item.view is None:
                summary.skipped.append(sample.name)
                progress(sample.name)
                continue
            if group and (group[0].size, group[0].placement) != (item.size, item.placement):
                compute()
            group.append(item)
            if len(group) == batch:
                compute()
        if group:
            compute()
        settle(leave=0)
    return summary


def _check_apart(samples: Sequence[Sample], out: Path) -> None:
    """InputError if the results would lie beside the images, to be taken for images next time.

    A folder of results among the images is known for what it is, and left out.
    """
    whole = out.resolve()
    for sample in samples:
        parts = PurePosixPath(sample.name).parts
        root = sample.image.parents[len(parts) - 1]
        if whole in sample.image.resolve().parents and whole not in root.resolve().parents:
            raise InputError(
                f"{out}: images lie in it, and what is written there would be taken for images the "
                "next time; give a folder of its own"
            )


def _check_ours(samples: Sequence[Sample], out: Path, labeller: Labeller) -> None:
    """InputError if there is something where the results go that is none of ours.

    A label map without a stamp was drawn or corrected elsewhere. The folder is ours where a map has
    a stamp, or `classes.json` is what would be written now; then other maps are ours too.
    """
    listed, kept = out / CLASSES, islice((out / "labels").rglob("*.png"), _LOOKED_AT)
    ours = any(read_stamp(path) is not None for path in kept)
    if not ours and listed.is_file():
        content = classes_json(labeller.names, labeller.palette)
        ours = listed.read_bytes() == content.encode()
    foreign = [listed] if listed.exists() and not ours else []
    for sample in samples:
        path = label_path(out, sample.name)
        if is_foreign(path):
            foreign.append(path)
        if not ours:
            others = (map_path(out, kind, sample.name) for kind in KINDS if kind != "labels")
            foreign += [other for other in others if other.exists()]
    if foreign:
        more = f" ({len(foreign)} such files)" if len(foreign) > 1 else ""
        raise InputError(
            f"{foreign[0]}: was not written by goodsam, or was changed since, and would be replaced"
            f"{more}; give another folder, or move it away"
        )


@dataclass(frozen=True)
class _Read:
    """A sample's image, if it is needed, and what the network sees of it; size: of the image.

    view is None where the results are there.
    """

    sample: Sample
    origin: str
    conversions: Conversions
    image: np.ndarray | None = None
    view: np.ndarray | None = None
    placement: Placement | None = None
    size: tuple[int, int] = (0, 0)


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Sample], _Read], samples: Sequence[Sample], depth: int
) -> Iterator[tuple[Sample, Future[_Read]]]:
    """The samples in order, each with its image being read, at most `depth` ahead."""
    waiting: deque[tuple[Sample, Future[_Read]]] = deque()
    for sample in samples:
        waiting.append((sample, pool.submit(read, sample)))
        if len(waiting) > depth:
            yield waiting.popleft()
    yield from waiting


def label_path(out: Path, name: str) -> Path:
    """Where `predict` puts the label map of the image `name`."""
    return map_path(out, "labels", name)


def map_path(out: Path, kind: str, name: str) -> Path:
    """Where `predict` puts another map of the image `name`: overlays, confidence and so on."""
    suffix = ".npy" if kind == "probabilities" else ".png"
    return (out / kind / PurePosixPath(name)).with_suffix(suffix)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
