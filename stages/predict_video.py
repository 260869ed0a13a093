"""Prediction on a video: its frames with the colours of their labels laid over them, as a video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from goodsam.data.errors import InputError
from goodsam.data.video import VideoWriter, open_video
from goodsam.stages.predict import overlay
from goodsam.stages.segformer.segmenter import Segmenter


def predict_video(
    segmenter: Segmenter,
    video: Path,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    sound: bool = True,
) -> int:
    """Write `out`, a video of the overlays of all frames of `video`; how many there were.

    One frame at a time is held. sound: kept as it is, or dropped. Raises InputError for a video
    that cannot be read to its end, and leaves no `out` then.
    """
    count = 0
    with open_video(video) as frames, VideoWriter.like(frames, out, sound) as writer:
        for frame in frames:
            image = frame.image()
            try:
                labels = segmenter(image, segmenter.posed((image.shape[0], image.shape[1])))
            except InputError as error:
                raise InputError(f"{video}: {error}") from error
            writer.add(overlay(image, labels, segmenter.palette), frame)
            count += 1
            progress(count, max(count, frames.stream.frames))
    return count
