"""The world on disk: layouts, what is in the files, and going on after an interruption."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.street.picture import panorama, pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.write import truth_path, write_world

COUNTS = {"source": 3, "unlabelled": 2, "test": 1, "seed": 4, "height": 25}


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("world")
    write_world(out, **COUNTS)
    return out


def test_layouts(world):
    frames = [("train", 0), ("train", 1), ("val", 2)]
    expected = {f"unlabelled/leftImg8bit/{city}/0.png" for city in ("Lindenau", "Marovia")}
    expected |= {"world.json", "test/leftImg8bit/val/0_.png", "test/gtFine/val/0_labelTrainIds.png"}
    for part, k in frames:
        name = f"{part}/street/street_{k:06d}_000000"
        expected |= {
            f"source/leftImg8bit/{name}_leftImg8bit.png",
            f"source/gtFine/{name}_gtFine_labelTrainIds.png",
            f"source/gtFine/{name}_gtFine_instanceIds.png",
        }
    assert set(contents(world)) == expected


def test_files_hold_the_pictures(world):
    picture = pinhole(split_seed("source", 2, 4), 25, 32)
    frame = "val/street/street_000002_000000"
    image = np.asarray(Image.open(world / f"source/leftImg8bit/{frame}_leftImg8bit.png"))
    labels = np.asarray(Image.open(world / f"source/gtFine/{frame}_gtFine_labelTrainIds.png"))
    instances = np.asarray(Image.open(world / f"source/gtFine/{frame}_gtFine_instanceIds.png"))
    np.testing.assert_array_equal(image, picture.image)
    np.testing.assert_array_equal(labels, picture.labels)
    np.testing.assert_array_equal(instances, picture.instances)
    test = panorama(split_seed("test", 0, 4), 25, 128)
    np.testing.assert_array_equal(
        np.asarray(Image.open(world / "test/leftImg8bit/val/0_.png")), test.image
    )


def test_goes_on_where_it_stopped(world, tmp_path):
    before = contents(world)
    for name in ("test/gtFine/val/0_labelTrainIds.png", "unlabelled/leftImg8bit/Marovia/0.png"):
        (world / name).unlink()
    seen: list[tuple[int, int]] = []
    write_world(world, **COUNTS, progress=lambda done, total: seen.append((done, total)))
    assert contents(world) == before
    assert seen == [(5, 6), (6, 6)]


def test_the_truth_of_panoramas_is_kept_apart_when_asked_for(world, tmp_path):
    before = contents(world)
    write_world(tmp_path, **COUNTS)
    write_world(tmp_path, **COUNTS, truth=True)  # adds it to a world that is there
    names = ["test/leftImg8bit/val/0_.png"]
    names += [f"unlabelled/leftImg8bit/{city}/0.png" for city in ("Lindenau", "Marovia")]
    after = contents(tmp_path)
    added = {f"truth/{what}/{name}" for name in names for what in ("labels", "instances")}
    assert set(after) == set(before) | added
    assert {name: after[name] for name in before} == before
    picture = panorama(split_seed("unlabelled", 1, 4), 25, 128)
    for what in ("labels", "instances"):
        path = truth_path(tmp_path, what, "unlabelled", "leftImg8bit/Marovia/0.png")
        np.testing.assert_array_equal(np.asarray(Image.open(path)), getattr(picture, what))


def test_files_that_are_there_are_kept(world):
    kept = world / "test/leftImg8bit/val/0_.png"
    stamp = kept.stat().st_mtime_ns
    write_world(world, **COUNTS)
    assert kept.stat().st_mtime_ns == stamp


def test_one_source_picture_is_for_validation(tmp_path):
    write_world(tmp_path, source=1, unlabelled=0, test=0, seed=0, height=20)
    assert len(list((tmp_path / "source/leftImg8bit/val").rglob("*.png"))) == 1


def test_negative_counts_are_refused(tmp_path):
    with pytest.raises(InputError):
        write_world(tmp_path, source=-1, unlabelled=0, test=0, seed=0)
