import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import Conversions, image_size, read_image, read_labels


def write(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def picture(seed=0, height=4, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ids(*values):
    return np.array([values], dtype=np.uint8)


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


def test_sixteen_bits_are_scaled_and_said_once(tmp_path):
    values = np.array([[0, 255, 256, 40000, 65535]], np.uint16)
    conversions = Conversions()
    for suffix in ("png", "tif"):
        path = write(tmp_path / f"grey.{suffix}", values)
        assert image_size(path) == (1, 5)
        seen = read_image(path, conversions)
        assert seen[0, :, 0].tolist() == [0, 1, 1, 156, 255]
        with pytest.raises(InputError, match="a label map holds one 8-bit id"):
            read_labels(path)
    row = struct.pack(">6H", 0, 65535, 40000, 256, 255, 65535)
    rgb = write_png(tmp_path / "rgb.png", width=2, bits=16, colour_type=2, row=row)
    assert (
        np.abs(read_image(rgb, conversions)[0].astype(int) - [[0, 255, 156], [1, 1, 255]]).max()
        <= 1
    )
    assert str(conversions) == "3 images converted to RGB (3 16-bit, scaled)"


def test_what_has_no_known_range_is_refused(tmp_path):
    for kind in (np.int32, np.float32):
        path = write(tmp_path / "deep.tif", np.zeros((2, 2), kind))
        with pytest.raises(InputError, match="32 bits a channel"):
            read_image(path)


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
