"""The ensemble as label maps: against the rule on the windows, and against enlarging by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash
from goodsam.data.geometry import ignored_runs
from goodsam.data.panoramas import find_panoramas, read_image, to_band
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse
from goodsam.stages.predict import label_path, map_path, predict
from goodsam.stages.pseudo_labels import EnsembleLabeller, ensemble
from goodsam.stages.segformer.segment import normalise, segment
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.segformer.test_native import naive_maps

WINDOWS = Windows.of(40, 208)
MASK = np.zeros((40, 208), bool)
MASK[36:] = True


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, write_model):
    return Segmenter.load(write_model(tmp_path_factory.mktemp("ta") / "m", seed=4), device="cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A band of the cache's size, and a sphere; with a cache of some masks for both."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for name, size in (("band.png", (208, 40)), ("sphere.jpg", (300, 150))):
        small = rng.integers(0, 256, (5, 20, 3), dtype=np.uint8)
        (root / "i").mkdir(exist_ok=True)
        Image.fromarray(small).resize(size).save(root / "i" / name, quality=95)
    samples = find_panoramas(root / "i")
    identity = Identity("0" * 64, {}, "windows", WINDOWS, True, ignored_runs(MASK))
    hashes = {sample.name: file_hash(sample.image) for sample in samples}
    cache = SamCache.create(root / "c.zarr", identity, hashes, {})
    for name in hashes:
        windows = []
        for ignored in WINDOWS.cut(MASK):
            masks = np.zeros((4, 40, 52), bool)
            for mask in masks:
                y, x = rng.integers(0, 30), rng.integers(0, 40)
                mask[y : y + 15, x : x + 20] = True
            windows.append(WindowMasks.of(masks, np.ones(4), np.ones(4)).without(ignored))
        boundaries = overlap_boundaries(windows, WINDOWS, MASK)
        cache.write(name, PanoramaMasks(tuple(windows), tuple(boundaries)))
    return samples, cache


def by_hand(teacher, image, cache, name, fusion):
    """E, M and the TA's probability of E, float (H, W), of the windows that tile the panorama."""
    with torch.no_grad():
        logits = segment(teacher.model, WINDOWS.cut(normalise(image[None], teacher.device)[0]))
        labels, weights = fuse(logits, MaskBatch.of(cache.read(name).windows), fusion)
        p = logits.softmax(dim=1).numpy()
    e, m = (WINDOWS.join(maps.numpy()) for maps in (labels, weights))
    p = WINDOWS.join(p.transpose(0, 1, 2, 3))
    confidence = np.zeros(e.shape)
    for y, x in np.ndindex(e.shape):
        if e[y, x] != IGNORE:
            confidence[y, x] = p[e[y, x], y, x]
    return e, np.where(e == IGNORE, 0, m), confidence


