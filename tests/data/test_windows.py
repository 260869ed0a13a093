import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.windows import (
    ASPECT,
    Overlap,
    Windows,
    has_aspect,
    is_band,
    is_sphere,
    panorama_width,
)


@st.composite
def geometries(draw):
    width = draw(st.integers(1, 60))
    window = draw(st.integers(1, width))
    return Windows(
        draw(st.integers(1, 3)), width, window, draw(st.integers(1, window)), draw(st.booleans())
    )


def numbered(geometry):
    """Every pixel of a (2, H, W) panorama has a value of its own."""
    shape = (2, geometry.height, geometry.width)
    return np.arange(np.prod(shape)).reshape(shape)


def naive_cut(panorama, start, width):
    """Column by column around the circle."""
    columns = [panorama[..., (start + i) % panorama.shape[-1]] for i in range(width)]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize(
    ("height", "width"), [(400, 2048), (200, 1024), (100, 512), (64, 328), (40, 208), (32, 160)]
)
def test_a_panoramas_width(height, width):
    assert panorama_width(height) == width
    assert is_band(height, width)
    assert not is_sphere(height, width)


@given(st.integers(32, 10_000))
def test_any_panorama_has_the_papers_proportions_and_whole_windows(height):
    width = panorama_width(height)
    assert abs(width - ASPECT * height) <= 4
    assert is_band(height, width)
    geometry = Windows.of(height, width)
    assert (4 * geometry.window, 8 * geometry.stride) == (width, width)


def test_proportions_are_held_within_three_percent():
    assert is_sphere(1024, 2048)
    assert is_sphere(1000, 2059)
    assert not is_sphere(1000, 2061)
    assert not is_band(1024, 2048)
    assert has_aspect(300, 400, 4 / 3)
    assert not has_aspect(400, 300, 4 / 3)


@pytest.mark.parametrize(
    ("wrap", "starts", "overlaps"),
    [(True, tuple(range(0, 2048, 256)), 8), (False, tuple(range(0, 1537, 256)), 6)],
)
def test_the_papers_geometry(wrap, starts, overlaps):
    geometry = Windows.of(400, 2048, wrap)
    assert (geometry.window, geometry.stride) == (512, 256)
    assert geometry.starts == starts
    assert [overlap.width for overlap in geometry.overlaps] == [256] * overlaps
    source, inside = geometry.sources
    assert sorted(set(source)) == [0, 2, 4, 6]  # put together from the windows that tile
    assert (inside == np.arange(2048) % 512).all()


def test_a_stride_that_does_not_divide_the_width_makes_the_last_overlap_wider():
    geometry = Windows(400, 2048, 512, 400)
    assert geometry.starts == (0, 400, 800, 1200, 1600, 2000)
    assert [overlap.width for overlap in geometry.overlaps] == [112] * 5 + [464]
    assert geometry.overlaps[-1] == Overlap(left=5, right=0, start=0, width=464)


def test_without_wrap_the_last_window_ends_at_the_border():
    geometry = Windows(1, 20, 8, 5, wrap=False)
    assert geometry.starts == (0, 5, 10, 12)
    assert [overlap.width for overlap in geometry.overlaps] == [3, 3, 6]


def test_windows_that_only_touch_have_no_overlaps():
    assert Windows(400, 2048, 512, 512).overlaps == ()


@given(geometries())
def test_cut_is_the_columns_around_the_circle(geometry):
    panorama = numbered(geometry)
    windows = geometry.cut(panorama)
    assert windows.shape == (len(geometry), 2, geometry.height, geometry.window)
    for window, start in zip(windows, geometry.starts, strict=True):
        np.testing.assert_array_equal(window, naive_cut(panorama, start, geometry.window))


@given(geometries())
def test_join_is_the_inverse_of_cut(geometry):
    panorama = numbered(geometry)
    np.testing.assert_array_equal(geometry.join(geometry.cut(panorama)), panorama)


@given(geometries())
def test_join_takes_each_column_from_a_tile_or_from_the_nearest_centre(geometry):
    of_window = np.broadcast_to(
        np.arange(len(geometry))[:, None, None], (len(geometry), 1, geometry.window)
    )
    tiles = geometry.width % geometry.window == 0 and geometry.window % geometry.stride == 0
    for column, chosen in enumerate(geometry.join(of_window)[0]):
        inside = {
            i: (column - start) % geometry.width
            for i, start in enumerate(geometry.starts)
            if (column - start) % geometry.width < geometry.window
        }
        if tiles:
            assert geometry.starts[chosen] == column // geometry.window * geometry.window
        else:
            assert chosen == min(inside, key=lambda i: abs(2 * inside[i] - geometry.window + 1))


