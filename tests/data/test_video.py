"""Videos in and out, and frames of them; whole, and broken in every way."""

from __future__ import annotations

import wave
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.frames import sharpest, sharpness, take_frames
from goodsam.data.panoramas import read_image
from goodsam.data.video import VideoWriter, open_video

av = pytest.importorskip("av")


def scene(shift, size=(64, 128)):
    """A coarse pattern, moved to the right."""
    small = np.random.default_rng(0).integers(0, 256, (8, 16, 3), np.uint8)
    picture = np.asarray(Image.fromarray(small).resize(size[::-1]))
    return np.roll(picture, shift, axis=1)


def clip(path, pictures, rate=10, sound=False, format=None, options=None):
    """A video of these pictures, with a tone if `sound`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "10"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        tone = container.add_stream("aac", rate=44100) if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            for number in range(len(pictures) * 44100 // rate // 1024):
                samples = np.sin(np.arange(1024) / 10).astype(np.float32)[None]
                frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                frame.rate, frame.pts = 44100, 1024 * number
                container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
    return path


def darkened(source, out, sound=True):
    with open_video(source) as video, VideoWriter.like(video, out, sound) as writer:
        for frame in video:
            writer.add(frame.image() // 2, frame)


@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_a_clip_goes_in_and_comes_out(tmp_path, suffix, sound):
    pictures = [scene(4 * n) for n in range(12)]
    source, out = clip(tmp_path / "a.mp4", pictures, sound=True), tmp_path / f"b.{suffix}"
    darkened(source, out, sound)
    with av.open(str(out)) as container:
        assert bool(container.streams.audio) == sound
        if sound:
            heard = [p.size for p in container.demux(container.streams.audio[0]) if p.size]
            assert len(heard) > 40
    with open_video(out) as video:
        assert video.stream.codec_context.name == "h264"
        frames = [(frame.seconds, frame.image()) for frame in video]
    # Matroska begins with the sound, which is some milliseconds ahead
    since = [seconds - frames[0][0] for seconds, _ in frames]
    assert since == pytest.approx(np.arange(12) / 10, abs=0.01)
    for (_, seen), picture in zip(frames, pictures, strict=True):
        assert np.abs(seen.astype(int) - picture // 2).mean() < 6


def test_frames_are_read_one_at_a_time(tmp_path):
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(60)])
    with open_video(source) as video:
        frames = iter(video)
        assert next(frames).index == 0
        read = video.container.streams.video[0].codec_context  # still at work: not read to the end
        assert read.is_open
        assert sum(1 for _ in frames) == 59


def cut(content):
    return content[: len(content) * 2 // 3]


def test_a_truncated_video(tmp_path):
    pictures = [
        np.random.default_rng(n).integers(0, 256, (64, 128, 3), np.uint8) for n in range(30)
    ]
    plain = clip(tmp_path / "plain.mp4", pictures)  # its table of frames stands at the end
    first = clip(tmp_path / "first.mp4", pictures, options={"movflags": "+faststart"})
    plain.write_bytes(cut(plain.read_bytes()))
    first.write_bytes(cut(first.read_bytes()))
    with pytest.raises(InputError, match=r"plain.mp4: cannot be read as a video"):
        darkened(plain, tmp_path / "out.mp4")
    with pytest.raises(InputError, match=r"first.mp4: cut off or broken after \d"):
        darkened(first, tmp_path / "out.mp4")
    with pytest.raises(InputError, match=r"cut off.* [1-9]\d* frames before that were taken"):
        list(take_frames(first, tmp_path / "photos", every=0.2))
    for path in (tmp_path / "photos").iterdir():
        assert read_image(path).shape == (64, 128, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.mp4", "photos", "plain.mp4"]


def test_a_clip_that_a_phone_has_trimmed_is_whole(tmp_path):
    """It holds frames from before its beginning, which are not shown."""
    source = clip(tmp_path / "a.mp4", [scene(4 * n) for n in range(30)])
    options = {"avoid_negative_ts": "disabled"}
    with av.open(str(source)) as whole, av.open(str(tmp_path / "t.mp4"), "w", options=options) as t:
        stream = t.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(whole.streams.video[0]):
            if packet.dts is not None:
                shift = round(1.05 / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - shift,
                    packet.dts - shift,
                    stream,
                )
                t.mux(packet)
    with open_video(tmp_path / "t.mp4") as video:
        assert (video.stream.frames, len(list(video))) == (30, 19)


def test_a_video_without_pictures_and_a_file_that_is_no_video(tmp_path):
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    (tmp_path / "text.mp4").write_text("no video")
    for name, says in (
        ("sound.mp4", "has no picture track"),
        ("text.mp4", "cannot be read as a video"),
        ("gone.mp4", "no such video"),
    ):
        with pytest.raises(InputError, match=f"{name}: {says}"):
            darkened(tmp_path / name, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_no_thread_of_a_decoder_waits_for_python(tmp_path):
    """With a level, closing a video now and then never returns (PyAV's issues 751 and 909)."""
    with open_video(clip(tmp_path / "a.mp4", [scene(0)])) as video:
        assert len(list(video)) == 1
        assert av.logging.get_level() is None


def test_a_frame_of_another_size_in_the_middle(tmp_path):
    parts = [
        clip(tmp_path / f"{n}.ts", [scene(0, size)] * 5, format="mpegts").read_bytes()
        for n, size in enumerate([(64, 128), (32, 64)])
    ]
    (tmp_path / "a.mp4").write_bytes(b"".join(parts))
    with pytest.raises(InputError, match="frames change from 128 x 64 to 64 x 32; cut it there"):
        darkened(tmp_path / "a.mp4", tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_a_name_that_ends_in_no_format(tmp_path):
    source = clip(tmp_path / "a.mp4", [scene(0)])
    for name in ("out", "out.gif"):
        with pytest.raises(InputError, match=r"is written as one of \.mp4"):
            darkened(source, tmp_path / name)


def test_the_sharpest_frame_of_each_interval_is_taken(tmp_path):
    """Frames 3, 14 and 27 are sharp, all others blurred; the last interval shows nothing new."""
    pictures = []
    for number in range(40):
        picture = Image.fromarray(scene(8 * min(number, 29)))
        pictures.append(np.asarray(picture if number in (3, 14, 27) else
                                   picture.resize((16, 8)).resize((128, 64))))  # fmt: skip
    pictures[30:] = [pictures[27]] * 10
    video = clip(tmp_path / "x/walk.mp4", pictures)
    written = list(take_frames(video, tmp_path / "photos", every=1.0))
    names = ["walk-000003.jpg", "walk-000014.jpg", "walk-000027.jpg"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == names
    seen = read_image(written[1]).astype(int)
    assert np.abs(seen - pictures[14]).mean() < 8
    with open_video(video) as frames:
        assert next(frame.index for frame in sharpest(frames, 100)) in (3, 14, 27)
    with pytest.raises(InputError, match="--every 0"):
        list(take_frames(video, tmp_path / "photos", every=0))


def test_two_sharp_frames_in_a_row_are_not_both_taken(tmp_path):
    """Frames 9 and 10 are sharp, on either side of a second's end; 16 is the next sharp one."""
    pictures = [Image.fromarray(scene(8 * number)) for number in range(20)]
    blurred = [picture.resize((16, 8)).resize((128, 64)) for picture in pictures]
    shown = [pictures[n] if n in (9, 10, 16) else blurred[n] for n in range(20)]
    video = clip(tmp_path / "walk.mp4", [np.asarray(picture) for picture in shown])
    with open_video(video) as frames:
        assert [frame.index for frame in sharpest(frames, 1.0)] == [9, 16]


def test_sharpness_is_the_variance_of_the_laplacian():
    grey = np.random.default_rng(0).integers(0, 256, (5, 6), np.uint8)
    wide = np.pad(grey.astype(float), 1, mode="symmetric")
    inner = wide[1:-1, 1:-1]
    around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
    assert sharpness(grey) == pytest.approx((around - 4 * inner).var(), rel=1e-5)
