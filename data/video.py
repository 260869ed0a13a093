"""Videos, one frame at a time, by PyAV (the extra `video`): memory does not grow with their length.

with open_video(clip) as video, VideoWriter.like(video, out) as writer:
    for frame in video:
        writer.add(changed(frame.image()), frame)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.files import written_aside

FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}  # that are written


@dataclass(frozen=True)
class Frame:
    """A frame of a video. index: its number, from 0. seconds: since the video's beginning."""

    index: int
    seconds: float
    decoded: Any

    def image(self) -> np.ndarray:
        """uint8 (H, W, 3) RGB, turned as the video says."""
        return self._turned(self.decoded.to_ndarray(format="rgb24"))

    def grey(self, width: int) -> np.ndarray:
        """uint8 (h, w): in grey, at most `width` px wide."""
        w, h = self.decoded.width, self.decoded.height
        small = (min(w, width), max(1, round(h * min(w, width) / w)))
        return self.decoded.reformat(width=small[0], height=small[1], format="gray").to_ndarray()

    def _turned(self, array: np.ndarray) -> np.ndarray:
        quarters = round((getattr(self.decoded, "rotation", 0) or 0) / 90) % 4
        return np.ascontiguousarray(np.rot90(array, quarters)) if quarters else array


@dataclass
class Video:
    """An open video. Iterating gives its frames; sound goes to `sound_to` on the way, if set."""

    path: Path
    container: Any
    stream: Any
    sound_to: Any = None

    def __iter__(self) -> Iterator[Frame]:
        """InputError for one that is broken or cut off, and where the frames' size changes."""
        index, seconds, size = 0, 0.0, None
        heard = self.container.streams.audio[:1] if self.sound_to is not None else []
        try:
            for packet in self.container.demux(self.stream, *heard):
                if packet.stream is not self.stream:
                    self.sound_to(packet)
                    continue
                for decoded in packet.decode():
                    seconds = float(decoded.time or 0)
                    size = size or (decoded.width, decoded.height)
                    if size != (decoded.width, decoded.height):
                        raise InputError(
                            f"{self.path}: at {seconds:.1f} s its frames change from {size[0]} x "
                            f"{size[1]} to {decoded.width} x {decoded.height}; cut it there and "
                            "give the parts one by one"
                        )
                    yield Frame(index, seconds, decoded)
                    index += 1
        except _errors() as error:
            raise self._broken(seconds, _words(error)) from error
        if index == 0 or self._ends_early(seconds):
            raise self._broken(seconds, f"{index} frames")

    def _ends_early(self, seconds: float) -> bool:
        """Whether the last frame, at `seconds`, lies well before the end that the file promises.

        By time, not by the number of frames: a clip that a phone has trimmed holds some that are
        not shown.
        """
        stream, length = self.stream, self.container.duration
        if stream.duration is None:  # then sound counts, too, which may be longer
            return length is not None and seconds < 0.9 * length / 1e6 - 1  # in microseconds
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        return seconds < float(end) - max(0.25, 3 / float(stream.average_rate or 25))

    def _broken(self, seconds: float, why: str) -> InputError:
        return InputError(
            f"{self.path}: cut off or broken after {seconds:.1f} s ({why}); copy it from the "
            "camera again, or cut it there"
        )


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """A video to be read. InputError for a file that is none, or has no picture track."""
    av = _av()
    if not path.is_file():
        raise InputError(f"{path}: no such video")
    try:
        container = av.open(str(path))
    except _errors() as error:
        raise InputError(
            f"{path}: cannot be read as a video ({_words(error)}); if it was cut off, copy it from "
            "the camera again"
        ) from error
    with container:
        pictures = [s for s in container.streams.video if not _is_cover(s)]
        if not pictures:
            raise InputError(f"{path}: has no picture track, sound alone; give another file")
        pictures[0].thread_type = "AUTO"
        yield Video(path, container, pictures[0])


class VideoWriter:
    """A video like another, of changed frames: the same times, H.264, and its sound if wanted."""

    def __init__(self, container: Any, like: Video, sound: bool) -> None:
        self._container, self._like, self._stream = container, like, None
        heard = like.container.streams.audio[:1] if sound else []
        self._sound = container.add_stream_from_template(heard[0]) if heard else None
        self._waiting: list[Any] = []  # sound from before the first frame
        if self._sound is not None:
            like.sound_to = self._hear

    @classmethod
    @contextmanager
    def like(cls, video: Video, out: Path, sound: bool = True) -> Iterator[VideoWriter]:
        """Writes `out` once the block is done, all of it or nothing.

        sound: kept as it is, or dropped. InputError for a name that ends in no format, and for
        sound that the format cannot hold.
        """
        if out.suffix.lower() not in FORMATS:
            raise InputError(f"{out}: a video is written as one of {', '.join(FORMATS)}")
        av = _av()
        with ExitStack() as stack:
            aside = stack.enter_context(written_aside(out))
            format = FORMATS[out.suffix.lower()]
            options = {} if format == "matroska" else {"movflags": "+faststart"}
            try:
                container = av.open(str(aside), "w", format=format, options=options)
                with container:
                    writer = cls(container, video, sound)
                    yield writer
                    writer._finish()
            except _errors() as error:
                advice = "; try --no-sound, or another ending" if sound else ""
                raise InputError(f"{out}: cannot be written ({_words(error)}){advice}") from error

    def add(self, image: np.ndarray, frame: Frame) -> None:
        """uint8 (H, W, 3), in the place of `frame`."""
        av = _av()
        if self._stream is None:
            self._begin(image.shape[1], image.shape[0])
        assert self._stream is not None
        changed = av.VideoFrame.from_ndarray(image, format="rgb24")
        changed.pts, changed.time_base = frame.decoded.pts, frame.decoded.time_base
        self._container.mux(self._stream.encode(changed))

    def _begin(self, width: int, height: int) -> None:
        source = self._like.stream
        rate = source.average_rate or source.guessed_rate or 25
        options = {"crf": "18", "preset": "veryfast"}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = width, height
        # what every player shows; it halves both sides, so that odd ones need another
        stream.pix_fmt = "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        stream.time_base = stream.codec_context.time_base = source.time_base
        self._stream = stream
        for packet in self._waiting:
            self._hear(packet)

    def _hear(self, packet: Any) -> None:
        if packet.dts is None:  # the end of the track
            return
        if self._stream is None:  # all tracks must be known before the first packet is written
            self._waiting.append(packet)
            return
        packet.stream = self._sound
        try:
            self._container.mux(packet)
        except _errors() as error:
            raise InputError(
                f"{self._like.path}: its sound cannot be kept ({_words(error)}); try --no-sound"
            ) from error

    def _finish(self) -> None:
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


def _is_cover(stream: Any) -> bool:
    """Whether a picture track is one picture alone, as music has."""
    return "attached_pic" in str(getattr(stream, "disposition", "")).lower()


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise InputError("videos need PyAV: pip install av") from error
    # Errors are raised, and said in one line. With any level a decoder's threads wait for Python's
    # lock to tell something, while whoever holds it waits for them to end.
    av.logging.set_level(None)
    return av


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _errors() -> type[Exception]:
    return _av().FFmpegError
