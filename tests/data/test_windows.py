import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.windows import Overlap, Windows


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
