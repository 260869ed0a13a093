import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_image, read_panorama, to_band
from goodsam.data.windows import Windows


def write(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def picture(seed=0, height=4, width=8):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_fit_cuts_the_band_of_a_full_panorama():
    height, width = 400, 800
    rows = np.linspace(0, 255, height).astype(np.uint8).astype(int)
    image = np.repeat(np.repeat(rows[:, None, None], width, axis=1), 3, axis=2).astype(np.uint8)
    fitted = to_band(image, 40, 205)
    assert fitted.shape == (40, 205, 3)
    half = 400 * 40 / 205  # the band is 2 * 40 / 205 of the height, about the middle
    top, bottom = rows[int(200 - half)], rows[int(200 + half) - 1]
    assert abs(int(fitted[0, 0, 0]) - top) <= 3
    assert abs(int(fitted[-1, 0, 0]) - bottom) <= 3


def test_fit_resizes_the_same_aspect_and_refuses_others():
    assert to_band(picture(height=80, width=408), 40, 205).shape == (40, 205, 3)
    image = picture(height=40, width=205)
    assert to_band(image, 40, 205) is image
    with pytest.raises(InputError, match="neither a 2:1 panorama"):
        to_band(picture(height=60, width=80), 40, 205)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(0, 15))
def test_fit_keeps_the_seam_closed(seed, steps):
    """Fitting a turned panorama is turning the fitted one."""
    image = picture(seed, height=64, width=128)
    turned = np.roll(image, 4 * steps, axis=1)
    assert (to_band(turned, 8, 32) == np.roll(to_band(image, 8, 32), steps, axis=1)).all()


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
