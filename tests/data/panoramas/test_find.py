import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas, pair_predictions, survey


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def picture(seed=0, height=4, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ids(*values):
    return np.array([values], dtype=np.uint8)


LAYOUTS = {
    "DensePASS": ("leftImg8bit/val/{}_.png", "gtFine/val/{}_labelTrainIds.png"),
    "DensePASS under cs": ("leftImg8bit/val/cs/{}_.png", "gtFine/val/cs/{}_labelTrainIds.png"),
    "DensePASS without _": ("leftImg8bit/val/cs/{}.png", "gtFine/val/cs/{}_labelTrainIds.png"),
    "Cityscapes": (
        "leftImg8bit/val/ulm/ulm_{}_leftImg8bit.png",
        "gtFine/val/ulm/ulm_{}_gtFine_labelTrainIds.png",
    ),
    "Cityscapes, label ids": (
        "leftImg8bit/val/ulm/ulm_{}_leftImg8bit.png",
        "gtFine/val/ulm/ulm_{}_gtFine_labelIds.png",
    ),
}


@pytest.mark.parametrize(("image", "label"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("given_as", ["root", "root and labels", "split folders"])
def test_labelled_layouts(tmp_path, image, label, given_as):
    for n in (1, 2, 10):
        write(tmp_path / image.format(n), picture())
        write(tmp_path / label.format(n), ids(7))
    found = {
        "root": lambda: find_panoramas(tmp_path),
        "root and labels": lambda: find_panoramas(tmp_path, tmp_path),
        "split folders": lambda: find_panoramas(
            tmp_path / "leftImg8bit/val", tmp_path / "gtFine/val"
        ),
    }[given_as]()
    assert sorted(s.image for s in found) == sorted(tmp_path / image.format(n) for n in (1, 2, 10))
    assert [s.name for s in found] == sorted(s.name for s in found)
    for sample in found:
        n = next(n for n in (1, 2, 10) if sample.image == tmp_path / image.format(n))
        assert sample.labels == tmp_path / label.format(n)
    if given_as == "root":
        assert {s.name for s in found} == {image.format(n) for n in (1, 2, 10)}


@pytest.mark.parametrize("level", ["leftImg8bit", "leftImg8bit/train"])
def test_wildpass2k_has_no_labels(tmp_path, level):
    for city in ("Accra", "Busan"):
        write(tmp_path / level / city / "1.jpg", picture())
        write(tmp_path / level / city / "2.png", picture())
    found = find_panoramas(tmp_path)
    assert [s.labels for s in found] == [None] * 4
    assert found[0].name == f"{level}/Accra/1.jpg"


def test_images_alone_of_a_labelled_set(tmp_path):
    write(tmp_path / "leftImg8bit/val/1_.png", picture())
    write(tmp_path / "gtFine/val/1_labelTrainIds.png", ids(1))
    assert [s.labels for s in find_panoramas(tmp_path / "leftImg8bit")] == [None]


def test_train_ids_are_preferred_and_other_pictures_left_aside(tmp_path):
    write(tmp_path / "leftImg8bit/val/u/a_leftImg8bit.png", picture())
    for kind in ("labelIds", "labelTrainIds", "instanceIds", "color"):
        write(tmp_path / f"gtFine/val/u/a_gtFine_{kind}.png", ids(7))
    (tmp_path / "gtFine/val/u/a_gtFine_polygons.json").write_text("{}")
    (sample,) = find_panoramas(tmp_path)
    assert sample.labels is not None
    assert sample.labels.name == "a_gtFine_labelTrainIds.png"


def test_plain_folders_pair_by_path_then_by_name(tmp_path):
    for name in ("x/a.jpg", "x/b.png", ".hidden.png", "notes.txt"):
        path = tmp_path / "images" / name
        write(path, picture()) if path.suffix != ".txt" else path.write_text("no picture")
    write(tmp_path / "same/x/a.png", ids(1))
    write(tmp_path / "same/x/b.png", ids(1))
    write(tmp_path / "flat/b.png", ids(1))
    write(tmp_path / "flat/a_labelTrainIds.png", ids(1))
    same = find_panoramas(tmp_path / "images", tmp_path / "same")
    flat = find_panoramas(tmp_path / "images", tmp_path / "flat")
    assert [(s.name, s.labels) for s in same] == [
        ("x/a.jpg", tmp_path / "same/x/a.png"),
        ("x/b.png", tmp_path / "same/x/b.png"),
    ]
    assert [s.labels and s.labels.name for s in flat] == ["a_labelTrainIds.png", "b.png"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path / "elsewhere/a.png", picture())
    (tmp_path / "images").mkdir()
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "images")
    assert [s.name for s in find_panoramas(tmp_path / "images")] == ["link/a.png"]


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no images here"):
        find_panoramas(tmp_path / "empty")
    with pytest.raises(InputError, match="no such folder, image or list"):
        find_panoramas(tmp_path / "nowhere")
    image = write(tmp_path / "one/a.png", picture())
    with pytest.raises(InputError, match="a file, not a folder"):
        find_panoramas(tmp_path / "one", labels=image)
    with pytest.raises(InputError, match="empty: no label maps here"):
        find_panoramas(tmp_path / "one", tmp_path / "empty")


def test_unpaired_files_are_named(tmp_path):
    for n in (1, 2, 3):
        write(tmp_path / f"leftImg8bit/val/{n}_.png", picture())
    write(tmp_path / "gtFine/val/1_labelTrainIds.png", ids(1))
    with pytest.raises(InputError, match=r"no label map for the image val/2 \(2 of 3 have none\)"):
        find_panoramas(tmp_path)
    for n in (2, 3, 4):
        write(tmp_path / f"gtFine/val/{n}_labelTrainIds.png", ids(1))
    with pytest.raises(InputError, match=r"no image for the label map val/4 \(1 of 4 have none\)"):
        find_panoramas(tmp_path)


def test_names_that_cannot_be_told_apart(tmp_path):
    write(tmp_path / "a/1.png", picture())
    write(tmp_path / "a/1.jpg", picture())
    told = []
    assert [s.name for s in find_panoramas(tmp_path / "a", say=told.append)] == ["1.jpg"]
    assert told == [
        f"1 file is not taken (1 of a name that is taken): `goodsam data check {tmp_path / 'a'}` "
        "says why"
    ]
    (left,) = survey(tmp_path / "a").not_taken
    assert left.path == tmp_path / "a/1.png"
    assert "1.jpg is taken" in left.why
    write(tmp_path / "b/x/1.png", picture())
    write(tmp_path / "b/y/1.png", picture())
    write(tmp_path / "flat/1.png", ids(1))
    with pytest.raises(InputError, match="names repeat"):
        find_panoramas(tmp_path / "b", tmp_path / "flat")


def test_predictions_pair_with_samples(tmp_path):
    for n in (1, 2):
        write(tmp_path / f"leftImg8bit/val/{n}_.png", picture())
        write(tmp_path / f"out/leftImg8bit/val/{n}_.png", ids(n))
        write(tmp_path / f"flat/{n}.png", ids(n))
    samples = find_panoramas(tmp_path)
    pairs = pair_predictions(samples, tmp_path / "out")
    assert [(s.name, p.name) for s, p in pairs] == [(s.name, s.image.name) for s in samples]
    assert [p.name for _, p in pair_predictions(samples, tmp_path / "flat")] == ["1.png", "2.png"]
    (tmp_path / "flat/2.png").unlink()
    with pytest.raises(InputError, match=r"no prediction for leftImg8bit/val/2_.png \(1 of 2"):
        pair_predictions(samples, tmp_path / "flat")


def test_a_folder_that_predict_wrote_is_its_label_maps(tmp_path):
    write(tmp_path / "images/x/1.jpg", picture())
    for kind in ("labels", "overlays", "confidence"):
        write(tmp_path / f"out/{kind}/x/1.png", ids(1))
    ((_, path),) = pair_predictions(find_panoramas(tmp_path / "images"), tmp_path / "out")
    assert path == tmp_path / "out/labels/x/1.png"
