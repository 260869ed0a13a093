"""What cameras write into photographs, true and false; and what only looks like a panorama."""

from __future__ import annotations

import numpy as np
import py360convert
import pytest
from PIL import Image

from goodsam.data.check import check
from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Pose
from goodsam.data.panoramas import Placement, other_projection, placement_of, read_panorama, to_band
from goodsam.data.windows import Windows

SPACE = "http://ns.google.com/photos/1.0/panorama/"
WHOLE = {
    "FullPanoWidthPixels": 400, "FullPanoHeightPixels": 200, "CroppedAreaImageWidthPixels": 400,
    "CroppedAreaImageHeightPixels": 200, "CroppedAreaLeftPixels": 0, "CroppedAreaTopPixels": 0,
}  # fmt: skip


def xmp(fields, elements=False):
    """An XMP packet with GPano fields, as attributes or as elements: cameras write either."""
    if elements:
        inside = "".join(f"<GPano:{k}>{v}</GPano:{k}>" for k, v in fields.items())
        body = f'<rdf:Description xmlns:GPano="{SPACE}">{inside}</rdf:Description>'
    else:
        inside = " ".join(f'GPano:{k}="{v}"' for k, v in fields.items())
        body = f'<rdf:Description xmlns:GPano="{SPACE}" {inside}/>'
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{body}</rdf:RDF>'
        '</x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def photograph(path, fields, size=(200, 400), elements=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(0).integers(40, 256, (10, 20, 3), np.uint8)
    packet = fields if isinstance(fields, bytes) else xmp(fields, elements)
    Image.fromarray(small).resize(size[::-1]).save(path, xmp=packet, quality=95)
    return path


@pytest.mark.parametrize("elements", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_pose_and_crop_are_read(tmp_path, suffix, elements):
    fields = WHOLE | {"PosePitchDegrees": -12.5, "PoseRollDegrees": "3", "PoseHeadingDegrees": 90}
    path = photograph(tmp_path / f"a.{suffix}", fields, elements=elements)
    assert placement_of(path, (200, 400), LEVELLED) == Placement((200, 400), 0, 0, -12.5, 3)
    assert placement_of(path, (200, 400), Pose(level=False)) is None
    assert placement_of(path, (200, 400), Pose(False, 5, 6)) == Placement((200, 400), 0, 0, 5, 6)
    crop = WHOLE | {"CroppedAreaImageHeightPixels": 100, "CroppedAreaTopPixels": 60}
    path = photograph(tmp_path / f"b.{suffix}", crop, (50, 200), elements)  # made smaller since
    assert placement_of(path, (50, 200), LEVELLED) == Placement((100, 200), 30, 0)


def test_nothing_to_undo(tmp_path):
    for fields in (
        {"ProjectionType": "equirectangular"},
        WHOLE,
        WHOLE | {"PosePitchDegrees": 0.05},
    ):
        path = photograph(tmp_path / "a.jpg", fields)
        assert placement_of(path, (200, 400), LEVELLED) is None
    given = placement_of(path, (200, 400), Pose(pitch=7))
    assert given is None  # the camera has said that it stood straight
    plain = tmp_path / "p.jpg"
    Image.new("RGB", (400, 200)).save(plain)
    assert placement_of(plain, (200, 400), Pose(pitch=7)) == Placement((200, 400), pitch=7)
    assert placement_of(plain, (78, 400), Pose(roll=2)) == Placement((200, 400), 61, 0, 0, 2)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"ProjectionType": "cylindrical"}, "cylindrical"),
        (WHOLE | {"CroppedAreaImageHeightPixels": 100}, "the picture is 400 x 200"),
        (WHOLE | {"FullPanoWidthPixels": 4000}, "no part of a 2:1 sphere"),
        (WHOLE | {"CroppedAreaTopPixels": 150}, "does not lie in it"),
        (WHOLE | {"CroppedAreaLeftPixels": -1}, "does not lie in it"),
        (WHOLE | {"FullPanoWidthPixels": "wide"}, "FullPanoWidthPixels wide"),
        ({"FullPanoWidthPixels": 400}, "FullPanoHeightPixels None"),
        (WHOLE | {"PosePitchDegrees": "nan"}, "PosePitchDegrees nan"),
        (WHOLE | {"PosePitchDegrees": 500}, "PosePitchDegrees 500"),
        (xmp(WHOLE)[:-120], "XMP cannot be read"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + xmp(WHOLE), "XMP cannot be read"),
    ],
)
def test_xmp_that_lies_is_refused_with_the_line_that_removes_it(tmp_path, fields, says):
    path = photograph(tmp_path / "a.jpg", fields)
    with pytest.raises(InputError, match=says) as error:
        read_panorama(path, Windows.of(40, 208), fit=True)
    assert "exiftool -XMP" in str(error.value)
    assert str(path) in str(error.value)