@given(geometries())
def test_both_windows_of_a_pair_show_the_overlap(geometry):
    panorama = numbered(geometry)
    windows = geometry.cut(panorama)
    crops = geometry.cut_overlaps(panorama)
    assert len(crops) == len(geometry.overlaps)
    for overlap, crop in zip(geometry.overlaps, crops, strict=True):
        assert overlap.width > 0
        np.testing.assert_array_equal(crop, naive_cut(panorama, overlap.start, overlap.width))
        for view in geometry.pair(windows, overlap):
            np.testing.assert_array_equal(view, crop)


@given(geometries())
def test_every_window_has_its_overlap_with_the_next(geometry):
    n = len(geometry)
    expected = []
    for left in range(n if geometry.wrap else n - 1):
        right = (left + 1) % n
        step = (geometry.starts[right] - geometry.starts[left]) % geometry.width
        if n > 1 and step < geometry.window:
            expected.append((left, right, geometry.window - step))
    assert [(o.left, o.right, o.width) for o in geometry.overlaps] == expected


@given(geometries())
def test_tensors_are_cut_and_joined_as_arrays_are(geometry):
    panorama = numbered(geometry)
    windows = geometry.cut(torch.from_numpy(panorama))
    np.testing.assert_array_equal(windows.numpy(), geometry.cut(panorama))
    np.testing.assert_array_equal(geometry.join(windows).numpy(), panorama)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 8, 4, 2), "positive"),
        ((4, 8, 4, 0), "positive"),
        ((4, 8, 9, 2), "wider than the panorama"),
        ((4, 8, 4, 5), "leave columns out"),
    ],
)
def test_sizes_that_make_no_windows_are_refused(sizes, message):
    with pytest.raises(InputError, match=message):
        Windows(*sizes)


def test_a_panorama_of_another_width_is_refused():
    with pytest.raises(InputError, match="9 wide, its windows expect 8"):
        Windows(1, 8, 4, 2).cut(np.zeros((1, 9)))


@given(geometries())
def test_pictures_are_cut_as_panoramas_are(geometry):
    image_HWC = np.moveaxis(numbered(geometry), 0, -1).astype(np.uint8)
    image_CHW = np.moveaxis(image_HWC, -1, 0)
    cut = geometry.cut_images(image_HWC)
    assert cut.dtype == np.uint8
    assert cut.flags.c_contiguous
    np.testing.assert_array_equal(cut, np.moveaxis(geometry.cut(image_CHW), 1, -1))
    crops, expected = geometry.cut_overlap_images(image_HWC), geometry.cut_overlaps(image_CHW)
    for crop, other in zip(crops, expected, strict=True):
        assert crop.dtype == np.uint8
        assert crop.flags.c_contiguous
        np.testing.assert_array_equal(crop, np.moveaxis(other, 0, -1))


def test_pictures_of_another_width_are_refused():
    geometry, image = Windows.of(4, 16), np.zeros((4, 15, 3), np.uint8)
    for cut in (geometry.cut_images, geometry.cut_overlap_images):
        with pytest.raises(InputError, match="the panorama is 15 wide, its windows expect 16"):
            cut(image)


@pytest.mark.parametrize(
    ("windows", "size", "scaled"),
    [
        (Windows.of(400, 2048), (200, 1024), Windows.of(200, 1024)),
        (Windows(400, 2048, 512, 400, False), (100, 512), Windows(100, 512, 128, 100, False)),
        (Windows(400, 2048, 300, 300), (200, 1000), Windows(200, 1000, 146, 146)),
        (Windows(400, 2048, 128, 3), (4, 16), Windows(4, 16, 1, 1)),
        (Windows(4, 16, 4, 2), (40, 208), Windows(40, 208, 52, 26)),
    ],
)
def test_windows_in_proportion(windows, size, scaled):
    assert windows.scaled(*size) == scaled


@given(geometries(), st.integers(1, 50), st.integers(1, 200))
def test_scaled_windows_are_windows(geometry, height, width):
    scaled = geometry.scaled(height, width)
    assert (scaled.height, scaled.width, scaled.wrap) == (height, width, geometry.wrap)
    assert geometry.scaled(geometry.height, geometry.width) == geometry
