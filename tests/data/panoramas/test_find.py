import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.files import file_hash
from goodsam.data.panoramas import (
    Conversions,
    find_panoramas,
    fit,
    image_size,
    pair_predictions,
    read_image,
    read_labels,
    read_panorama,
)
from goodsam.data.windows import Windows


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
    with pytest.raises(InputError, match="no such folder"):
        find_panoramas(tmp_path / "nowhere")
    with pytest.raises(InputError, match="a file, not a folder"):
        find_panoramas(write(tmp_path / "one/a.png", picture()))
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
    with pytest.raises(InputError, match="cannot be told from"):
        find_panoramas(tmp_path / "a")
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


def test_conversions_are_counted(tmp_path):
    rgb = Image.fromarray(picture())
    conversions = Conversions()
    for mode in ("RGB", "L", "1", "P", "RGBA", "LA"):
        rgb.convert(mode).save(tmp_path / f"{mode}.png")
        assert read_image(tmp_path / f"{mode}.png", conversions).shape == (4, 8, 3)
    rgb.quantize(8).save(tmp_path / "transparent.png", transparency=bytes(range(8)))
    read_image(tmp_path / "transparent.png", conversions)
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg")
    read_image(tmp_path / "cmyk.jpg", conversions)
    assert str(conversions) == "7 images converted to RGB (1 CMYK, 3 alpha, 2 grey, 1 palette)"
    assert str(Conversions()) == ""


def test_alpha_is_dropped_not_blended(tmp_path):
    colour = np.full((2, 2, 4), (200, 100, 50, 0), dtype=np.uint8)
    write(tmp_path / "a.png", colour)
    assert (read_image(tmp_path / "a.png") == (200, 100, 50)).all()


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    array = np.zeros((16, 32, 3), dtype=np.uint8)
    array[:, :16] = 255
    path = write(tmp_path / "turned.jpg", array, exif=exif)
    seen = read_image(path)
    assert seen.shape == (32, 16, 3)
    assert image_size(path) == (32, 16)
    assert seen[:8].min() > 200
    assert seen[-8:].max() < 50


def write_png(path, width, bits, colour_type, row):
    """A PNG of one row and any depth, which pillow can read but not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, 1, bits, colour_type, 0, 0, 0)
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(b"\0" + row), b"IEND": b""}
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*item) for item in chunks.items()))
    return path


def test_sixteen_bit_images_are_refused(tmp_path):
    grey = tmp_path / "grey.png"
    Image.fromarray(np.zeros((2, 2), dtype=np.uint16)).save(grey)
    Image.fromarray(np.zeros((2, 2), dtype=np.float32)).save(tmp_path / "float.tiff")
    rgb = write_png(tmp_path / "rgb.png", width=1, bits=16, colour_type=2, row=bytes(6))
    for path in (grey, rgb, tmp_path / "float.tiff"):
        for read in (read_image, image_size, read_labels):
            with pytest.raises(InputError, match=f"{path.name}: more than 8 bits"):
                read(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.6])
def test_damaged_images_are_refused(tmp_path, suffix, kept):
    path = write(tmp_path / f"a.{suffix}", picture(height=64, width=64))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(InputError, match=rf"a.{suffix}: cannot be read as an image"):
        read_image(path)


def test_missing_image(tmp_path):
    with pytest.raises(InputError, match=r"a.png: cannot be read"):
        read_image(tmp_path / "a.png")


def test_labels(tmp_path):
    path = write(tmp_path / "a_labelTrainIds.png", ids(0, 18, 255))
    assert (read_labels(path) == ids(0, 18, 255)).all()
    path = write(tmp_path / "a_gtFine_labelIds.png", ids(7, 33, 0, 26))
    assert (read_labels(path) == ids(0, 18, 255, 13)).all()
    palette = Image.fromarray(ids(0, 5, 255)).convert("P")
    palette.putdata([0, 5, 255])
    palette.save(tmp_path / "p.png")
    assert (read_labels(tmp_path / "p.png") == ids(0, 5, 255)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_labels_in_shallow_pngs(tmp_path, bits):
    """What a PNG optimiser makes of a label map with few classes."""
    values = np.arange(2**bits).clip(max=18).astype(np.uint8)
    row = np.packbits(np.unpackbits(values[:, None], axis=1)[:, -bits:]).tobytes()
    path = write_png(tmp_path / "a.png", len(values), bits, colour_type=0, row=row)
    assert (read_labels(path) == values).all()


def test_bad_labels(tmp_path):
    with pytest.raises(InputError, match=r"a.png: label id 19 is outside the 19 ids 0 to 18"):
        read_labels(write(tmp_path / "a.png", ids(0, 19, 255)))
    assert read_labels(tmp_path / "a.png", n_classes=20).max() == 255
    with pytest.raises(InputError, match="label id 40 is outside the 34"):
        read_labels(write(tmp_path / "a_labelIds.png", ids(40)))
    with pytest.raises(InputError, match="not colours"):
        read_labels(write(tmp_path / "colour.png", picture()))


def test_fit_cuts_the_band_of_a_full_panorama():
    height, width = 400, 800
    rows = np.linspace(0, 255, height).astype(np.uint8).astype(int)
    image = np.repeat(np.repeat(rows[:, None, None], width, axis=1), 3, axis=2).astype(np.uint8)
    fitted = fit(image, 40, 205)
    assert fitted.shape == (40, 205, 3)
    half = 400 * 40 / 205  # the band is 2 * 40 / 205 of the height, about the middle
    top, bottom = rows[int(200 - half)], rows[int(200 + half) - 1]
    assert abs(int(fitted[0, 0, 0]) - top) <= 3
    assert abs(int(fitted[-1, 0, 0]) - bottom) <= 3


def test_fit_resizes_the_same_aspect_and_refuses_others():
    assert fit(picture(height=80, width=408), 40, 205).shape == (40, 205, 3)
    image = picture(height=40, width=205)
    assert fit(image, 40, 205) is image
    with pytest.raises(InputError, match="neither a 2:1 panorama"):
        fit(picture(height=60, width=80), 40, 205)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 15))
def test_fit_keeps_the_seam_closed(seed, steps):
    """Fitting a turned panorama is turning the fitted one."""
    image = picture(seed, height=64, width=128)
    turned = np.roll(image, 4 * steps, axis=1)
    assert (fit(turned, 8, 32) == np.roll(fit(image, 8, 32), steps, axis=1)).all()


def test_read_panorama(tmp_path):
    windows = Windows.of(8, 32)
    right = write(tmp_path / "right.png", picture(height=8, width=32))
    full = write(tmp_path / "full.png", picture(height=64, width=128))
    odd = write(tmp_path / "odd.png", picture(height=50, width=50))
    assert (read_panorama(right, windows) == read_image(right)).all()
    with pytest.raises(
        InputError, match=r"full.png: 128 x 64 where 32 x 8 is expected; pass --fit"
    ):
        read_panorama(full, windows)
    assert read_panorama(full, windows, fit=True).shape == (8, 32, 3)
    with pytest.raises(InputError, match=r"odd.png: 50 x 50 is neither"):
        read_panorama(odd, windows, fit=True)


def test_file_hash(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
