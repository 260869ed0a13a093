"""Prediction: label maps and colour overlays of images, from a SegFormer directory.

    segmenter = Segmenter.load("runs/street", network="student")
    predict(segmenter, find_panoramas(Path("images")), Path("out"))

writes `out/labels/<path>.png` (uint8 ids) and `out/overlays/<path>.png`, `<path>` as below the
folder of images; on demand `out/probabilities/<path>.npy`.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from transformers import SegformerForSemanticSegmentation

from goodsam.data.classes import IGNORE, colourise, palette_for
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.panoramas import Conversions, Sample, file_hash, read_image, read_panorama
from goodsam.data.windows import Windows, widen
from goodsam.stages.device import pick_device
from goodsam.stages.segformer.files import class_names, load_segformer, normalise
from goodsam.stages.segformer.lean import LeanDecoder, lean_logits

Mode = Literal["direct", "windows"]
Network = Literal["student", "teacher_assistant"]

OVERLAY_OPACITY = 0.55
_THREADS = 2  # that read and write files beside the computing
SMALLEST_SIDE = 32  # below it a SegFormer's first attention has nothing left to attend to


def model_folder(source: str | Path, network: Network = "student") -> str | Path:
    """Where the weights are: a run directory's `student/` or `teacher_assistant/`, else `source`.

    Raises InputError for a run directory that has not written its networks yet.
    """
    folder = Path(source)
    if not folder.is_dir() or (folder / "config.json").is_file():
        return source
    if (folder / network / "config.json").is_file():
        return folder / network
    if (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir():
        raise InputError(f"{folder}: this run has no {network}/ yet; let `goodsam train` finish")
    return source


@dataclass(frozen=True)
class Segmenter:
    """A SegFormer that labels images of any size at their native size and aspect.

    mode: `direct` sees the image whole; `windows` sees the windows of METHOD and joins them.
    windows: the geometry of `windows`; None takes the default one of each image's size.
    wrap: `direct` sees the panorama go on past both ends, so that the seam is a place like any
    other.
    """

    model: SegformerForSemanticSegmentation
    device: torch.device
    mode: Mode = "direct"
    windows: Windows | None = None
    wrap: bool = False

    @classmethod
    def load(
        cls,
        source: str | Path,
        network: Network = "student",
        mode: Mode = "direct",
        windows: Windows | None = None,
        device: str = "auto",
        wrap: bool = False,
    ) -> Segmenter:
        """From a run directory, a SegFormer directory or a hub name. InputError if it is none."""
        if wrap and mode == "windows":
            raise InputError("--wrap: windows run over the seam by themselves; leave it out")
        model = load_segformer(model_folder(source, network))
        if len(class_names(model)) > IGNORE:
            raise InputError(
                f"{source}: more than {IGNORE} classes do not fit into 8-bit label maps"
            )
        where = pick_device(device)
        model.config.reshape_last_stage = True  # the decoder wants maps, not rows of tokens
        return cls(model.to(where).eval(), where, mode, windows, wrap)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their ids."""
        return class_names(self.model)

    @cached_property
    def palette(self) -> np.ndarray:
        """uint8 (C, 3): the colours of the classes."""
        return palette_for(self.names)

    @cached_property
    def _decoder(self) -> LeanDecoder:
        return LeanDecoder.of(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of how they are used."""
        how = f"{self.mode} {self.windows} {self.wrap} {self.names}"
        digest = hashlib.sha256(how.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB -> uint8 (H, W) ids. InputError for sides below 32 px."""
        return self.batch(image[None])[0]

    def batch(self, images_NHWC: np.ndarray) -> np.ndarray:
        """uint8 (N, H, W, 3) RGB -> uint8 (N, H, W) ids."""
        return _labels(self._logits(images_NHWC))

    def with_probabilities(self, images_NHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 (N, H, W) ids and float16 (N, C, H, W), the softmax that they are the argmax of."""
        logits_NCHW = self._logits(images_NHWC)
        probabilities = logits_NCHW.softmax(dim=1).half().contiguous().cpu().numpy()
        return _labels(logits_NCHW), probabilities

    def window_labels(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB -> uint8 (n, H, window): the labels of each window on its own."""
        views = self._views(image)
        return np.concatenate([_labels(self._see(view[None])) for view in views])

    def window_agreement(self, image: np.ndarray) -> float:
        """Percent of the pixels of all overlaps to which both windows give the same label."""
        geometry = self._geometry(image)
        labels = self.window_labels(image)
        pairs = [geometry.pair(labels, overlap) for overlap in geometry.overlaps]
        if not pairs:
            return float("nan")
        same = sum(int((left == right).sum()) for left, right in pairs)
        return 100 * same / sum(left.size for left, _ in pairs)

    def _geometry(self, image: np.ndarray) -> Windows:
        return self.windows or Windows.of(*image.shape[:2])

    def _views(self, image: np.ndarray) -> np.ndarray:
        return self._geometry(image).cut_images(image)

    @torch.inference_mode()
    def _logits(self, images_NHWC: np.ndarray) -> torch.Tensor:
        """float (N, C, H, W), channels last in memory."""
        if self.mode == "windows":
            joined = [
                self._geometry(image).join(
                    torch.cat([self._see(view[None]) for view in self._views(image)])
                )
                for image in images_NHWC
            ]
            return torch.stack(joined)
        if not self.wrap:
            return self._see(images_NHWC)
        width = images_NHWC.shape[2]
        margin = _margin(width)
        wide = widen(np.moveaxis(images_NHWC, -1, 1), margin)  # (N, 3, H, margin + W + margin)
        logits_NCHW = self._see(np.ascontiguousarray(np.moveaxis(wide, 1, -1)))
        return logits_NCHW[..., margin : margin + width]

    @torch.inference_mode()
    def _see(self, images_NHWC: np.ndarray) -> torch.Tensor:
        if min(images_NHWC.shape[1:3]) < SMALLEST_SIDE:
            raise InputError(f"an image or window side is shorter than {SMALLEST_SIDE} px")
        size = images_NHWC.shape[1:3]
        logits = lean_logits(self.model, self._decoder, normalise(images_NHWC, self.device))
        last = logits.contiguous(memory_format=torch.channels_last)
        return F.interpolate(last, size=size, mode="bilinear", align_corners=False)


def _margin(width: int) -> int:
    """Columns that `wrap` adds at either end: an eighth of the circle.

    A multiple of 32 px, the stride of the encoder's last stage, so that its grid lies on the image
    as without them.
    """
    return min(width, 32 * max(1, round(width / 8 / 32)))


def _labels(logits_NCHW: torch.Tensor) -> np.ndarray:
    # with a pixel's logits side by side in memory the argmax is six times as fast on a CPU
    last = logits_NCHW.contiguous(memory_format=torch.channels_last)
    return last.argmax(dim=1).to(torch.uint8).cpu().numpy()


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
    fit: Windows | None = None,
    progress: Callable[[str], None] = lambda name: None,
    *,
    batch: int = 1,
    probabilities: bool = False,
) -> PredictSummary:
    """Write the label map and the overlay of each sample; `progress` is told each finished name.

    fit: the size that all images are fitted to; None takes each as it is. batch: how many images of
    one size are seen together. probabilities: also write `probabilities/<path>.npy`, float16
    (C, H, W). Every label map carries the fingerprints of its image, model and settings: one that
    is there and still right is skipped, any other is written anew. An image that cannot be read is
    noted in `failed`, the others go on. Files are read and written beside the computing.
    """
    summary = PredictSummary()
    written: deque[tuple[str, Future[None]]] = deque()
    group: list[_Read] = []

    def read(sample: Sample) -> _Read:
        origin, seen = _origin(segmenter, sample, fit), Conversions()
        files = [_png(out / "overlays", sample.name)]
        if probabilities:
            files.append(probability_path(out, sample.name))
        if all(f.is_file() for f in files) and _stamp(label_path(out, sample.name)) == origin:
            return _Read(sample, origin, None, seen)
        if fit is None:
            image = read_image(sample.image, seen)
        else:
            image = read_panorama(sample.image, fit, True, seen)
        return _Read(sample, origin, image, seen)

    def write(item: _Read, labels: np.ndarray, shares: np.ndarray | None) -> None:
        assert item.image is not None
        name = item.sample.name
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
            name, future = written.popleft()
            future.result()
            summary.done.append(name)
            progress(name)

    def compute() -> None:
        images = np.stack([item.image for item in group if item.image is not None])
        try:
            if probabilities:
                labels, shares = segmenter.with_probabilities(images)
            else:
                labels, shares = segmenter.batch(images), None
        except InputError as error:
            for item in group:
                fail(item.sample, error)
        else:
            for i, item in enumerate(group):
                share = None if shares is None else shares[i]
                written.append((item.sample.name, pool.submit(write, item, labels[i], share)))
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
            if group and group[0].shape != item.shape:
                compute()
            group.append(item)
            if len(group) == batch:
                compute()
        if group:
            compute()
        settle(leave=0)
    return summary


@dataclass(frozen=True)
class _Read:
    """A sample's image, None where its results are there already."""

    sample: Sample
    origin: str
    image: np.ndarray | None
    conversions: Conversions

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.image is None else self.image.shape


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


def _origin(segmenter: Segmenter, sample: Sample, fit: Windows | None) -> str:
    size = "native" if fit is None else f"{fit.width}x{fit.height}"
    return f"image {file_hash(sample.image)} {size} model {segmenter.fingerprint}"


def _stamp(path: Path) -> str | None:
    """The note of its origin in a label map, None if there is no such file."""
    if not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            return image.info.get("goodsam")
    except OSError:
        return None
