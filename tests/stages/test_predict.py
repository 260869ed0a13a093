import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.classes import CITYSCAPES, PALETTE, colourise
from goodsam.data.errors import InputError
from goodsam.data.labels import read_classes, write_classes
from goodsam.data.panoramas import Sample, find_panoramas
from goodsam.data.windows import Windows
from goodsam.stages.predict import OVERLAY_OPACITY, label_path, map_path, overlay, predict
from goodsam.stages.score.unlabelled import rolled
from goodsam.stages.segformer.native import native_maps
from goodsam.stages.segformer.segment import normalise, segment
from goodsam.stages.segformer.segmenter import Segmenter


@pytest.fixture(scope="module")
def run(tmp_path_factory, write_model):
    folder = tmp_path_factory.mktemp("run")
    write_model(folder / "student", seed=1)
    write_model(folder / "teacher_assistant", seed=2)
    return folder


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name, size in (("a.jpg", (32, 64)), ("x/b.png", (40, 50))):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        small = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size[::-1]).save(path)
    return tmp_path / "images"


def panorama(height=32, width=128):
    small = np.random.default_rng(3).integers(0, 256, (4, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height)))


def test_direct_is_the_argmax_at_native_size(run):
    segmenter = Segmenter.load(run)
    image = panorama(40, 100)
    labels = segmenter(image)
    with torch.no_grad():
        logits = segment(segmenter.model, normalise(image[None], segmenter.device))
    assert labels.dtype == np.uint8
    assert (labels == logits[0].argmax(0).cpu().numpy()).mean() > 0.999  # sums in another order
    assert len(np.unique(labels)) > 1
    assert segmenter.names == CITYSCAPES
    assert (segmenter.palette == PALETTE).all()


def test_windows_are_labelled_one_by_one_and_joined(run):
    segmenter = Segmenter.load(run, network="teacher_assistant", mode="windows")
    direct = Segmenter.load(run, network="teacher_assistant")
    image = panorama()
    geometry = Windows.of(32, 128)
    columns = [np.arange(start, start + 32) % 128 for start in (0, 16, 32, 48, 64, 80, 96, 112)]
    expected = [direct(np.ascontiguousarray(image[:, c])) for c in columns]
    assert (segmenter.window_labels(image) == expected).all()
    assert (segmenter(image) == np.concatenate(expected[::2], axis=1)).all()
    naive = [expected[i][:, 16:] == expected[(i + 1) % 8][:, :16] for i in range(8)]
    assert segmenter.window_agreement(image) == pytest.approx(100 * np.mean(naive))
    assert 0 < segmenter.window_agreement(image) < 100
    assert (direct.window_labels(image) == expected).all()
    chosen = Segmenter.load(run, mode="windows", windows=geometry)
    assert (chosen(image) == Segmenter.load(run, mode="windows")(image)).all()


def test_networks_of_a_run_differ(run):
    image = panorama()
    student, assistant = Segmenter.load(run), Segmenter.load(run, network="teacher_assistant")
    assert student.fingerprint != assistant.fingerprint
    assert (student(image) == Segmenter.load(run / "student")(image)).all()
    assert (student(image) != assistant(image)).any()


def test_predict_writes_labels_and_overlays(run, images, tmp_path):
    segmenter = Segmenter.load(run)
    samples = find_panoramas(images)
    told = []
    summary = predict(segmenter, samples, tmp_path / "out", progress=told.append)
    assert summary.done == told == ["a.jpg", "x/b.png"]
    for sample, name in zip(samples, ("a.png", "x/b.png"), strict=True):
        image = np.array(Image.open(sample.image))
        labels = np.array(Image.open(tmp_path / "out/labels" / name))
        assert (labels == segmenter(image)).all()
        assert label_path(tmp_path / "out", sample.name) == tmp_path / "out/labels" / name
        shown = np.array(Image.open(tmp_path / "out/overlays" / name))
        assert (shown == overlay(image, labels, PALETTE)).all()
    written = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert written <= {"a.png", "b.png", "classes.json", "hashes.jsonl"}
    assert [c.name for c in read_classes(tmp_path / "out")] == list(CITYSCAPES)


def test_predict_goes_on_and_redoes_what_changed(run, images, tmp_path):
    samples, out = find_panoramas(images), tmp_path / "out"
    student = Segmenter.load(run)
    assert predict(student, samples[:1], out).done == ["a.jpg"]
    again = predict(student, samples, out)
    assert (again.skipped, again.done) == (["a.jpg"], ["x/b.png"])
    (out / "overlays/a.png").unlink()
    assert predict(student, samples, out).done == ["a.jpg"]
    Image.fromarray(panorama()).save(images / "a.jpg")
    assert predict(student, samples, out).done == ["a.jpg"]
    other = Segmenter.load(run, network="teacher_assistant")
    assert predict(other, samples, out).done == ["a.jpg", "x/b.png"]
    (out / "classes.json").unlink()  # the maps have stamps, so the folder is ours all the same
    (out / "labels/a.png").unlink()
    assert predict(other, samples, out).done == ["a.jpg"]


