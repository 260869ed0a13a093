"""Sharp frames of a video, at a distance from each other: `goodsam frames`."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import laplace

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.ranges import ABOVE_0, check_range
from goodsam.data.video import Frame, open_video

_WIDTH = 1024  # px, at which sharpness is measured
_STILL = 1.5  # of 255: frames that differ less on the average show the same


def take_frames(video: Path, out: Path, every: float = 2.0) -> Iterator[Path]:
    """Write the sharpest frame of each `every` seconds as `out/<video>-<number>.jpg`; gives each.

    A frame that shows what the last one showed, since the camera stood, is left out. Raises
    InputError for a video that is broken or cut off; the frames before that are there then.
    """
    check_range("--every", every, ABOVE_0)
    count = 0
    with open_video(video) as opened:
        try:
            for frame in sharpest(opened, every):
                path = out / f"{video.stem}-{frame.index:06d}.jpg"
                buffer = io.BytesIO()
                Image.fromarray(frame.image()).save(buffer, "jpeg", quality=95, subsampling=0)
                write_whole(path, buffer.getvalue())
                count += 1
                yield path
        except InputError as error:
            raise InputError(f"{error}; {count} frames before that were taken") from error


def sharpest(frames: Iterable[Frame], every: float) -> Iterator[Frame]:
    """Of each `every` seconds the sharpest frame, unless it shows what the last one showed.

    At least half of that lies between two of them.
    """
    last: _Seen | None = None
    best: _Seen | None = None
    for frame in frames:
        if best is not None and int(frame.seconds / every) > int(best.frame.seconds / every):
            if _moved(last, best):
                yield best.frame
                last = best
            best = None
        if last is not None and frame.seconds - last.frame.seconds < every / 2:
            continue
        seen = _Seen.of(frame)
        if best is None or seen.sharpness > best.sharpness:
            best = seen
    if best is not None and _moved(last, best):
        yield best.frame


class _Seen(NamedTuple):
    """A frame, and its picture, small and grey: uint8 (h, w)."""

    frame: Frame
    grey: np.ndarray
    sharpness: float

    @classmethod
    def of(cls, frame: Frame) -> _Seen:
        grey = frame.grey(_WIDTH)
        return cls(frame, grey, sharpness(grey))


def sharpness(grey: np.ndarray) -> float:
    """The variance of the Laplacian of uint8 (h, w): edges that are blurred have less of it."""
    return float(laplace(grey.astype(np.float32)).var())


def _moved(last: _Seen | None, seen: _Seen) -> bool:
    if last is None:
        return True
    return float(np.abs(last.grey.astype(np.int16) - seen.grey).mean()) >= _STILL
