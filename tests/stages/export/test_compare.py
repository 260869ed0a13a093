import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.stages.export.compare import CROPS, Comparison, compare, demand
from goodsam.stages.export.views import View, rendered_views, views_of


def test_agreement_and_miou_by_hand(bare, picture):
    image = picture(200, 448)
    torch_labels = bare.classes(image[None])[0]

    def off(images):
        """As torch, but for the first column of everything."""
        labels = bare.classes(images)
        labels[:, :, 0] = (labels[:, :, 0] + 1) % 19
        return labels

    found = compare(bare, off, [View(image, torch_labels)], 2_000_000)
    pixels = 200 * 448 + sum(2 * height * width for height, width in CROPS)
    wrong = 200 + sum(2 * height for height, _ in CROPS)
    assert found.agreement == pytest.approx(100 * (1 - wrong / pixels))
    assert found.miou[0] == 100
    assert found.miou[1] < 100
    assert found.megabytes == 2
    assert all(ms > 0 for ms in found.milliseconds)


def test_a_size_that_became_a_constant_is_found(bare, picture):
    image = picture(200, 448)
    found = compare(bare, lambda images: bare.classes(image[None]), [View(image)], 1)
    assert found.agreement == pytest.approx(
        100 * 200 * 448 / (200 * 448 + sum(2 * height * width for height, width in CROPS))
    )
    assert np.isnan(found.miou).all()


@pytest.mark.parametrize(
    ("agreement", "how", "written"),
    [
        (99.99, {}, True),
        (99.98, {}, False),
        (99.98, {"half": True}, True),
        (99.89, {"half": True}, False),
        (99.0, {"int8": True}, True),
        (98.9, {"int8": True, "half": True}, False),
        (10.0, {"force": True}, True),
    ],
)
def test_bars(tmp_path, agreement, how, written):
    found = Comparison(agreement, (50.0, 40.0), (1.0, 2.0), 3.0)
    if written:
        demand(found, tmp_path, **how)
        return
    with pytest.raises(RuntimeError, match=r"% is the least.*--force"):
        demand(found, tmp_path, **how)


def test_pictures_are_photographs_with_their_truth_or_rendered_streets(bare, photographs):
    views = views_of(bare, photographs)
    assert [view.truth[0, 0] for view in views] == [0, 1, 2]
    assert len(views_of(bare, photographs * 10)) == 10
    (street,) = rendered_views(bare, 1)
    assert street.image.shape == (400, 2048, 3)
    assert street.truth.shape == (400, 2048)


def test_a_run_is_shown_what_it_sees(run, photographs):
    from goodsam.stages.segformer.segmenter import Segmenter

    segmenter = Segmenter.load(run, device="cpu")
    (street,) = rendered_views(segmenter, 1)
    assert street.image.shape == (64, 256, 3)


@pytest.mark.parametrize(
    ("size", "words"), [((2100, 1000), "2 megapixels"), ((64, 16), "below 32")]
)
def test_photographs_that_no_view_can_be_of_are_refused(bare, tmp_path, size, words):
    Image.new("RGB", size).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=rf"a\.png: .*{words}"):
        views_of(bare, find_panoramas(tmp_path))