@pytest.mark.parametrize("place", ["labels/a.png", "confidence/a.png", "classes.json"])
def test_what_others_made_is_not_replaced(run, images, tmp_path, place):
    """A data set's own labels, in the folder that is to be written into."""
    out = tmp_path / "out"
    (out / place).parent.mkdir(parents=True)
    Image.fromarray(panorama()).save(out / "a.png")
    (out / "a.png").rename(out / place)
    before = (out / place).read_bytes()
    with pytest.raises(InputError, match=place):
        predict(Segmenter.load(run), find_panoramas(images), out)
    assert (out / place).read_bytes() == before
    assert [path.name for path in out.rglob("*") if path.is_file()] == [(out / place).name]


@pytest.mark.parametrize("content", ["[]", '[{"id": 0, "name": "tree", "colour": [1, 2, 3]}]'])
def test_other_classes_are_not_replaced(run, images, tmp_path, content):
    out = tmp_path / "out"
    (out / "confidence").mkdir(parents=True)
    (out / "confidence/a.png").write_bytes(b"mine")
    (out / "classes.json").write_text(content)
    with pytest.raises(InputError, match=r"classes\.json: .*\(2 such files\)"):
        predict(Segmenter.load(run), find_panoramas(images), out)
    assert (out / "classes.json").read_text() == content


def test_what_was_killed_after_its_first_file_goes_on(run, images, tmp_path):
    student, out = Segmenter.load(run), tmp_path / "out"
    write_classes(out, student.names, student.palette)
    (out / "overlays").mkdir()
    (out / "overlays/a.png").write_bytes(b"cut off")
    assert predict(student, find_panoramas(images), out).done == ["a.jpg", "x/b.png"]


def test_a_map_that_was_corrected_is_not_replaced(run, images, tmp_path):
    samples, out, student = find_panoramas(images), tmp_path / "out", Segmenter.load(run)
    predict(student, samples, out, wanted=["confidence"])
    with Image.open(out / "labels/a.png") as written:
        ids = np.array(written)
    ids[0, 0] = 7
    Image.fromarray(ids).save(out / "labels/a.png")
    with pytest.raises(
        InputError, match=r"labels/a\.png: was not written by goodsam, or was chang"
    ):
        predict(Segmenter.load(run, network="teacher_assistant"), samples, out)
    (out / "labels/a.png").unlink()  # then what is left of it is ours
    assert predict(student, samples, out).done == ["a.jpg"]
    assert not (out / "confidence/a.png").exists()


def test_predict_fits_and_names_what_failed(run, images, tmp_path):
    Image.fromarray(panorama(64, 128)).convert("L").save(images / "grey.png")
    (images / "broken.png").write_bytes(b"no image")
    Image.fromarray(panorama(20, 20)).save(images / "tiny.png")
    samples, segmenter = find_panoramas(images), Segmenter.load(run)
    native = predict(segmenter, samples, tmp_path / "native")
    assert list(native.failed) == ["broken.png", "tiny.png"]
    assert "tiny.png: an image or window side is shorter than 32 px" in native.failed["tiny.png"]
    fitting = segmenter.seeing(Windows.of(40, 205), fit=True)
    summary = predict(fitting, samples, tmp_path / "out")
    assert summary.done == ["a.jpg", "grey.png"]
    assert list(summary.failed) == ["broken.png", "tiny.png", "x/b.png"]
    assert "broken.png: cannot be read as an image" in summary.failed["broken.png"]
    assert "neither a 2:1 panorama" in summary.failed["x/b.png"]
    assert str(summary.conversions) == "1 image converted to RGB (1 grey)"
    labels = np.array(Image.open(tmp_path / "out/labels/grey.png"))
    assert labels.shape == (64, 128)  # the picture's own size, though 40 x 205 was seen
    assert (labels[32] < 19).all()
    assert (labels[:18] == 255).all()
    assert (labels[-18:] == 255).all()


def test_overlay_leaves_the_ignored_pixels():
    image = np.full((1, 2, 3), 100, np.uint8)
    shown = overlay(image, np.uint8([[0, 255]]), np.uint8([[200, 0, 100]]))
    assert shown.tolist() == [[[155, 45, 100], [100, 100, 100]]]


def test_an_overlay_is_the_blended_picture():
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(64, 300, 3), dtype=np.uint8)
    labels = rng.integers(256, size=(64, 300), dtype=np.uint8)  # some beyond the palette: black
    blended = (1 - OVERLAY_OPACITY) * image + OVERLAY_OPACITY * colourise(labels, PALETTE)
    expected = np.where((labels == 255)[..., None], image, np.rint(blended))
    assert (overlay(image, labels, PALETTE) == expected).all()


def test_other_classes_come_with_their_own_palette(tmp_path, write_model):
    segmenter = Segmenter.load(write_model(tmp_path / "m", names=("floor", "lamp", "sky")))
    assert segmenter.names == ("floor", "lamp", "sky")
    assert segmenter.palette.shape == (3, 3)
    assert segmenter(panorama()).max() <= 2