@pytest.mark.parametrize(
    "fusion",
    [*map(FusionConfig, ("ctcf", "ssa", "sepl", "none")), FusionConfig("ssa", uncovered="ignore")],
)
def test_maps_are_those_of_the_rule(teacher, photos, tmp_path, fusion):
    samples, cache = photos
    labeller = EnsembleLabeller(teacher, cache, fusion)
    done = predict(labeller, samples, tmp_path, wanted=("confidence", "trust")).done
    assert done == ["band.png", "sphere.jpg"]
    for sample in samples:
        image = np.array(Image.open(sample.image))
        size = image.shape[:2]
        e, m, c = by_hand(teacher, to_band(image, 40, 208), cache, sample.name, fusion)
        shares = (np.arange(20)[:, None, None] == np.where(e == IGNORE, 19, e)).astype(float)
        likeliest = naive_maps(shares, size)[0]
        unseen = (likeliest == 255) | (naive_maps(np.stack([~MASK, MASK]) * 1.0, size)[0] == 1)
        paths = [label_path(tmp_path, sample.name)]
        paths += [map_path(tmp_path, kind, sample.name) for kind in ("confidence", "trust")]
        labels, confidence, trust = (np.asarray(Image.open(path)) for path in paths)
        expected = np.where(unseen | (likeliest == 19), IGNORE, likeliest)
        assert (labels == expected).mean() > 0.999  # ties, and the mask's rim, by the last bit
        known = labels != IGNORE
        assert (confidence[~known] == 0).all()
        assert (trust[~known] == 0).all()
        assert set(np.unique(trust)) <= {0, 255}
        if size == (40, 208):
            assert np.abs(confidence / 255.0 - c)[known].max() < 0.003
            assert ((trust == 255) == (m > 0))[known].all()
        else:
            assert (labels[75] != IGNORE).any()
            expected = naive_maps(np.stack([1 - c, c]), size)  # the larger of the two
            sure = np.where(expected[0] == 1, expected[1], 1 - expected[1])
            assert np.abs(confidence / 255.0 - sure)[known].max() < 0.003
            trusted = naive_maps(np.stack([1 - m, m]), size)[0] == 1
            assert ((trust == 255) == trusted)[known].mean() > 0.98


def test_what_was_made_by_another_rule_is_made_anew(teacher, photos, tmp_path):
    samples, cache = photos
    ctcf, ssa = (EnsembleLabeller(teacher, cache, FusionConfig(rule)) for rule in ("ctcf", "ssa"))
    assert len(predict(ctcf, samples, tmp_path).done) == 2
    assert len(predict(ctcf, samples, tmp_path).skipped) == 2
    assert len(predict(ssa, samples, tmp_path).done) == 2


def test_without_overlays_a_photograph_that_was_fitted_is_not_decoded(
    teacher, photos, tmp_path, monkeypatch
):
    samples, cache = photos
    labeller = EnsembleLabeller(teacher, cache, FusionConfig())
    predict(labeller, samples, tmp_path / "as usual")
    keep = FittedPictures(pictures_folder(cache.path), cache.identity.geometry, write=True)
    for sample in samples:
        keep.read(sample.name, sample.image, cache.images[sample.name])
    decoded = []

    def counted(path, conversions=None):
        decoded.append(path.name)
        return read_image(path, conversions)

    monkeypatch.setattr("goodsam.stages.predict.read_image", counted)
    assert len(predict(labeller, samples, tmp_path / "out", overlays=False).done) == 2
    assert decoded == ["band.png"]  # which is as it is
    for sample in samples:
        one, other = (label_path(tmp_path / name, sample.name) for name in ("as usual", "out"))
        assert (np.asarray(Image.open(one)) == np.asarray(Image.open(other))).all()
    assert not (tmp_path / "out/overlays").exists()


def test_an_image_of_another_size_fails_alone(teacher, photos, tmp_path):
    samples, cache = photos
    plain = Identity("0" * 64, {}, "windows", WINDOWS, False)
    other = SamCache.create(tmp_path / "c.zarr", plain, cache.images, {})
    record = cache.read("band.png")
    other.write("band.png", record)
    labeller = EnsembleLabeller(teacher, other, FusionConfig())
    summary = predict(labeller, samples, tmp_path / "out")
    assert summary.done == ["band.png"]
    assert "300 x 150, and the cache's masks are of 208 x 40" in summary.failed["sphere.jpg"]
    with pytest.raises(InputError):
        other.read("sphere.jpg")


def test_the_teachers_own_labels_stand_beside_the_ensemble(teacher, photos):
    _, cache = photos
    view = np.random.default_rng(0).integers(256, size=(40, 208, 3), dtype=np.uint8)
    found = ensemble(teacher, view, cache, "band.png", FusionConfig("ssa"))
    own = ensemble(teacher, view, cache, "band.png", FusionConfig("none"))
    assert (found.teacher == own.labels).all()
    assert (found.teacher != found.labels).any()
