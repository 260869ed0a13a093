"""Sharp frames of a video, at a distance from each other: `goodsam frames`."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import laplace

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.video import Frame, open_video

_WIDTH = 1024  # px, at which sharpness is measured
_STILL = 1.5  # of 255: frames that differ less on the average show the same


def take_frames(
    video: Path, out: Path, every: float = 2.0, progress: Callable[[str], None] = lambda name: None
) -> list[Path]:
    """Write the sharpest frame of each `every` seconds as `out/<video>-<number>.jpg`.

    A frame that shows what the last one showed, since the camera stood, is left out. Raises
    InputError for a video that is broken or cut off; the frames before that are there then.
    """
    if not every > 0:
        raise InputError(f"--every {every:g}: give the seconds from one frame to the next")
    written: list[Path] = []
    with open_video(video) as opened:
        try:
            for frame in sharpest(opened, every):
                path = out / f"{video.stem}-{frame.index:06d}.jpg"
                buffer = io.BytesIO()
                Image.fromarray(frame.image()).save(buffer, "jpeg", quality=95, subsampling=0)
                write_whole(path, buffer.getvalue())
                written.append(path)
                progress(path.name)
        except InputError as error:
            raise InputError(f"{error}; {len(written)} frames before that were taken") from error
    return written


def sharpest(frames: Iterable[Frame], every: float) -> Iterator[Frame]:
    """Of each `every` seconds the sharpest frame, unless it shows what the last one showed."""
    last: np.ndarray | None = None
    best: tuple[float, Frame, np.ndarray] | None = None
    interval = 0
    for frame in frames:
        if best is not None and int(frame.seconds / every) > interval:
            if _moved(last, best[2]):
                last = best[2]
                yield best[1]
            best = None
        interval = int(frame.seconds / every)
        grey = frame.grey(_WIDTH)
        value = sharpness(grey)
        if best is None or value > best[0]:
            best = (value, frame, grey)
    if best is not None and _moved(last, best[2]):
        yield best[1]


def sharpness(grey: np.ndarray) -> float:
    """The variance of the Laplacian of uint8 (h, w): edges that are blurred have less of it."""
    return float(laplace(grey.astype(np.float32)).var())


def _moved(last: np.ndarray | None, grey: np.ndarray) -> bool:
    return last is None or float(np.abs(last.astype(np.int16) - grey).mean()) >= _STILL
