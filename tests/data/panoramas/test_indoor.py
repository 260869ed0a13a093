import json

import numpy as np
import pytest
from PIL import Image

from goodsam.data.check import check
from goodsam.data.classes import (
    CITYSCAPES,
    IGNORE,
    NINETEEN,
    PROTOCOLS,
    protocol_for,
)
from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas, read_labels, read_truth
from goodsam.data.panoramas.indoor import fold
from goodsam.data.rooms import (
    PROTOCOLS_OF_ROOMS,
    STANFORD,
    STANFORD_EIGHT,
    STANFORD_THIRTEEN,
    STRUCTURED_EIGHT,
)
from tests.data.panoramas.rooms import (
    MISSING,
    NAMES,
    colours,
    write,
    write_names,
    write_stanford,
    write_structured,
)

NYU_IDS = {1: "wall", 2: "floor", 5: "chair", 6: "sofa", 7: "table", 8: "door", 9: "window",
           22: "ceiling"}  # fmt: skip


@pytest.fixture
def stanford(tmp_path):
    return write_stanford(tmp_path / "Stanford2D3D")


def naive_classes(labels, image, names, wanted):
    """Pixel by pixel: the name at R * 65536 + G * 256 + B; none where the image is black."""
    truth = np.full(labels.shape[:2], IGNORE, np.uint8)
    for y, x in np.ndindex(*truth.shape):
        red, green, blue = (int(value) for value in labels[y, x])
        index = red * 256 * 256 + green * 256 + blue
        if index < len(names) and image[y, x].any():
            name = names[index].split("_")[0]
            truth[y, x] = wanted.index(name) if name in wanted else IGNORE
    return truth


def test_the_panoramas_of_stanford_are_found_with_their_labels(stanford):
    write_stanford(stanford, areas=("1",), kind="data")  # pinhole images beside them
    samples = find_panoramas(stanford)
    assert [s.name.split("/")[:3] for s in samples] == [
        [f"area_{area}", "pano", "rgb"] for area in ("1", "2", "3", "4", "5a", "5b", "6")
    ]
    for sample in samples:
        assert sample.labels is not None
        assert sample.labels.parent.name == "semantic"
        assert sample.labels.stem == sample.image.stem.removesuffix("rgb") + "semantic"
    [pinhole] = find_panoramas(stanford / "area_1" / "data")
    assert pinhole.labels is not None
    one_area = find_panoramas(stanford / "area_2" / "pano" / "rgb")
    assert [s.image for s in one_area] == [samples[1].image]


@pytest.mark.parametrize("protocol", [STANFORD_THIRTEEN, STANFORD_EIGHT], ids=lambda p: p.key)
def test_colours_are_looked_up_and_black_is_left_out(stanford, protocol):
    seen = set()
    for sample in find_panoramas(stanford):
        labels, image = (np.array(Image.open(path)) for path in (sample.labels, sample.image))
        truth = read_truth(sample.labels, protocol)
        assert (truth == naive_classes(labels, image, NAMES, protocol.names)).all()
        assert (truth[0] == IGNORE).all()
        seen |= set(np.unique(truth))
    assert seen == {*range(len(protocol.names)), IGNORE}


def test_what_is_missing_has_no_label(stanford):
    sample = find_panoramas(stanford)[0]
    labels = np.array(Image.open(sample.labels))
    labels[1:3] = MISSING
    write(sample.labels, labels)
    truth = read_truth(sample.labels, STANFORD_THIRTEEN)
    assert (truth[:3] == IGNORE).all()
    assert (truth[3:] != IGNORE).any()


def test_what_is_wrong_with_stanford_is_said(stanford):
    sample = find_panoramas(stanford)[0]
    labels = np.array(Image.open(sample.labels))
    beyond = labels.copy()
    beyond[2, 2] = colours(np.array([[len(NAMES)]]))[0, 0]
    write(sample.labels, beyond)
    with pytest.raises(InputError, match=f"index {len(NAMES)} is beyond the {len(NAMES)} names"):
        read_truth(sample.labels, STANFORD_THIRTEEN)
    write(sample.labels, labels[:, 1:])
    with pytest.raises(InputError, match="15 x 8, its image is 16 x 8"):
        read_truth(sample.labels, STANFORD_THIRTEEN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "without it nobody knows what the labels mean"),
        ("[1", "cannot be read as a list of names"),
        (json.dumps(["lamp_1_office_1_1"]), "'lamp' is none of the 13 classes"),
    ],
)
def test_names_that_do_not_serve(tmp_path, content, message):
    root = write_stanford(tmp_path, areas=("1",))
    path = root / "assets" / "semantic_labels.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    [sample] = find_panoramas(root)
    with pytest.raises(InputError, match=message):
        read_truth(sample.labels, STANFORD_THIRTEEN)


