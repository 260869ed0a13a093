"""Images to masks: SAM's automatic mask generation.

Gives the masks of `segment_anything.SamAutomaticMaskGenerator` (no crops, no minimal region), and
does less for them: attention in another order (`decode`, `encode`), masks only for prompts whose
predicted IoU passes, brought to the image's size in one step where SAM's two come to the same, kept
as bits until the overlapping ones are sorted out, and never encoded to run lengths. Order: falling
predicted IoU; equal ones by place in the grid of points (row by row), then by output.

`points` adaptive prompts a quarter of the grid first, and of the rest only the points that no two
of those prompts' masks have settled between them: fewer prompts, and some parts of large things are
lost.

`exact` does all this in float32: only the order of sums differs. `fast` takes bfloat16 for the
encoder and the decoder's image side where the hardware has it; on a CPU without, 8-bit integers
(`int8`) for the linear layers of both and for products with the image's tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from segment_anything.utils.amg import build_point_grid
from torch import Tensor
from torchvision.ops import nms

from goodsam.data.errors import InputError
from goodsam.data.ranges import AT_LEAST_0, COUNT, SHARE, Range, check_ranges
from goodsam.data.window_masks import WindowMasks
from goodsam.stages.sam.decode import (
    ProjectedImage,
    decode_masks,
    decode_tokens,
    project_image,
    upscaling_in_int8,
)
from goodsam.stages.sam.encode import encode
from goodsam.stages.sam.int8 import has_fast_int8, in_int8
from goodsam.stages.sam.square import resize_of

Mode = Literal["fast", "exact"]
Points = Literal["grid", "adaptive"]
AGREEMENT = 0.9  # IoU from which the masks of two prompts are one
IMAGES_TOGETHER = {"cpu": 1, "cuda": 8}  # in the encoder at once
PROMPTS_TOGETHER = {"cpu": 4, "cuda": 256}  # in the decoder: on a CPU few, for the caches' sake
MULTIMASK = 3  # outputs per point: whole, part, subpart; the decoder's mask tokens 1 to 3


@dataclass(frozen=True)
class GeneratorConfig:
    """SAM's own settings and defaults.

    mode: fast or exact, points: grid or adaptive, as the module says. points_per_side: prompts are
    a grid of this many squared. points_per_batch: prompts decoded at once, a matter of memory and
    speed; None: 4 on a CPU, 256 on a GPU. pred_iou_thresh, stability_score_thresh: masks below are
    dropped; stability is the IoU (intersection over union) of the masks cut
    `stability_score_offset` above and below the threshold. box_nms_thresh: of masks whose boxes
    overlap more, the one with the highest predicted IoU stays (non-maximum suppression, NMS).

    Raises InputError for a setting outside its range.
    """

    mode: Mode = "fast"
    points: Points = "grid"
    points_per_side: int = 32
    points_per_batch: int | None = None
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES, "")
        for name, kind in (("mode", Mode), ("points", Points)):
            if (value := getattr(self, name)) not in get_args(kind):
                raise InputError(f"{name} {value!r}: use {' or '.join(get_args(kind))}")


_RANGES = {
    "points_per_side": Range(1, 1000),  # a grid of a million
    "points_per_batch": COUNT,
    **dict.fromkeys(("stability_score_thresh", "box_nms_thresh"), SHARE),
    # a head that is a regression may predict more than 1
    **dict.fromkeys(("pred_iou_thresh", "stability_score_offset"), AT_LEAST_0),
}


class MaskGenerator(Protocol):
    """The images of one panorama, uint8 (H, W, 3) RGB each, to the masks of each."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[WindowMasks]: ...


