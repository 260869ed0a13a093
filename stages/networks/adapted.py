"""A network of any family, called as a SegFormer is: normalisation, sizes and classes adapted.

Shapes: N pictures, C classes, Q queries (masks) of a universal network, H x W pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from transformers.modeling_outputs import SemanticSegmenterOutput

from goodsam.data.errors import InputError
from goodsam.stages.networks.families import Family, transformers_class
from goodsam.stages.segformer.segment import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Pictures:
    """What a network's pictures are. It stands in the model's config, and stays with it.

    mean, std: of its normalisation, of channels between 0 and 1. flipped: blue comes first. tokens:
    what a network that wants to be told its task is told.
    """

    KEY: ClassVar[str] = "goodsam_pictures"

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    flipped: bool = False
    tokens: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, family: Family, processor: Mapping[str, Any], tokens: tuple[int, ...] = ()
    ) -> Pictures:
        """From the content of a preprocessor_config.json; the family's own where it says nothing.

        InputError for numbers that are none.
        """
        own = transformers_class(family.processor)

        def said(name: str) -> Any:
            return processor[name] if name in processor else getattr(own, name, None)

        mean, std = (0.0,) * 3, (1.0,) * 3
        if said("do_normalize"):
            mean, std = _three(said("image_mean"), "image_mean"), _three(said("image_std"), "std")
        factor = said("rescale_factor") if said("do_rescale") else 1.0
        (scale, _, _) = _three([1 / 255 if factor is None else factor] * 3, "rescale_factor")
        scale *= 255
        if min(*std, scale) <= 0:
            raise InputError("its preprocessor_config.json divides by what is not above 0")
        return cls(
            tuple(m / scale for m in mean),
            tuple(s / scale for s in std),
            bool(said("do_flip_channel_order")),
            tokens,
        )

    @classmethod
    def from_json(cls, values: Any) -> Pictures:
        """What `to_json` gave. InputError for anything else."""
        try:
            mean, std = _three(values["mean"], "mean"), _three(values["std"], "std")
            tokens = tuple(map(int, values["tokens"]))
            found = cls(mean, std, bool(values["flipped"]), tokens)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"its config.json has a {cls.KEY} that cannot be read") from error
        if min(std) <= 0:
            raise InputError(f"its config.json has a {cls.KEY} that divides by {min(std)}")
        return found

    def to_json(self) -> dict[str, Any]:
        """As it stands in `config.json`."""
        return asdict(self)

    def processor(self, family: Family, side: int | None) -> dict[str, Any]:
        """The content of a preprocessor_config.json: pictures at their own size, nothing squashed.

        side: of the squares that the network takes; transformers resizes to that.
        """
        size: dict[str, Any] = {"do_resize": False, "do_center_crop": False}
        if side is not None:
            size = {"do_resize": True, "size": {"height": side, "width": side}}
            if family.universal:  # EoMT's processor cuts squares, as we do
                size = {"do_split_image": True, "size": {"shortest_edge": side}}
        return {
            "image_processor_type": family.processor,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
            "do_flip_channel_order": self.flipped,
            **size,
        }


def _three(values: Any, name: str) -> tuple[float, float, float]:
    numbers = values if isinstance(values, list | tuple) else [values]
    sound = all(isinstance(n, int | float) and math.isfinite(n) for n in numbers)
    if len(numbers) != 3 or not sound:
        raise InputError(f"its preprocessor has no three numbers of {name}")
    red, green, blue = map(float, numbers)
    return red, green, blue


class Adapted(torch.nn.Module):
    """A model of transformers, called with pictures in ImageNet's normalisation.

    Its config says what its own pictures are; see `Pictures`. A universal one gives logits of its
    semantic scores; see `semantic_scores`. One that takes squares alone sees a picture by squares;
    see `by_squares`.
    """

    scale: torch.Tensor
    shift: torch.Tensor
    tokens: torch.Tensor
    model: Any

    def __init__(self, model: Any, family: Family) -> None:
        """InputError for a config that says nothing sound of the pictures."""
        super().__init__()
        self.model, self.family = model, family
        self.pictures = Pictures.from_json(getattr(model.config, Pictures.KEY, None))
        self.side = square_side(model.config) if family.square else None
        mean, std, own_mean, own_std = (
            torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
            for values in (IMAGENET_MEAN, IMAGENET_STD, self.pictures.mean, self.pictures.std)
        )
        tokens = torch.tensor([self.pictures.tokens], dtype=torch.float32)
        self.register_buffer("scale", (std / own_std).float(), persistent=False)
        self.register_buffer("shift", ((mean - own_mean) / own_std).float(), persistent=False)
        self.register_buffer("tokens", tokens, persistent=False)

    @property
    def config(self) -> Any:
        """The model's."""
        return self.model.config

    def forward(self, pixel_values: torch.Tensor) -> SemanticSegmenterOutput:
        """float (N, 3, H, W) -> logits (N, C, h, w); h x w as the family gives them."""
        if torch.is_inference_mode_enabled():
            # BEiT keeps tensors of its first pass for all later ones, which may have a gradient
            with torch.inference_mode(False), torch.no_grad():
                return self.forward(pixel_values)
        pictures = pixel_values
        if (self.pictures.mean, self.pictures.std) != (IMAGENET_MEAN, IMAGENET_STD):
            pictures = pictures * self.scale + self.shift
        if self.pictures.flipped:
            pictures = pictures.flip(1)
        if self.side is None:
            found = self._maps(pictures)
        else:
            found = by_squares(self._maps, pictures, self.side)
        if self.family.universal:
            # enlarged before the logarithm, as the processors of transformers enlarge scores
            found = as_logits(_resized(found, pictures.shape[-2:]))
        return SemanticSegmenterOutput(logits=found)

    def _maps(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits, or a universal network's scores, at the model's stride."""
        if not self.family.universal:
            return self.model(pixel_values=pictures).logits
        task = {"task_inputs": self.tokens.expand(len(pictures), -1)} if self.family.told else {}
        outputs = self.model(pixel_values=pictures, **task)
        return semantic_scores(outputs.class_queries_logits, outputs.masks_queries_logits)


def semantic_scores(classes_NQC: torch.Tensor, masks_NQhw: torch.Tensor) -> torch.Tensor:
    """float32 (N, C, h, w): the sum over all masks of class probability x mask probability.

    classes: logits of C classes and, last, of no object; masks: logits. This is the semantic
    inference of MaskFormer (Cheng et al., NeurIPS 2021, Section 3.4).
    """
    with torch.autocast(masks_NQhw.device.type, enabled=False):
        shares = classes_NQC.float().softmax(dim=-1)[..., :-1]
        return torch.einsum("nqc,nqhw->nchw", shares, masks_NQhw.float().sigmoid())


def as_logits(scores: torch.Tensor) -> torch.Tensor:
    """Logits whose softmax is the scores' share of their sum; scores are at least 0."""
    return scores.clamp(min=torch.finfo(scores.dtype).tiny).log()


def square_side(config: Any) -> int:
    """The side of the pictures that a network of squares takes, px."""
    size = config.image_size
    sides = set(size) if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise InputError(f"its config.json has image_size {size}; only squares are known here")
    return int(sides.pop())


def by_squares(network: Any, pictures_NCHW: torch.Tensor, side: int) -> torch.Tensor:
    """Maps (N, C, H, W) of pictures, by a network that takes squares of `side` px alone.

    The picture is resized until its shorter side is `side`, cut along its longer one into as few
    squares as cover it, evenly overlapping, and their maps are averaged, as EoMT's processor does.
    """
    size = height, width = pictures_NCHW.shape[-2:]
    longer = max(side, round(max(size) * side / min(size)))
    seen_size = (side, longer) if height <= width else (longer, side)
    seen, along = pictures_NCHW, 3 if height <= width else 2
    if seen_size != tuple(size):
        seen = F.interpolate(seen, seen_size, mode="bilinear", antialias=True, align_corners=False)
    count = math.ceil(longer / side)
    overlap = (count * side - longer) / max(1, count - 1)
    starts = [int(i * (side - overlap)) for i in range(count)]
    parts = [seen.narrow(along, start, side) for start in starts]
    maps = _resized(network(torch.cat(parts)), (side, side)).chunk(count)
    whole = maps[0].new_zeros((*maps[0].shape[:2], *seen_size))
    seen_by = whole.new_zeros(seen_size)
    for start, part in zip(starts, maps, strict=True):
        end = longer - start - side
        whole = whole + F.pad(part, (start, end) if along == 3 else (0, 0, start, end))
        seen_by.narrow(along - 2, start, side).add_(1)
    return _resized(whole / seen_by, size)


def _resized(maps_NCHW: torch.Tensor, size: tuple[int, ...] | torch.Size) -> torch.Tensor:
    if tuple(maps_NCHW.shape[-2:]) == tuple(size):
        return maps_NCHW
    return F.interpolate(maps_NCHW, tuple(size), mode="bilinear", align_corners=False)
