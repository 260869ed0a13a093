"""Rooms the whole way without a download: world, source training, adaptation, scores."""

from __future__ import annotations

import json

import pytest

from goodsam.data.classes import CITYSCAPES
from goodsam.data.errors import InputError
from goodsam.data.indoors.write import write_rooms
from goodsam.data.panoramas import find_panoramas
from goodsam.data.rooms import STANFORD
from goodsam.data.street.write import write_world
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.source import SourceConfig, classes_of, train_source

SMALL = SourceConfig(model="w8", steps=2, batch=1, crop=(32, 32), workers=0)


def test_rooms_the_whole_way(tmp_path, goodsam):
    world = tmp_path / "rooms"
    status, out, said = goodsam(*f"rooms {world} --rooms 1 --pinholes 1 --height 64".split())
    assert status == 0, said
    assert "7 panoramas and 7 images" in out
    status, out, _ = goodsam("data", "check", world)
    assert status == 0
    assert "goodsam eval --protocol stanford13" in out

    pinhole = [s for area in "12346" for s in find_panoramas(world / f"area_{area}" / "data")]
    for name in ("ta", "student"):
        train_source(pinhole, tmp_path / name, SMALL)
    assert Segmenter.load(tmp_path / "ta/model").names == STANFORD

    status, _, said = goodsam(
        *f"reproduce stanford2d3d --stanford2d3d {world} --classes 13 --sam street "
        f"--teacher-assistant {tmp_path}/ta/model --student {tmp_path}/student/model "
        f"--points-per-side 2 --boundaries windows --set steps=1 --set workers=0 "
        f"--out {tmp_path}/out".split()
    )
    assert status == 0, said
    record = json.loads((tmp_path / "out/reproduce.json").read_text())
    assert set(record["ours"]["per_class"]) == set(STANFORD)
    test = [s.image for s in find_panoramas(world) if "area_5" in s.name]
    (tmp_path / "test.txt").write_text("\n".join(map(str, test)))
    status, text, said = goodsam(
        *f"eval {tmp_path}/out/run {tmp_path}/test.txt --protocol stanford13 --json "
        f"--out {tmp_path}/eval".split()
    )
    assert status == 0, said
    assert json.loads(text)["miou"] == record["ours"]["miou"]


def test_streets_and_rooms_are_not_trained_on_together(tmp_path):
    write_rooms(tmp_path / "rooms", rooms=1, seed=0, height=16)
    write_world(tmp_path / "streets", source=2, unlabelled=0, test=0, seed=0, height=32)
    rooms, streets = (find_panoramas(tmp_path / name) for name in ("rooms", "streets/source"))
    assert classes_of(rooms) == STANFORD
    assert classes_of(streets) == CITYSCAPES
    with pytest.raises(InputError, match="labels of other classes in one training"):
        classes_of([*rooms, *streets])
