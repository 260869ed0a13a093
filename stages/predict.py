"""Prediction: label maps and colour overlays of images, from a SegFormer directory.

    segmenter = Segmenter.load("runs/street", network="student")
    predict(segmenter, find_panoramas(Path("images")), Path("out"))

writes `out/labels/<path>.png` (uint8 ids) and `out/overlays/<path>.png`, `<path>` as below the
folder of images.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from transformers import SegformerForSemanticSegmentation

from data.classes import IGNORE, colourise, palette_for
from data.errors import InputError
from data.files import write_whole
from data.panoramas import Conversions, Sample, file_hash, read_image, read_panorama
from data.windows import Windows
from stages.adapt.models import class_names, load_segformer, normalise, segment
from stages.device import pick_device

Mode = Literal["direct", "windows"]
Network = Literal["student", "teacher_assistant"]

OVERLAY_OPACITY = 0.55
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
    """

    model: SegformerForSemanticSegmentation
    device: torch.device
    mode: Mode = "direct"
    windows: Windows | None = None

    @classmethod
    def load(
        cls,
        source: str | Path,
        network: Network = "student",
        mode: Mode = "direct",
        windows: Windows | None = None,
        device: str = "auto",
    ) -> Segmenter:
        """From a run directory, a SegFormer directory or a hub name. InputError if it is none."""
        model = load_segformer(model_folder(source, network))
        if len(class_names(model)) > IGNORE:
            raise InputError(
                f"{source}: more than {IGNORE} classes do not fit into 8-bit label maps"
            )
        where = pick_device(device)
        return cls(model.to(where).eval(), where, mode, windows)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their ids."""
        return class_names(self.model)

    @cached_property
    def palette(self) -> np.ndarray:
        """uint8 (C, 3): the colours of the classes."""
        return palette_for(self.names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of how they are used."""
        digest = hashlib.sha256(f"{self.mode} {self.windows} {self.names}".encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB -> uint8 (H, W) ids. InputError for sides below 32 px."""
        if self.mode == "windows":
            return self._geometry(image).join(self.window_labels(image))
        return self._labels(image[None])[0]

    def window_labels(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) RGB -> uint8 (n, H, window): the labels of each window on its own."""
        cut = self._geometry(image).cut(image.transpose(2, 0, 1))  # (n, 3, H, window)
        views = np.ascontiguousarray(cut.transpose(0, 2, 3, 1))
        return np.concatenate([self._labels(view[None]) for view in views])

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

    @torch.inference_mode()
    def _labels(self, images_NHWC: np.ndarray) -> np.ndarray:
        if min(images_NHWC.shape[1:3]) < SMALLEST_SIDE:
            raise InputError(f"an image or window side is shorter than {SMALLEST_SIDE} px")
        logits_NCHW = segment(self.model, normalise(images_NHWC, self.device))
        return logits_NCHW.argmax(dim=1).to(torch.uint8).cpu().numpy()


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
) -> PredictSummary:
    """Write the label map and the overlay of each sample; `progress` is told each finished name.

    fit: the size that all images are fitted to; None takes each as it is. Every label map carries
    the fingerprints of its image, model and settings: one that is there and still right is skipped,
    any other is written anew. An image that cannot be read is noted in `failed`, the others go on.
    """
    summary = PredictSummary()
    for sample in samples:
        labels_path = label_path(out, sample.name)
        overlay_path = _png(out / "overlays", sample.name)
        try:
            origin = _origin(segmenter, sample, fit)
            if overlay_path.is_file() and _stamp(labels_path) == origin:
                summary.skipped.append(sample.name)
            else:
                if fit is None:
                    image = read_image(sample.image, summary.conversions)
                else:
                    image = read_panorama(sample.image, fit, True, summary.conversions)
                labels = segmenter(image)
                write_whole(overlay_path, png_bytes(overlay(image, labels, segmenter.palette)))
                write_whole(labels_path, png_bytes(labels, origin))  # last: it says all is there
                summary.done.append(sample.name)
        except (InputError, OSError) as error:
            where = "" if str(sample.image) in str(error) else f"{sample.image}: "
            summary.failed[sample.name] = f"{where}{error}"
        progress(sample.name)
    return summary


def label_path(out: Path, name: str) -> Path:
    """Where `predict` puts the label map of the image `name`."""
    return _png(out / "labels", name)


def png_bytes(array: np.ndarray, origin: str | None = None) -> bytes:
    """A PNG file of uint8 (H, W) or (H, W, 3), with an optional note of its origin inside."""
    info = PngInfo()
    if origin is not None:
        info.add_text("goodsam", origin)
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "png", pnginfo=info)
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
