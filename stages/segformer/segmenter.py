"""A model in use: a network, on a device, that labels photographs in their own pixels.

    segmenter = Segmenter.load("runs/street")
    labels = segmenter(image)

What a run knows of its panoramas (`Geometry`) its networks know too: a photograph is fitted as
those were that the network learnt from, and its labels come back at the photograph's own size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F

from goodsam.data.class_map import ClassMap, Groups
from goodsam.data.classes import IGNORE, palette_for
from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Geometry, Pose
from goodsam.data.licences import UNKNOWN, Licence
from goodsam.data.panoramas import Placement, fitted_view, placement_in, posed
from goodsam.data.plans import resized_plan
from goodsam.data.sphere import SpherePlan, TangentWindows, WindowPlan, sphere_plan
from goodsam.data.windows import Windows, widen
from goodsam.stages.device import pick_device, placed
from goodsam.stages.licences import licence_of_starts, network_licence
from goodsam.stages.networks.classes import Mapped, remap
from goodsam.stages.networks.inference import logits_of
from goodsam.stages.segformer.likeliest import likeliest, most_likely
from goodsam.stages.segformer.native import MapKind, Maps, as_bytes, native_maps, unseen_pixels
from goodsam.stages.segformer.origin import origin_of
from goodsam.stages.segformer.segment import SMALLEST_SIDE, class_names, normalise, wrap_margin
from goodsam.stages.segformer.snapshot import Network, load_network, written_at

Mode = Literal["direct", "windows", "vertical", "tangent"]

_LEAST = 1e-30  # of a probability, for its logarithm
WRAPPED = "--wrap: windows run over the seam by themselves; leave it out"


@dataclass(frozen=True)
class Segmenter:
    """A network that labels images of any size; see `goodsam.stages.networks`.

    mode: `direct` sees the panorama whole; `windows` sees its windows, those of its geometry, and
    joins them; `vertical` and `tangent` see those of a whole sphere (`goodsam.data.sphere`).
    geometry: how panoramas are seen; None: each as it is, by the default windows of its size.
    wrap: `direct` sees the panorama continue past both ends, so that the seam is a place like any
    other. licence: of the weights. source, network: what it was loaded from. step: of the
    checkpoint that it was taken from; None for a network that a run has finished, or of no run.

    >>> segmenter = Segmenter.load("street-student", device="cpu")
    >>> segmenter(np.zeros((64, 328, 3), np.uint8)).shape, segmenter.names[:2]
    ((64, 328), ('road', 'sidewalk'))
    """

    model: Any
    device: torch.device
    mode: Mode = "direct"
    geometry: Geometry | None = None
    wrap: bool = False
    licence: Licence = UNKNOWN
    source: str = ""
    network: Network = "student"
    step: int | None = None

    @classmethod
    def load(
        cls,
        source: str | Path,
        network: Network = "student",
        mode: Mode | None = None,
        windows: WindowPlan | None = None,
        device: str = "auto",
        wrap: bool = False,
    ) -> Segmenter:
        """From a run, a folder that transformers loads or a hub name. InputError if it is none.

        Of a run that has not ended, or has gone on since, its newest checkpoint is taken.
        windows: the geometry of a network that has none of its own; for one that has, it may only
        repeat it. mode: None: direct, but by the windows for the TA of a run on whole spheres,
        which has seen nothing else.
        """
        model, step = load_network(source, network)
        if len(class_names(model)) > IGNORE:
            raise InputError(
                f"{source}: more than {IGNORE} classes do not fit into 8-bit label maps"
            )
        if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
            raise InputError(
                f"{source}: its weights are no finite numbers; its training went wrong, take an "
                "earlier checkpoint or train again"
            )
        origin = origin_of(model, source)
        geometry = None if origin is None else origin.geometry
        if windows is not None:
            given = Geometry(windows)
            if geometry is not None and geometry.windows != windows:
                raise InputError(
                    f"{source}: was trained on {geometry}, and {given} was asked for; a run "
                    "applies its own"
                )
            geometry = geometry or given
        if mode is None:
            of_sphere = geometry is not None and geometry.plan != "band"
            mode = "windows" if of_sphere and network == "teacher_assistant" else "direct"
        if wrap and mode != "direct":
            raise InputError(WRAPPED)
        seen = None if geometry is None else geometry.windows
        if wrap and isinstance(seen, Windows) and not seen.wrap:
            raise InputError(
                f"{source}: was trained on {geometry}; leave --wrap out: a run applies its own"
            )
        where = pick_device(device)
        if step is None:
            licence = network_licence(written_at(source, network))
        else:  # a checkpoint has no card
            licence = licence_of_starts(() if origin is None else origin.starts)
        return cls(
            placed(model, where).eval(),
            where,
            mode,
            geometry,
            wrap,
            licence,
            str(source),
            network,
            step,
        )

    def seeing(self, windows: WindowPlan, fit: bool = False, pose: Pose = LEVELLED) -> Segmenter:
        """The same network with a geometry of the caller's."""
        return replace(self, geometry=Geometry(windows, fit, pose=pose))

    def over_sphere(self, plan: SpherePlan) -> Segmenter:
        """The same network, which sees 2:1 photographs from pole to pole by windows of this plan.

        Where its run fitted, they are fitted as finely around the horizon; what the run left out of
        its band stays left out. A run on whole spheres has its own size of them.
        """
        if self.wrap:
            raise InputError(WRAPPED)
        geometry = self.geometry
        if geometry is not None:
            geometry = geometry.over_sphere()
        return replace(self, mode=plan, geometry=geometry)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their ids."""
        return class_names(self.model)

    @cached_property
    def class_map(self) -> ClassMap | None:
        """How its classes were made of others, its own or its teacher's; None: not at all."""
        if isinstance(self.model, Mapped):
            return self.model.classes
        origin = origin_of(self.model, self.source)
        return None if origin is None else origin.classes

    def with_classes(self, groups: Groups) -> Segmenter:
        """The same network by a class map of the classes that it has now; InputError if none."""
        mapped = remap(self.model, groups, self.source)
        return replace(self, model=placed(mapped, self.device).eval())

    @cached_property
    def palette(self) -> np.ndarray:
        """uint8 (C, 3): the colours of the classes."""
        return palette_for(self.names)

    @cached_property
    def _forward(self) -> Callable[[torch.Tensor], torch.Tensor]:
        return logits_of(self.model)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of how they are used."""
        how = f"{self.mode} {self.geometry} {self.wrap} {self.names}"
        if isinstance(self.model, Mapped):
            how += f" {self.model.classes}"
        if self.geometry is not None:
            how += f" {self.geometry.ignored}"
        digest = hashlib.sha256(how.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, image: np.ndarray, placement: Placement | None = None) -> np.ndarray:
        """uint8 (H, W, 3) RGB -> uint8 (H, W) ids, in the image's own pixels.

        255 where the network has not looked: outside the band of a fitted photograph, and where the
        run left pixels out. placement: of the photograph on its sphere, as `placement` finds it.
        InputError for anything but uint8 RGB, for sides below 32 px, and for an image that the
        geometry cannot fit.
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise InputError(
                "an image is a numpy array, uint8 (height, width, 3), RGB: "
                'np.asarray(Image.open(path).convert("RGB")) makes one'
            )
        height, width = image.shape[:2]
        return self.label(self.view(image, placement)[None], (height, width), placement)[0]

    def placement(self, path: Path, size: tuple[int, int]) -> Placement | None:
        """How the photograph in a file, (H, W) px, lies on its sphere; None: whole and upright."""
        return placement_in(self.geometry, path, size)

    def posed(self, size: tuple[int, int]) -> Placement | None:
        """The same of a frame of a video, (H, W) px, which says nothing of itself."""
        if self.geometry is None or not self.geometry.fit:
            return None
        return posed(size, self.geometry.pose.pitch, self.geometry.pose.roll)

    def view(self, image: np.ndarray, placement: Placement | None = None) -> np.ndarray:
        """uint8 (h, w, 3): what the network sees of an image, fitted where its run fitted."""
        return fitted_view(self.geometry, image, placement)

    def kept_view(self, name: str, sha256: str) -> None:
        """A network keeps no views."""

    def label(
        self, views_NHWC: np.ndarray, size: tuple[int, int], placement: Placement | None = None
    ) -> np.ndarray:
        """uint8 (N, h, w, 3), views of images of `size` (H, W) -> uint8 (N, H, W), 255 unseen."""
        if size != views_NHWC.shape[1:3] or placement is not None:
            return self._native(self._logits(views_NHWC), size, placement).labels
        labels = self.classes(views_NHWC)
        unseen = self.unseen(size)
        if unseen is not None:
            np.copyto(labels, IGNORE, where=unseen)
        return labels

    def maps(
        self,
        names: Sequence[str],
        views_NHWC: np.ndarray,
        size: tuple[int, int],
        wanted: Collection[MapKind] = (),
        placement: Placement | None = None,
    ) -> Maps:
        """As `label`, with a confidence map and probabilities (softmax, of the views) if wanted.

        names: of the images, which a network need not know. placement: of all of them.
        """
        if not wanted:
            return Maps(self.label(views_NHWC, size, placement))
        logits_NCHW = self._logits(views_NHWC)
        found = self._native(logits_NCHW, size, placement, wanted)
        if "probabilities" not in wanted:
            return found
        shares = logits_NCHW.softmax(dim=1)[:, : len(self.names)].half().contiguous().cpu().numpy()
        return replace(found, probabilities=shares)

    def classes(self, views_NHWC: np.ndarray) -> np.ndarray:
        """uint8 (N, h, w, 3) -> uint8 (N, h, w): the class of every pixel of views as they are.

        255 where a class map ignores it.
        """
        if self.mode != "direct":
            return np.stack([self._joined_labels(view) for view in views_NHWC])
        views, inside = self._continued(views_NHWC)
        return self._named(np.ascontiguousarray(self._likeliest(views)[..., inside]))

    def _joined_labels(self, view: np.ndarray) -> np.ndarray:
        plan = self._plan(view)
        if isinstance(plan, TangentWindows):  # windows are averaged
            return self._named(most_likely(self._logits(view[None])))[0]
        return plan.join_labels(self.window_labels(view))

    def _named(self, labels: np.ndarray) -> np.ndarray:
        """uint8: the same labels, but 255 for the channel of what a class map ignores."""
        if isinstance(self.model, Mapped) and self.model.classes.ignored:
            labels[labels >= len(self.names)] = IGNORE
        return labels

    def unseen(
        self, size: tuple[int, int], placement: Placement | None = None
    ) -> np.ndarray | None:
        """bool (H, W), true where `__call__` gives 255; see `unseen_pixels`. size: of the image."""
        return unseen_pixels(self.geometry, size, placement)

    def window_labels(self, view: np.ndarray) -> np.ndarray:
        """uint8 (h, w, 3) -> uint8 (n, h, window): the labels of each window on its own."""
        views = self._plan(view).cut_images(view)
        return self._named(np.concatenate([self._likeliest(window[None]) for window in views]))

    def window_agreement(self, view: np.ndarray) -> float:
        """Percent of the pixels of all overlaps to which both windows give the same label."""
        plan = self._plan(view)
        labels = self.window_labels(view)
        same = pixels = 0
        for overlap in plan.overlaps:
            left, right = plan.pair(labels, overlap)
            shown = plan.shown(overlap)
            counted = np.ones(left.shape, bool) if shown is None else shown
            same += int((left == right)[counted].sum())
            pixels += int(counted.sum())
        return 100 * same / pixels if pixels else float("nan")

    def _plan(self, view: np.ndarray) -> WindowPlan:
        (height, width), geometry = view.shape[:2], self.geometry
        if geometry is not None and self.mode in ("windows", geometry.plan):
            return resized_plan(geometry.windows, height, width)
        if self.mode in get_args(SpherePlan):
            return sphere_plan(self.mode, height, width)
        return Windows.of(height, width)

    def _native(
        self,
        logits_NCHW: torch.Tensor,
        size: tuple[int, int],
        placement: Placement | None = None,
        wanted: Collection[MapKind] = (),
    ) -> Maps:
        """The maps at the images' own size, labels 255 and confidence 0 where they are unseen."""
        if size != tuple(logits_NCHW.shape[-2:]) or placement is not None:
            found = native_maps(logits_NCHW.softmax(dim=1), size, wanted, placement)
        else:
            found = Maps(most_likely(logits_NCHW))
            if "confidence" in wanted:
                found = replace(found, confidence=as_bytes(logits_NCHW.softmax(dim=1).amax(dim=1)))
        self._named(found.labels)
        if found.confidence is not None and isinstance(self.model, Mapped):
            found.confidence[found.labels == IGNORE] = 0
        unseen = self.unseen(size, placement)
        if unseen is not None:
            np.copyto(found.labels, IGNORE, where=unseen)  # far faster than by a mask as index
            if found.confidence is not None:
                np.copyto(found.confidence, 0, where=unseen)
        return found

    @torch.inference_mode()
    def _logits(self, views_NHWC: np.ndarray) -> torch.Tensor:
        """float (N, C, h, w), channels last in memory."""
        if self.mode != "direct":
            joined = []
            for view in views_NHWC:
                plan = self._plan(view)
                joined.append(_joined(plan, map(self._see, plan.cut_images(view)[:, None])))
            return torch.stack(joined)
        views, inside = self._continued(views_NHWC)
        return self._see(views)[..., inside]

    def _continued(self, views_NHWC: np.ndarray) -> tuple[np.ndarray, slice]:
        """The views as the network sees them by `wrap`, and which columns are theirs."""
        if not self.wrap:
            return views_NHWC, slice(None)
        width = views_NHWC.shape[2]
        margin = wrap_margin(width)
        wide = np.ascontiguousarray(widen(views_NHWC, margin, axis=2))
        return wide, slice(margin, margin + width)

    @torch.inference_mode()
    def _likeliest(self, images_NHWC: np.ndarray) -> np.ndarray:
        height, width = images_NHWC.shape[1:3]
        return likeliest(self._coarse(images_NHWC), (height, width))

    @torch.inference_mode()
    def _see(self, images_NHWC: np.ndarray) -> torch.Tensor:
        last = self._coarse(images_NHWC).contiguous(memory_format=torch.channels_last)
        size = images_NHWC.shape[1:3]
        return F.interpolate(last, size=size, mode="bilinear", align_corners=False)

    def _coarse(self, images_NHWC: np.ndarray) -> torch.Tensor:
        """float (N, C, h, w): the network's own logits."""
        if min(images_NHWC.shape[1:3]) < SMALLEST_SIDE:
            raise InputError(f"an image or window side is shorter than {SMALLEST_SIDE} px")
        # pictures that pillow lends are read-only, of which torch would warn
        pixels = normalise(np.require(images_NHWC, requirements="W"), self.device)
        logits = self._forward(pixels)
        if not bool(logits.isfinite().all()):
            raise InputError(f"{self.source}: its logits are no finite numbers; train it again")
        return logits


def _joined(plan: WindowPlan, logits: Iterable[torch.Tensor]) -> torch.Tensor:
    """float (C, H, W): the logits of a panorama from those of its windows, (1, C, h, w) each.

    Tangent windows are averaged where they overlap: their probabilities, not their logits.
    """
    if not isinstance(plan, TangentWindows):
        return plan.join(torch.cat(list(logits)))
    shares = (window[0].movedim(0, -1).softmax(dim=-1).movedim(-1, 0) for window in logits)
    return plan.join(shares).clamp_min_(_LEAST).log_()
