"""docs/CACHE_FORMAT.md says what there is."""

import re
from pathlib import Path

import google_crc32c
import numpy as np
import zarr

from goodsam.data.cache import SamCache, bounds
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack

DOCUMENT = (Path(__file__).parents[3] / "docs" / "CACHE_FORMAT.md").read_text()


def test_the_document_is_enough_to_read_a_cache(full):
    """docs/CACHE_FORMAT.md followed with zarr and numpy alone, nothing of ours."""
    group = zarr.open_group(full.path, mode="r")
    identity = group.attrs["identity"]
    geometry = identity["windows"]
    height, width = geometry["height"], geometry["width"]
    window, stride = geometry["window"], geometry["stride"]
    starts = list(range(0, width, stride))  # wrap is true
    overlaps = [
        window - (starts[(i + 1) % len(starts)] - starts[i]) % width for i in range(len(starts))
    ]
    for i, (name, _) in enumerate(group.attrs["images"]):
        done, n_masks, n_bytes, cells_crc32c, tables_crc32c = group["index"][i]
        cells = group["cells"][i]
        tables = group["tables"][i, :n_bytes]
        assert done == 1
        assert google_crc32c.value(cells.astype("<u2").tobytes()) == cells_crc32c
        assert google_crc32c.value(tables.tobytes()) == tables_crc32c

        at = 0

        def take(dtype, count, tables=tables):
            nonlocal at
            values = np.frombuffer(tables.tobytes(), dtype, count, at)
            at += values.nbytes
            return values

        def bits(*shape):
            return np.unpackbits(take("u1", (np.prod(shape) + 7) // 8))[: np.prod(shape)].reshape(
                shape
            )

        sizes = take("<u4", 2 * len(starts)).reshape(-1, 2)
        total = sizes[:, 0].sum()
        assert total == n_masks
        area = take("<i4", total)
        box = take("<i4", 4 * total).reshape(-1, 4)
        predicted_iou, stability = take("<f4", total), take("<f4", total)
        first = 0
        expected = full.read(name)
        for j, (m, k) in enumerate(sizes):
            row_bytes = (int(m) + 7) // 8
            rows = take("u1", int(k) * row_bytes).reshape(int(k), row_bytes)
            incidence = np.unpackbits(rows, axis=1, count=int(m)).astype(bool).T
            theirs = expected.windows[j]
            np.testing.assert_array_equal(incidence[:, cells[j]], theirs.masks())
            mine = slice(first, first + m)
            np.testing.assert_array_equal(area[mine], theirs.area)
            np.testing.assert_array_equal(box[mine], theirs.box)
            np.testing.assert_array_equal(predicted_iou[mine], theirs.predicted_iou)
            np.testing.assert_array_equal(stability[mine], theirs.stability)
            first += m
        for j, overlap in enumerate(overlaps):
            np.testing.assert_array_equal(bits(height, overlap), expected.boundaries[j])
        assert at == n_bytes
        assert window == cells.shape[-1]


def test_the_document_states_the_bounds():
    for bound in (name for name in dir(bounds) if name.startswith("MAX_")):
        assert f"{getattr(bounds, bound):,}" in DOCUMENT, bound
    for value in (bounds.TABLES_CHUNK, cache_format.ZSTD_LEVEL):
        assert f"{value:,}" in DOCUMENT


def test_the_documents_own_reader_runs(full, monkeypatch, images, example):
    monkeypatch.chdir(full.path.parent)
    full.path.rename("NAME.zarr")
    block, one_file = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    names: dict = {}
    exec(block, names)
    np.testing.assert_array_equal(names["masks_of_window"], example(0).windows[-1].masks())
    pack(SamCache.open("NAME.zarr"), Path("NAME.h5"))
    tables = names["tables"]
    exec(one_file, names)
    assert dict(names["images"]) == images
    np.testing.assert_array_equal(names["cells"], np.stack([w.cells for w in example(0).windows]))
    np.testing.assert_array_equal(names["tables"], tables)
