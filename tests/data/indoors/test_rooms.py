"""The world of rooms: geometry against a naive twin, and the files against Stanford2D3D's."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.check import check
from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.indoors.furnish import draw_room, palette
from goodsam.data.indoors.picture import _look_around, pinhole, room_of, sphere
from goodsam.data.indoors.room import SHELL, Room
from goodsam.data.indoors.write import AREAS, MARK, label_colours, write_rooms
from goodsam.data.panoramas import find_panoramas, read_truth
from goodsam.data.panoramas.indoor import fold
from goodsam.data.rooms import STANFORD, STANFORD_THIRTEEN
from goodsam.data.street.mark import is_street_world

SEED = (0, 0, 3)


def naive_instance(room: Room, ray: np.ndarray) -> int:
    """Step along a ray, a centimetre at a time, until something is entered."""
    for distance in np.arange(0.0, 20.0, 0.01):
        x, y, z = np.array(room.camera) + distance * ray
        for box in reversed(room.boxes):
            dx, dy = x - box.x, y - box.y
            along = dx * np.cos(box.yaw) + dy * np.sin(box.yaw)
            across = dy * np.cos(box.yaw) - dx * np.sin(box.yaw)
            inside = abs(along) <= box.half[0] and abs(across) <= box.half[1]
            if inside and box.low <= z <= box.high:
                return box.instance
        sides = (z < 0, z > room.height, x > room.half[0], x < -room.half[0],
                 y > room.half[1], y < -room.half[1])  # fmt: skip
        if any(sides):
            return 1 + sides.index(True)
    raise AssertionError("left the room")


def test_what_is_seen_is_what_a_walk_along_the_ray_enters():
    room = room_of(SEED)
    rays = np.random.default_rng(0).standard_normal((3, 150)).astype(np.float32)
    rays /= np.sqrt((rays**2).sum(0))
    seen = _look_around(room, rays)
    naive = [naive_instance(room, ray) for ray in rays.T]
    # a step may jump over the edge of a thing
    assert (seen.instance == naive).mean() > 0.96
    assert len(set(naive)) > 8
    assert (np.abs((seen.normal**2).sum(0) - 1) < 1e-5).all()
    assert ((seen.normal * rays).sum(0) < 0).all()  # surfaces look at the camera


def test_a_sphere_is_whole_closed_and_the_same_again():
    picture, again = sphere(SEED, 64, 0.3), sphere(SEED, 64, 0.3)
    assert picture.image.shape == (64, 128, 3)
    assert (picture.image == again.image).all()
    assert (picture.labels == again.labels).all()
    black = (picture.image == 0).all(axis=(1, 2))
    assert black.tolist() == [False] * (64 - black.sum()) + [True] * black.sum()
    assert 64 * 14 / 180 <= black.sum() <= 64 * 16 / 180
    assert ((picture.labels == IGNORE) == (picture.instances == 0)).all()
    assert (picture.labels[black] == IGNORE).all()
    assert (picture.labels[0] == STANFORD.index("ceiling")).all()
    seam = (picture.labels[:, 0] == picture.labels[:, -1]).mean()
    assert seam > 0.85


def test_the_look_changes_and_the_content_stays():
    near, far = sphere(SEED, 32, 0.0), sphere(SEED, 32, 1.0)
    assert (near.instances == far.instances).all()
    assert np.abs(near.image.astype(int) - far.image).mean() > 5
    first, second = pinhole(SEED, 0, 48), pinhole(SEED, 1, 48)
    assert first.image.shape == (48, 48, 3)
    assert (first.labels != IGNORE).all()
    assert (first.labels != second.labels).any()


def test_every_class_occurs_and_things_stay_in_the_room():
    seen = set()
    for number in range(20):
        rng = np.random.default_rng(number)
        room = draw_room(rng, palette(rng, 0.5))
        seen |= set(room.names)
        assert tuple(room.names[: len(SHELL)]) == SHELL
        for box in room.boxes:
            assert max(abs(box.x) - room.half[0], abs(box.y) - room.half[1]) < 0.01
            assert -1e-6 <= box.low < box.high <= room.height + 1e-6
            assert STANFORD[box.label] == room.names[box.instance - 1]
    assert seen == set(STANFORD)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    out = tmp_path_factory.mktemp("world") / "rooms"
    write_rooms(out, rooms=1, seed=2, pinholes=1, height=32, gap=0.3)
    return out


def test_the_world_is_read_as_stanford2d3d_is(world):
    found = check(world)
    assert found.layout == "Stanford2D3D, area_N/pano"
    assert (found.pairs, found.protocol, found.problems) == (7, "stanford13", [])
    assert found.sizes == {(64, 32): 7}
    for area, sample in zip(AREAS, find_panoramas(world), strict=True):
        truth = read_truth(sample.labels, STANFORD_THIRTEEN)
        picture = sphere((2, AREAS.index(area), 0), 32, 0.3)
        assert (truth[picture.image.any(axis=-1)] == picture.labels[picture.image.any(-1)]).all()
        assert (truth[-1] == IGNORE).all()
        with Image.open(sample.image) as written:
            assert written.info["Source"] == MARK["Source"]
        assert not is_street_world(sample.image)
    assert len(fold(find_panoramas(world), 1)[1]) == 2
    [image] = find_panoramas(world / "area_5a" / "data")
    assert (read_truth(image.labels, STANFORD_THIRTEEN) != IGNORE).mean() > 0.9
    names = json.loads((world / "assets" / "semantic_labels.json").read_text())
    assert len(set(names)) == len(names)
    assert names[1] == "floor_1_office_1_1"


def test_what_is_written_is_kept_and_another_world_refused(world):
    sample = find_panoramas(world)[0]
    before = sample.image.stat().st_mtime_ns
    write_rooms(world, rooms=1, seed=2, pinholes=1, height=32, gap=0.3)
    assert sample.image.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="of another world"):
        write_rooms(world, rooms=1, seed=3, height=32, gap=0.3)
    with pytest.raises(InputError, match="of another world"):
        write_rooms(world, rooms=1, seed=2, height=64, gap=0.3)
    with pytest.raises(InputError, match="outside 0 to 1"):
        sphere(SEED, 32, 1.5)


def test_label_colours_are_base_256():
    colours = label_colours(np.array([[0, 1, 300]], np.uint16), first=1)
    assert colours.tolist() == [[[13, 13, 13], [0, 0, 1], [0, 1, 44]]]
    assert Image.fromarray(colours).mode == "RGB"