def test_names_may_lie_beside_the_areas(tmp_path):
    root = write_stanford(tmp_path, areas=("1",))
    [sample] = find_panoramas(root)
    before = read_truth(sample.labels, STANFORD_THIRTEEN)
    (root / "assets" / "semantic_labels.json").rename(root / "semantic_labels.json")
    assert (read_truth(sample.labels, STANFORD_THIRTEEN) == before).all()


@pytest.mark.parametrize(
    ("number", "training", "test"),
    [(1, "12346", "5a5b"), (2, "135a5b6", "24"), (3, "245a5b", "136")],
)
def test_folds_are_those_of_the_field(stanford, number, training, test):
    parts = fold(find_panoramas(stanford), number)
    areas = ["".join(sorted(s.name.split("/")[0].removeprefix("area_") for s in p)) for p in parts]
    assert areas == [training, test]


def test_an_image_without_labels_is_an_error_but_in_a_list(stanford, tmp_path):
    samples = find_panoramas(stanford)
    samples[0].labels.unlink()
    with pytest.raises(InputError, match="1 of 7 have none"):
        find_panoramas(stanford)
    listed = tmp_path / "some.txt"
    listed.write_text("\n".join(str(sample.image) for sample in samples[:3]))
    assert [s.labels is None for s in find_panoramas(listed)] == [True, False, False]


def test_a_fold_without_its_areas(tmp_path):
    samples = find_panoramas(write_stanford(tmp_path, areas=("1", "2")))
    with pytest.raises(InputError, match="no panoramas to test on; it is"):
        fold(samples, 1)


def test_structured3d_is_one_picture_a_room(tmp_path):
    samples = find_panoramas(write_structured(tmp_path))
    assert len(samples) == 4
    for sample in samples:
        assert sample.name.endswith("panorama/full/rgb_rawlight.png")
        assert sample.labels == sample.image.parent / "semantic.png"
        ids = np.array(Image.open(sample.labels))
        truth = read_truth(sample.labels, STRUCTURED_EIGHT)
        for y, x in np.ndindex(*ids.shape):
            name = NYU_IDS.get(int(ids[y, x]))
            assert truth[y, x] == (IGNORE if name is None else STRUCTURED_EIGHT.names.index(name))
    assert len(find_panoramas(tmp_path / "scene_00000/2D_rendering/485142/panorama/empty")) == 1


def test_both_sets_are_recognised_by_the_check(tmp_path):
    found = check(write_stanford(tmp_path / "a"))
    assert (found.layout, found.pairs, found.protocol) == (
        "Stanford2D3D, area_N/pano",
        7,
        "stanford13",
    )
    assert found.problems == []
    assert set(found.classes) == set(STANFORD)
    assert "the published set has 1413 images" in found.notes
    found = check(write_structured(tmp_path / "b"))
    assert found.layout == "Structured3D, scene_N/2D_rendering/ROOM/panorama"
    assert (found.pairs, found.protocol, found.problems) == (4, "structured8", [])
    labels = find_panoramas(tmp_path / "a")[2].labels
    labels.unlink()
    [problem] = check(tmp_path / "a").problems
    assert "no label map for the image area_3/pano/rgb/" in problem


def test_indoors_and_outdoors_never_mix(stanford, tmp_path):
    rooms = find_panoramas(stanford)[0].labels
    for protocol in (PROTOCOLS | PROTOCOLS_OF_ROOMS).values():
        if protocol.rooms != "stanford2d3d":
            with pytest.raises(InputError, match="--protocol stanford13 or stanford8"):
                read_truth(rooms, protocol)
    with pytest.raises(InputError, match="whose ids are those of rooms"):
        read_labels(rooms)
    street = write(tmp_path / "street.png", np.zeros((4, 8), np.uint8))
    assert (read_truth(street, NINETEEN) == 0).all()
    for protocol in (STANFORD_THIRTEEN, STANFORD_EIGHT, STRUCTURED_EIGHT):
        with pytest.raises(InputError, match=f"which the protocol {protocol.key} is for"):
            read_truth(street, protocol)
        with pytest.raises(InputError, match="the model has no "):
            protocol_for(protocol.key, CITYSCAPES)


def test_a_protocol_of_rooms_takes_a_models_own_order():
    names = ("lamp", *reversed(STANFORD))
    protocol = protocol_for("stanford8", names)
    for index, name in enumerate(names):
        wanted = STANFORD_EIGHT.names.index(name) if name in STANFORD_EIGHT.names else IGNORE
        assert protocol.lookup[index] == wanted
    assert protocol.ids == len(names)
    assert (protocol.lookup[len(names) :] == IGNORE).all()


def test_names_are_read_again_for_another_copy(tmp_path):
    root = write_stanford(tmp_path / "a", areas=("1",))
    other = write_stanford(tmp_path / "b", areas=("1",))
    write_names(other, [NAMES[0]] * len(NAMES))
    assert (read_truth(find_panoramas(root)[0].labels, STANFORD_THIRTEEN) != IGNORE).any()
    assert (read_truth(find_panoramas(other)[0].labels, STANFORD_THIRTEEN) == IGNORE).all()
