"""Prediction: label maps and colour overlays of images, from a SegFormer directory.

    segmenter = Segmenter.load("runs/street", network="student")
    predict(segmenter, find_panoramas(Path("images")), Path("out"))

writes `out/labels/<path>.png` (uint8 ids) and `out/overlays/<path>.png`, `<path>` as below the
folder of images, both in the image's own pixels; on demand `out/probabilities/<path>.npy`.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodsam.data.classes import IGNORE, colourise
from goodsam.data.errors import InputError
from goodsam.data.files import NO_ROOM, check_folder, file_hash, regular, write_whole
from goodsam.data.panoramas import IMAGE_FOLDER, Conversions, Sample, read_image
from goodsam.stages.segformer.segmenter import Segmenter

OVERLAY_OPACITY = 0.55
_THREADS = 2  # that read and write files beside the computing


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): the colours of `labels` laid over `image`; 255 leaves it as it is."""
    blended = (1 - OVERLAY_OPACITY) * image + OVERLAY_OPACITY * colourise(labels, palette)
    return np.where((labels == IGNORE)[..., None], image, np.rint(blended)).astype(np.uint8)


@dataclass
class PredictSummary:
    """What became of the images: written now, found already written, failed and why."""

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    conversions: Conversions = field(default_factory=Conversions)


def predict(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    out: Path,
    progress: Callable[[str], None] = lambda name: None,
    *,
    batch: int = 1,
    probabilities: bool = False,
) -> PredictSummary:
    """Write the label map and the overlay of each sample; `progress` is told each finished name.

    batch: how many images of one size are seen together. probabilities: also write
    `probabilities/<path>.npy`, float16 (C, h, w), at the size that the network sees. Every label
    map carries the fingerprints of its image, model and settings: one that is there and still right
    is skipped, any other is written anew. An image that cannot be read is noted in `failed`, the
    others are done. Files are read and written beside the computing.
    """
    check_folder(out / "labels", out / "overlays", out / "probabilities")
    _check_apart(samples, out)
    summary = PredictSummary()
    written: deque[tuple[Sample, Future[None]]] = deque()
    group: list[_Read] = []

    def read(sample: Sample) -> _Read:
        origin, seen = _origin(segmenter, sample), Conversions()
        files = [_png(out / "overlays", sample.name)]
        if probabilities:
            files.append(probability_path(out, sample.name))
        if all(f.is_file() for f in files) and _stamp(label_path(out, sample.name)) == origin:
            return _Read(sample, origin, seen)
        image = read_image(sample.image, seen)
        return _Read(sample, origin, seen, image, segmenter.view(image))

    def write(item: _Read, labels: np.ndarray, shares: np.ndarray | None) -> None:
        assert item.image is not None
        name = item.sample.name
        # what another model, or a run that was killed, left of this image is not taken for ours
        for stale in (label_path(out, name), probability_path(out, name)):
            stale.unlink(missing_ok=True)
        shown = overlay(item.image, labels, segmenter.palette)
        write_whole(_png(out / "overlays", name), png_bytes(shown, compress_level=1))
        if shares is not None:
            buffer = io.BytesIO()
            np.save(buffer, shares, allow_pickle=False)
            write_whole(probability_path(out, name), buffer.getvalue())
        write_whole(label_path(out, name), png_bytes(labels, item.origin))  # last: all is there

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
            if probabilities:
                labels, shares = segmenter.with_probabilities(views, group[0].size)
            else:
                labels, shares = segmenter.label(views, group[0].size), None
        except InputError as error:
            for item in group:
                fail(item.sample, error)
        else:
            for i, item in enumerate(group):
                share = None if shares is None else shares[i]
                written.append((item.sample, pool.submit(write, item, labels[i], share)))
        group.clear()
        settle(leave=max(batch, _THREADS))  # what is computed and not yet written costs memory

    with ThreadPoolExecutor(_THREADS) as pool:
        for sample, reading in _ahead(pool, read, samples, batch + _THREADS):
            try:
                item = reading.result()
            except (InputError, OSError) as error:
                fail(sample, error)
                continue
            summary.conversions.kinds.update(item.conversions.kinds)
            if item.image is None:
                summary.skipped.append(sample.name)
                progress(sample.name)
                continue
            if group and group[0].size != item.size:
                compute()
            group.append(item)
            if len(group) == batch:
                compute()
        if group:
            compute()
        settle(leave=0)
    return summary


def _check_apart(samples: Sequence[Sample], out: Path) -> None:
    """InputError if the results would lie among the images, to be taken for images next time."""
    whole = out.resolve()
    for sample in samples:
        parts = PurePosixPath(sample.name).parts
        folders = sample.image.parents[: len(parts) - (parts[0] == IMAGE_FOLDER)]
        above = [whole, *whole.parents]  # links are followed, in both directions
        if folders[-1].resolve() in above or whole in sample.image.resolve().parents:
            raise InputError(
                f"{out}: lies among the images of {folders[-1]}, and what is written there would "
                "be taken for images the next time; give a folder outside"
            )


@dataclass(frozen=True)
class _Read:
    """A sample's image and what the network sees of it; None where the results are there."""

    sample: Sample
    origin: str
    conversions: Conversions
    image: np.ndarray | None = None
    view: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image."""
        return (0, 0) if self.image is None else (self.image.shape[0], self.image.shape[1])


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
    return _png(out / "labels", name)


def probability_path(out: Path, name: str) -> Path:
    """Where `predict` puts the probabilities of the image `name`."""
    return (out / "probabilities" / PurePosixPath(name)).with_suffix(".npy")


def png_bytes(array: np.ndarray, origin: str | None = None, compress_level: int = 6) -> bytes:
    """A PNG file of uint8 (H, W) or (H, W, 3), with an optional note of its origin inside."""
    info = PngInfo()
    if origin is not None:
        info.add_text("goodsam", origin)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", pnginfo=info, compress_level=compress_level)
    return buffer.getvalue()


def _png(folder: Path, name: str) -> Path:
    return folder / PurePosixPath(name).with_suffix(".png")


def _origin(segmenter: Segmenter, sample: Sample) -> str:
    return f"image {file_hash(sample.image)} model {segmenter.fingerprint}"


def _stamp(path: Path) -> str | None:
    """The note of its origin in a label map, None if there is no such file."""
    if not path.is_file():
        return None
    try:
        with Image.open(regular(path)) as image:
            return image.info.get("goodsam")
    except Exception:  # a file that is no label map of ours, whatever pillow makes of it
        return None