@dataclass(frozen=True)
class PackedMasks:
    """Masks of one image. bits: uint8 (M, ceil(H W / 8)), the first pixel in the highest bit.

    predicted_iou, stability: float32 (M,). size: (H, W).
    """

    bits: np.ndarray
    predicted_iou: np.ndarray
    stability: np.ndarray
    size: tuple[int, int]

    def masks(self) -> np.ndarray:
        """bool (M, H, W)."""
        flat = np.unpackbits(self.bits, axis=1, count=self.size[0] * self.size[1])
        return flat.view(bool).reshape(-1, *self.size)

    def window_masks(self) -> WindowMasks:
        """The same as cells."""
        return WindowMasks.of(self.masks(), self.predicted_iou, self.stability)


@dataclass(frozen=True)
class _Image:
    """What the decoder needs of one image.

    tokens: projected, of (h, w) = `size`. input_size: the image in SAM's input, padding left out;
    original_size: the image itself. Rows before columns.
    """

    tokens: ProjectedImage
    size: tuple[int, int]
    input_size: tuple[int, int]
    original_size: tuple[int, int]


class _Found(NamedTuple):
    """Masks as bits (M, bytes), their boxes (M, 4), scores (M,), and the prompt (M,) of each."""

    bits: Tensor
    boxes: Tensor
    iou: Tensor
    stability: Tensor
    prompt: Tensor


