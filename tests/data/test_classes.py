import numpy as np
import pytest

from goodsam.data.classes import (
    CITYSCAPES,
    IGNORE,
    LABEL_IDS,
    MAPILLARY,
    NINETEEN,
    PALETTE,
    THIRTEEN,
    WILDPASS,
    colourise,
    palette_for,
    protocol_for,
)
from goodsam.data.errors import InputError


def test_nineteen_distinct_classes_and_colours():
    assert len(CITYSCAPES) == len(set(CITYSCAPES)) == 19
    assert len({tuple(colour) for colour in PALETTE}) == 19


@pytest.mark.parametrize(
    ("label_id", "name"),
    [(7, "road"), (8, "sidewalk"), (17, "pole"), (19, "traffic light"), (23, "sky"),
     (26, "car"), (28, "bus"), (31, "train"), (33, "bicycle")],
)  # fmt: skip
def test_label_ids(label_id, name):
    assert CITYSCAPES[LABEL_IDS[label_id]] == name


def test_label_ids_outside_evaluation_are_ignored():
    assert (LABEL_IDS != IGNORE).sum() == 19
    assert (LABEL_IDS[[0, 1, 6, 9, 10, 14, 18, 29, 30, 34, 255]] == IGNORE).all()


@pytest.mark.parametrize(
    ("train", "merged"),
    [("rider", "person"), ("truck", "car"), ("bus", "car"), ("motorcycle", "car"),
     ("bicycle", "car"), ("sky", "sky"), ("road", "road")],
)  # fmt: skip
def test_thirteen_classes(train, merged):
    assert len(THIRTEEN.names) == 13
    assert THIRTEEN.names[THIRTEEN.lookup[CITYSCAPES.index(train)]] == merged


def test_thirteen_leaves_the_train_and_the_ignored_out():
    assert THIRTEEN.lookup[CITYSCAPES.index("train")] == IGNORE
    assert THIRTEEN.lookup[IGNORE] == NINETEEN.lookup[IGNORE] == IGNORE
    assert (NINETEEN.lookup[:19] == np.arange(19)).all()


def test_palette_of_other_classes_is_distinct_and_keeps_known_colours():
    names = [f"class {i}" for i in range(120)] + ["sky"] + [f"thing {i}" for i in range(100)]
    palette = palette_for(names)
    assert palette.shape == (221, 3)
    assert palette.dtype == np.uint8
    assert len({tuple(colour) for colour in palette}) == 221
    assert (palette[120] == PALETTE[CITYSCAPES.index("sky")]).all()
    assert (palette == palette_for(names)).all()
    assert (palette_for(CITYSCAPES) == PALETTE).all()


def test_colourise():
    labels = np.array([[0, 18], [IGNORE, 30]], dtype=np.uint8)
    colours = colourise(labels)
    assert (colours[0, 0] == PALETTE[0]).all()
    assert (colours[0, 1] == PALETTE[18]).all()
    assert not colours[1].any()


def test_protocols_by_name():
    assert protocol_for(None, CITYSCAPES) is NINETEEN
    assert protocol_for("13", CITYSCAPES) is THIRTEEN
    own = protocol_for(None, ("floor", "lamp"))
    assert (own.key, own.names, own.ids) == ("own", ("floor", "lamp"), 2)
    assert own.lookup[:3].tolist() == [0, 1, IGNORE]
    with pytest.raises(InputError, match="use one of 19, 13, wildpass"):
        protocol_for("20", CITYSCAPES)
    with pytest.raises(InputError, match="the model has 2 others"):
        protocol_for("13", ("floor", "lamp"))


def test_wildpass_maps_both_kinds_of_ids_to_the_same_classes():
    assert WILDPASS.label_lookup is not None
    for mapillary, name in MAPILLARY.items():
        position = WILDPASS.names.index(name)
        assert WILDPASS.label_lookup[mapillary] == position
        assert WILDPASS.lookup[CITYSCAPES.index(name)] == position
    assert (WILDPASS.lookup != IGNORE).sum() == 6