def test_a_tilted_photograph_is_seen_upright_where_it_is_fitted(tmp_path):
    windows = Windows.of(40, 208)
    path = photograph(tmp_path / "a.jpg", WHOLE | {"PosePitchDegrees": 30})
    image = np.array(Image.open(path))
    seen = read_panorama(path, windows, fit=True)
    assert (seen == to_band(image, 40, 208, Placement((200, 400), pitch=30))).all()
    straight = read_panorama(path, windows, fit=True, pose=Pose(level=False))
    assert (straight == to_band(image, 40, 208)).all()
    assert np.abs(seen.astype(int) - straight).mean() > 5


def bright(height, width):
    """A picture of a bright, smooth scene."""
    small = np.random.default_rng(1).integers(90, 256, (6, 12, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def discs(height=200):
    picture = bright(height, 2 * height).copy()
    y, x = np.mgrid[:height, : 2 * height] + 0.5
    outside = np.hypot(x % height - height / 2, y - height / 2) > height / 2
    picture[outside] = np.random.default_rng(2).integers(0, 10, (outside.sum(), 3))
    return picture


def cube(format):
    faces = py360convert.e2c(bright(256, 512), 64, cube_format="list")
    faces = [np.asarray(face).round().astype(np.uint8) for face in faces]
    if format == "dice":
        dice = py360convert.e2c(bright(256, 512), 64, cube_format="dice")
        return dice.round().astype(np.uint8)
    down, across = {"c3x2": (2, 3), "c6x1": (1, 6), "c1x6": (6, 1)}[format]
    # an order in which faces side by side do not belong together, as all but crosses have
    front, right, back, left, up, down_ = faces
    order = [right, left, up, down_, front, back]
    rows = [np.concatenate(order[i * across : (i + 1) * across], axis=1) for i in range(down)]
    return np.concatenate(rows)


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (discs(), "v360=dfisheye"),
        (cube("c3x2"), "v360=c3x2"),
        (cube("c6x1"), "v360=c6x1"),
        (cube("c1x6"), "v360=c1x6"),
        (cube("dice"), "cube_format='dice'"),
    ],
)
def test_what_is_no_panorama_is_named_with_the_line_that_converts_it(tmp_path, picture, says):
    Image.fromarray(picture).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=says):
        read_panorama(tmp_path / "a.png", Windows.of(40, 208), fit=True)
    with pytest.raises(InputError, match=says):  # nor as it is, of whatever size
        read_panorama(tmp_path / "a.png", Windows.of(*picture.shape[:2]))
    (problem,) = check(tmp_path).problems
    assert str(tmp_path / "a.png") in problem


def test_panoramas_and_ordinary_photographs_are_none_of_these():
    night = bright(200, 400).copy()
    night[:90] = 0
    night[180:] = 0
    framed = bright(200, 400).copy()
    framed[:20] = framed[-20:] = 0
    for picture in (bright(200, 400), night, framed, bright(200, 300), bright(150, 200),
                    bright(100, 600), np.zeros((200, 400, 3), np.uint8)):  # fmt: skip
        assert other_projection(picture) is None


def test_check_says_what_cameras_say(tmp_path):
    photograph(tmp_path / "tilted.jpg", WHOLE | {"PosePitchDegrees": 12, "PoseRollDegrees": -4})
    crop = {"CroppedAreaImageWidthPixels": 200, "CroppedAreaLeftPixels": 100}
    photograph(tmp_path / "cropped.jpg", WHOLE | crop, (200, 200))
    photograph(tmp_path / "plain.jpg", WHOLE)
    found = check(tmp_path)
    assert set(found.placed) == {"tilted.jpg", "cropped.jpg"}
    assert "tilted, pitch 12, roll -4" in found.placed["tilted.jpg"]
    assert "--no-level" in found.placed["tilted.jpg"]
    assert "cropped from 400 x 200" in found.placed["cropped.jpg"]
    assert "shows 50 %" in found.placed["cropped.jpg"]
    assert found.problems == []
    assert found.to_json()["placed"] == found.placed
    assert not [note for note in found.notes if "no --fit" in note]  # it takes the cropped one