class SamGenerator:
    """Masks of images from a SAM, on whatever device the model is."""

    def __init__(self, sam: Sam, config: GeneratorConfig | None = None) -> None:
        self.sam, self.config = sam.eval(), config or GeneratorConfig()
        dtype = precision(sam.device) if self.config.mode == "fast" else torch.float32
        self.int8 = dtype == torch.int8
        self.dtype = torch.float32 if self.int8 else dtype
        self.encoder, self.decoder = sam.image_encoder, sam.mask_decoder
        if self.int8:
            self.encoder, self.decoder = in_int8(self.encoder), upscaling_in_int8(self.decoder)
        elif self.dtype != torch.float32:
            self.encoder = copy.deepcopy(self.encoder).to(self.dtype)
        self.resize = resize_of(sam)
        self.grid = build_point_grid(self.config.points_per_side)  # (P, 2) x, y in 0..1
        self.image_done: Callable[[], None] = lambda: None  # called after each image

    def __call__(self, images: Sequence[np.ndarray]) -> list[WindowMasks]:
        """uint8 (H, W, 3) RGB each -> the masks of each, in the order that the module states."""
        found: list[Future[WindowMasks]] = []
        # What the CPU does with an image's masks runs beside the next image.
        with ThreadPoolExecutor(1) as beside:
            for masks in self.packed(images):
                found.append(beside.submit(masks.window_masks))
                self.image_done()
        return [future.result() for future in found]

    @torch.inference_mode()
    def packed(self, images: Sequence[np.ndarray]) -> Iterator[PackedMasks]:
        """The masks of each image as bits, one image after the other."""
        for image in self._encoded(images):
            found = self._found(image)
            kept = nms(found.boxes.float(), found.iou, self.config.box_nms_thresh)
            bits, iou, stability = (
                column[kept].cpu().numpy() for column in (found.bits, found.iou, found.stability)
            )
            yield PackedMasks(bits, iou, stability, image.original_size)

    def _encoded(self, images: Sequence[np.ndarray]) -> Iterator[_Image]:
        together = IMAGES_TOGETHER[self.sam.device.type]
        _, empty = self.sam.prompt_encoder(None, None, None)
        pe = self.sam.prompt_encoder.get_dense_pe()[0]
        with ThreadPoolExecutor(together) as pool:

            def resized(start: int) -> list[Future[np.ndarray]]:
                few = images[start : start + together]
                return [pool.submit(self.resize.apply_image, image) for image in few]

            coming = resized(0)
            for start in range(0, len(images), together):
                batch = [future.result() for future in coming]
                coming = resized(start + together)  # beside the computing
                pixels = [
                    self.sam.preprocess(torch.as_tensor(r, device=self.sam.device).permute(2, 0, 1))
                    for r in batch
                ]
                tokens = encode(self.encoder, torch.stack(pixels).to(self.dtype)).float()
                tokens[:, : empty.shape[1]] += empty
                for one, r, image in zip(tokens, batch, images[start:], strict=False):
                    projected = project_image(self.decoder, one, pe, self.dtype, self.int8)
                    yield _Image(projected, one.shape[1:], r.shape[:2], image.shape[:2])

    def _found(self, image: _Image) -> _Found:
        """The masks of all prompts that are needed, those that overlap others included."""
        every = np.arange(len(self.grid))
        if self.config.points == "grid":
            return self._prompted(image, every)
        row, column = np.divmod(every, self.config.points_per_side)
        first = (row % 2 == 0) & (column % 2 == 0)
        found = self._prompted(image, every[first])
        x, y = (self.grid * image.original_size[::-1]).astype(int).T
        place = torch.from_numpy(y * image.original_size[1] + x).to(found.bits.device)
        inside = (found.bits[:, place // 8] >> (7 - place % 8)) & 1
        rest = ~first & ~settled(inside.bool(), found.prompt).cpu().numpy()
        if not rest.any():
            return found
        more = self._prompted(image, every[rest])
        return _Found(*map(torch.cat, zip(found, more, strict=True)))

    def _prompted(self, image: _Image, which: np.ndarray) -> _Found:
        """The masks of the points `which` of the grid."""
        pixels = self.resize.apply_coords(
            self.grid[which] * image.original_size[::-1], image.original_size
        )
        points = torch.as_tensor(pixels, device=self.sam.device)
        numbers = torch.as_tensor(which, device=self.sam.device)
        together = self.config.points_per_batch or PROMPTS_TOGETHER[self.sam.device.type]
        parts = [
            self._decoded(image, few, own)
            for few, own in zip(points.split(together), numbers.split(together), strict=True)
        ]
        return _Found(*map(torch.cat, zip(*parts, strict=True)))

    def _decoded(self, image: _Image, points: Tensor, numbers: Tensor) -> _Found:
        """Points (P, 2) x, y in px of SAM's input, `numbers` (P,) in the grid -> their masks."""
        decoder, config = self.decoder, self.config
        labels = torch.ones(len(points), 1, dtype=torch.int, device=points.device)
        prompts, _ = self.sam.prompt_encoder((points[:, None], labels), None, None)
        tokens, prompted, iou = decode_tokens(decoder, image.tokens, prompts)
        tokens, iou = tokens[:, 1 : 1 + MULTIMASK], iou[:, 1 : 1 + MULTIMASK]
        # As the reference: a threshold of zero or below filters nothing.
        good = iou > config.pred_iou_thresh if config.pred_iou_thresh > 0 else iou > -torch.inf
        asked = good.any(dim=1)
        size = self._seen(image)
        seen = prompted.unflatten(1, image.size)[:, : size[0], : size[1]].flatten(1, 2)
        low = decode_masks(decoder, tokens[asked], seen[asked], size, 1, image.tokens.pixels)
        logits = self._enlarged(
            low[good[asked]].float(), image.size, image.input_size, image.original_size
        )
        iou, numbers = iou[good], numbers[:, None].expand_as(good)[good]
        masks = logits > self.sam.mask_threshold
        stability = _stability(logits, self.sam.mask_threshold, config.stability_score_offset)
        if config.stability_score_thresh > 0:
            stable = stability >= config.stability_score_thresh
            masks, iou, stability = masks[stable], iou[stable], stability[stable]
            numbers = numbers[stable]
        return _Found(pack(masks), boxes_of(masks), iou, stability, numbers)

    def _seen(self, image: _Image) -> tuple[int, int]:
        """Rows and columns of the tokens that the image's masks take: its own, one more each.

        Resizing reaches one pixel of a mask into the padding, SAM-HQ's convolutions two more.
        """
        token = self.sam.image_encoder.img_size // image.size[0]
        rows, columns = (
            min(-(-side // token) + 1, all_)
            for side, all_ in zip(image.input_size, image.size, strict=True)
        )
        return rows, columns

    def _enlarged(
        self,
        low_MHW: Tensor,
        size: tuple[int, int],
        input_size: tuple[int, int],
        original_size: tuple[int, int],
    ) -> Tensor:
        """SAM's `postprocess_masks`: low-resolution logits to (M, H, W) of the image.

        low_MHW: of the tokens that are `_seen`, of (h, w) = `size`.

        SAM resizes to its input, cuts the padding off and resizes to the image. Where the image is
        half SAM's input, both steps together are one doubling: each output pixel is the mean of two
        neighbours in each direction that lie on one straight line of the first interpolation.
        """
        height, width = original_size
        full = (4 * size[0], 4 * size[1])
        doubled = (2 * height, 2 * width) == input_size
        if not doubled or 4 * full[1] != self.sam.image_encoder.img_size:
            beyond = (0, full[1] - low_MHW.shape[2], 0, full[0] - low_MHW.shape[1])
            low = F.pad(low_MHW, beyond)[:, None]
            return self.sam.postprocess_masks(low, input_size, original_size)[:, 0]
        needed = low_MHW[:, : height // 2 + 1, : width // 2 + 1]
        twice = (2 * needed.shape[1], 2 * needed.shape[2])
        large = F.interpolate(needed[:, None], twice, mode="bilinear", align_corners=False)
        return large[:, 0, :height, :width]


def precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies it faster than float32, else int8 likewise, else
    float32.
    """
    if device.type == "cuda":
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
        has = any(getattr(torch.cpu, test, bool)() for test in tests)
    if has:
        return torch.bfloat16
    return torch.int8 if has_fast_int8(device) else torch.float32


def settled(inside_MP: Tensor, prompt: Tensor) -> Tensor:
    """Which points need no prompt: bool (P,), those inside a mask that two prompts agree on.

    inside_MP: bool (M, P), the points that lie in each mask. prompt: (M,), whose mask it is. Two
    masks agree if their IoU, counted on the points, is at least AGREEMENT.
    """
    inside = inside_MP.float()
    size, both = inside.sum(1), inside @ inside.T
    union = (size[:, None] + size[None] - both).clamp(min=1)
    agree = (both / union >= AGREEMENT) & (prompt[:, None] != prompt[None])
    return inside_MP[agree.any(1)].any(0)


def _stability(logits_MHW: Tensor, threshold: float, offset: float) -> Tensor:
    """SAM's stability score (M,): IoU of the masks cut `offset` above and below the threshold."""
    inner = (logits_MHW > threshold + offset).flatten(1).sum(-1, dtype=torch.int32)
    outer = (logits_MHW > threshold - offset).flatten(1).sum(-1, dtype=torch.int32)
    return inner / outer


def boxes_of(masks_MHW: Tensor) -> Tensor:
    """int64 (M, 4): x0, y0, x1, y1 of bool masks, last pixels included; zeros for an empty one."""
    sides = []
    for seen in (masks_MHW.any(1), masks_MHW.any(2)):  # columns, rows
        flags = seen.to(torch.uint8)
        last = flags.shape[1] - 1
        sides.append((flags.argmax(1), last - flags.flip(1).argmax(1)))
    (x0, x1), (y0, y1) = sides
    boxes = torch.stack([x0, y0, x1, y1], dim=1)
    return boxes * masks_MHW.flatten(1).any(1)[:, None]


def pack(masks_MHW: Tensor) -> Tensor:
    """bool (M, H, W) -> uint8 (M, ceil(H W / 8)), the first pixel in the highest bit."""
    flat = masks_MHW.flatten(1)
    if flat.device.type == "cpu":
        return torch.from_numpy(np.packbits(flat.numpy(), axis=1))
    flat = F.pad(flat, (0, -flat.shape[1] % 8)).view(len(flat), -1, 8)
    weights = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=flat.device)
    return (flat * weights).sum(-1, dtype=torch.uint8)