def test_what_cannot_be_loaded(tmp_path, write_model):
    with pytest.raises(InputError, match=r"no config.json"):
        Segmenter.load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(InputError, match="has no student/ yet"):
        Segmenter.load(tmp_path)
    write_model(tmp_path / "many", names=tuple(f"class {i}" for i in range(256)))
    with pytest.raises(InputError, match="more than 255 classes"):
        Segmenter.load(tmp_path / "many")


def test_batches_give_the_labels_of_single_images(run, tmp_path):
    for n in range(5):
        rolled = np.roll(panorama(), 7 * n, axis=1)
        Image.fromarray(rolled[:, : 128 - 32 * (n == 3)]).save(tmp_path / f"{n}.png")
    samples, segmenter = find_panoramas(tmp_path), Segmenter.load(run)
    told = []
    predict(segmenter, samples, tmp_path / "out", progress=told.append, batch=2)
    assert told == [f"{n}.png" for n in range(5)]
    for sample in samples:
        labels = np.array(Image.open(label_path(tmp_path / "out", sample.name)))
        assert (labels == segmenter(np.array(Image.open(sample.image)))).mean() > 0.999


def test_probabilities_are_those_of_the_labels(run, tmp_path):
    Image.fromarray(panorama()).save(tmp_path / "a.png")
    samples, segmenter = find_panoramas(tmp_path), Segmenter.load(run)
    assert predict(segmenter, samples, tmp_path / "out").done == ["a.png"]
    again = predict(segmenter, samples, tmp_path / "out", wanted=["probabilities"])
    assert again.done == ["a.png"]  # the label map is there, its probabilities are not
    again = predict(segmenter, samples, tmp_path / "out", wanted=["probabilities"])
    assert again.skipped == ["a.png"]
    shares = np.load(map_path(tmp_path / "out", "probabilities", "a.png"), allow_pickle=False)
    assert (shares.dtype, shares.shape) == (np.float16, (19, 32, 128))
    assert shares.astype(float).sum(axis=0) == pytest.approx(np.ones((32, 128)), abs=0.01)
    labels = segmenter(panorama())
    picked = np.take_along_axis(shares, labels[None].astype(int), axis=0)[0]
    assert (picked == shares.max(axis=0)).all()


@pytest.mark.parametrize("fit", [False, True])
def test_confidence_is_the_probability_of_the_label(run, tmp_path, fit):
    """In the photograph's own pixels; nothing is known outside the band, so 0 there."""
    image = panorama(64, 128)
    Image.fromarray(image).save(tmp_path / "a.png")
    segmenter = Segmenter.load(run)
    if fit:
        segmenter = segmenter.seeing(Windows.of(40, 205), fit=True)
    out = tmp_path / "out"
    predict(segmenter, find_panoramas(tmp_path), out, wanted=["confidence", "probabilities"])
    with Image.open(label_path(out, "a.png")) as picture:
        assert picture.mode == "P"
        assert picture.info["photograph"] == "a.png"
        labels = np.array(picture)
    found = np.array(Image.open(map_path(out, "confidence", "a.png")))
    assert found.shape == labels.shape == (64, 128)
    assert ((found == 0) == (labels == 255)).all()
    shares = np.load(map_path(out, "probabilities", "a.png")).astype(np.float32)
    shares /= shares.sum(axis=0)
    expected = shares.max(axis=0)
    if fit:
        assert (labels == 255).mean() == pytest.approx(1 - 2 * 40 / 205, abs=0.02)
        expected = native_maps(torch.from_numpy(shares)[None], (64, 128), ["confidence"])
        expected = expected.confidence[0] / 255
    assert (np.abs(found / 255 - expected) < 0.006).all()


def seam_agreement(segmenter, image, reach=16):
    """Percent of the pixels near the seam that are labelled as when it is elsewhere."""
    labels, turned = segmenter(image), rolled(segmenter, image)
    columns = np.r_[-reach:reach]
    return 100 * (labels[:, columns] == turned[:, columns]).mean()


def test_wrapping_closes_the_seam(run):
    image = panorama(64, 512)
    plain, wrapped = (Segmenter.load(run, wrap=wrap) for wrap in (False, True))
    assert plain.fingerprint != wrapped.fingerprint
    assert wrapped(image).shape == (64, 512)
    assert seam_agreement(wrapped, image) > seam_agreement(plain, image) + 5
    with pytest.raises(InputError, match="windows run over the seam"):
        Segmenter.load(run, mode="windows", wrap=True)


def test_sample_without_file_fails_alone(run, tmp_path):
    summary = predict(
        Segmenter.load(run), [Sample("gone.png", tmp_path / "gone.png")], tmp_path / "out"
    )
    assert "gone.png" in summary.failed["gone.png"]


GREY, WITH_ALPHA = np.zeros((32, 64), np.uint8), np.zeros((32, 64, 4), np.uint8)


@pytest.mark.parametrize(
    "image",
    ["a.jpg", Image.new("RGB", (64, 32)), GREY, WITH_ALPHA, np.zeros((32, 64, 3)), GREY[None]],
)
def test_an_image_is_an_array_of_bytes(run, image):
    with pytest.raises(InputError, match="uint8"):
        Segmenter.load(run)(image)
