import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks, mask_boundaries, overlap_boundaries
from goodsam.data.windows import Windows

SIDE = st.integers(1, 7)


def mask_sets(height=SIDE, width=SIDE):
    """Any sets of masks: none, empty, full, equal and overlapping ones."""
    shape = st.tuples(st.integers(0, 20), height, width)
    noise = hnp.arrays(bool, shape)
    return noise | st.builds(rectangles, shape, st.integers(0, 2**32 - 1))


def rectangles(shape, seed):
    """Masks as SAM's are: few runs, much overlap."""
    rng = np.random.default_rng(seed)
    masks = np.zeros(shape, bool)
    for mask in masks:
        y, x = rng.integers(shape[1]), rng.integers(shape[2])
        mask[y : y + rng.integers(1, 5), x : x + rng.integers(1, 5)] = True
    return masks


def of(masks):
    scores = np.linspace(0, 1, len(masks))
    return WindowMasks.of(masks, scores, 1 - scores)


def naive_cells(masks):
    """Pixel by pixel in row-major order: an unseen set of masks gets the next id."""
    ids = {(False,) * len(masks): 0}
    cells = np.zeros(masks.shape[1:], np.uint16)
    for pixel in np.ndindex(*cells.shape):
        cells[pixel] = ids.setdefault(tuple(masks[:, *pixel].tolist()), len(ids))
    return cells, np.array(list(ids), bool).reshape(len(ids), len(masks)).T


def naive_boundaries(masks):
    """Every pixel of a mask with a 4-neighbour (in the image) outside it; union over the masks."""
    _, height, width = masks.shape
    boundary = np.zeros((height, width), bool)
    for mask in masks:
        for y, x in np.argwhere(mask):
            for ny, nx in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= ny < height and 0 <= nx < width and not mask[ny, nx]:
                    boundary[y, x] = True
    return boundary


@given(mask_sets())
def test_masks_come_back_as_they_were(masks):
    window = of(masks)
    assert len(window) == len(masks)
    np.testing.assert_array_equal(window.masks(), masks)


@given(mask_sets())
def test_cells_are_the_naive_ones(masks):
    window = of(masks)
    cells, incidence = naive_cells(masks)
    np.testing.assert_array_equal(window.cells, cells)
    np.testing.assert_array_equal(window.incidence, incidence)
    assert window.cells.dtype == np.uint16
    assert window.incidence.dtype == bool


@given(mask_sets())
def test_columns(masks):
    window = of(masks)
    for i, mask in enumerate(masks):
        assert window.area[i] == mask.sum()
        y, x = np.nonzero(mask)
        box = [x.min(), y.min(), x.max(), y.max()] if len(x) else [0, 0, 0, 0]
        assert window.box[i].tolist() == box
    scores = np.linspace(0, 1, len(masks)).astype(np.float32)
    np.testing.assert_array_equal(window.predicted_iou, scores)
    assert [window.area.dtype, window.box.dtype] == [np.int32] * 2
    assert [window.predicted_iou.dtype, window.stability.dtype] == [np.float32] * 2


def test_overlap_leaves_a_cell_of_its_own():
    a = [[1, 1, 0, 0]]
    b = [[0, 1, 1, 0]]
    window = of(np.array([a, b], bool))
    assert window.cells.tolist() == [[1, 2, 3, 0]]
    assert window.incidence.tolist() == [[False, True, True, False], [False, False, True, True]]


def test_up_to_65535_cells_and_an_error_beyond():
    # In binary, a pixel's number says which masks it lies in: no two pixels are alike.
    bits = (np.arange(2**16 + 1) >> np.arange(17)[:, None, None] & 1).astype(bool)
    masks = bits[:, :, :-1]
    window = of(masks)
    assert window.incidence.shape == (17, 65_536)
    np.testing.assert_array_equal(window.masks(), masks)
    with pytest.raises(InputError, match="65536 cells"):
        of(bits)


@given(mask_sets())
def test_boundaries_are_the_naive_ones(masks):
    np.testing.assert_array_equal(mask_boundaries(of(masks)), naive_boundaries(masks))


def test_the_images_border_is_no_boundary():
    assert not mask_boundaries(of(np.ones((1, 3, 4), bool))).any()


def test_a_mask_inside_another_has_its_boundary_inside():
    outer = np.ones((5, 5), bool)
    inner = np.zeros((5, 5), bool)
    inner[1:4, 1:4] = True
    expected = inner.copy()
    expected[2, 2] = False
    np.testing.assert_array_equal(mask_boundaries(of(np.stack([outer, inner]))), expected)


@given(mask_sets(), st.data())
def test_ignored_pixels_are_in_no_mask_and_make_no_boundary(masks, data):
    ignored = data.draw(hnp.arrays(bool, masks.shape[1:]))
    window = of(masks).without(ignored)
    kept = masks & ~ignored
    np.testing.assert_array_equal(window.masks(), kept[kept.any(axis=(1, 2))])
    expected = np.zeros(ignored.shape, bool)
    for mask in kept:
        for y, x in zip(*np.nonzero(mask), strict=True):
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if 0 <= v < mask.shape[0] and 0 <= u < mask.shape[1] and not ignored[v, u]:
                    expected[y, x] |= not mask[v, u]
    np.testing.assert_array_equal(mask_boundaries(window, ignored), expected)


@settings(max_examples=40)
@given(st.data(), st.booleans())
def test_overlap_boundaries_are_those_of_both_windows(data, wrap):
    width = data.draw(st.integers(2, 12))
    window = data.draw(st.integers(2, width))
    geometry = Windows(4, width, window, data.draw(st.integers(1, window)), wrap)
    stacks = [data.draw(mask_sets(st.just(4), st.just(window))) for _ in geometry.starts]
    found = overlap_boundaries([of(masks) for masks in stacks], geometry)
    assert len(found) == len(geometry.overlaps)
    boundaries = [naive_boundaries(masks) for masks in stacks]
    for overlap, boundary in zip(geometry.overlaps, found, strict=True):
        left = boundaries[overlap.left][:, window - overlap.width :]
        right = boundaries[overlap.right][:, : overlap.width]
        np.testing.assert_array_equal(boundary, left | right)
