"""The likeliest class between pixels: against the formula, and without all classes everywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from goodsam.stages.segformer.between import Between, Part

SIZE = (9, 14)


def naive(map_HW: np.ndarray, y: float, x: float) -> float:
    """Bilinear; rows end, columns are a circle."""
    h, w = map_HW.shape
    y = min(max(y, 0), h - 1)
    y0, x0 = math.floor(y), math.floor(x)
    return sum(
        (1 - abs(y - row)) * (1 - abs(x - column)) * map_HW[min(row, h - 1), column % w]
        for row in (y0, y0 + 1)
        for column in (x0, x0 + 1)
    )


def places(rng: np.random.Generator, straight: bool) -> tuple[np.ndarray, np.ndarray]:
    """y and x of 11 x 23 pixels, beyond the map's ends too."""
    shapes = ((11, 1), (1, 23)) if straight else ((11, 23), (11, 23))
    return tuple(
        rng.uniform(-0.5, side - 0.5, shape) for side, shape in zip(SIZE, shapes, strict=True)
    )


def maps(rng: np.random.Generator, count: int, block: int) -> torch.Tensor:
    """float32 (N, 5, h, w): probabilities whose likeliest class changes every `block` pixels."""
    classes = rng.integers(5, size=(count, *(-(-side // block) for side in SIZE)))
    classes = classes.repeat(block, 1).repeat(block, 2)[:, : SIZE[0], : SIZE[1]]
    p = rng.dirichlet(np.ones(5), (count, *SIZE)) + 4 * np.eye(5)[classes]
    return torch.from_numpy((p / p.sum(-1, keepdims=True)).transpose(0, 3, 1, 2)).float()


def part(y: np.ndarray, x: np.ndarray) -> Part:
    return Part.at(np.arange(len(y)), np.ones((1, 1), bool), y, x, SIZE, torch.device("cpu"))


@settings(max_examples=25, deadline=None)
@given(
    straight=st.booleans(),
    count=st.integers(1, 2),
    block=st.integers(1, 14),
    seed=st.integers(0, 999),
)
def test_labels_and_probabilities_are_those_of_the_formula(straight, count, block, seed):
    rng = np.random.default_rng(seed)
    (y, x), p = places(rng, straight), maps(rng, count, block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("goodsam.stages.segformer.between._CHUNK", 7)
        labels, largest = Between(p).likeliest(part(y, x), largest=True)
    places_y, places_x = np.broadcast_arrays(y, x)
    values = np.array(
        [
            [[naive(m, *at) for at in zip(places_y.flat, places_x.flat, strict=True)] for m in one]
            for one in p.double().numpy()
        ]
    ).reshape(count, 5, 11, 23)
    assert np.abs(largest.numpy() - values.max(axis=1)).max() < 1e-6
    first, second = np.sort(values, axis=1)[:, [-1, -2]].swapaxes(0, 1)
    clear = first - second > 1e-6
    assert (labels.numpy() == values.argmax(axis=1))[clear].all()


def test_only_where_corners_disagree_are_all_classes_needed(monkeypatch):
    seen = []
    mixed = Between._mixed
    monkeypatch.setattr(
        Between, "_mixed", lambda *given: seen.append(len(given[-1])) or mixed(*given)
    )
    p = torch.zeros(1, 3, 9, 14)
    p[:, 0], p[:, 1, :, 5:7] = 0.4, 0.6  # a pole of two columns
    x = np.arange(0, 14, 0.25)[None] + 0.1
    labels, _ = Between(p).likeliest(part(np.arange(9.0)[:, None], x))
    assert sum(seen) == 9 * 8  # four pixels of each row on either side
    two_thirds = list(range(19, 25))  # of its probability are enough
    assert (labels[0, 0] == 1).nonzero().flatten().tolist() == two_thirds


def test_labels_may_be_given():
    """Of an ensemble: shares are ones and zeros, and the labels known."""
    labels = torch.zeros(1, 9, 14, dtype=torch.uint8)
    labels[:, 3:6, 4:9] = 2
    shares = torch.nn.functional.one_hot(labels.long(), 3).movedim(-1, 1).float()
    rng = np.random.default_rng(0)
    here = part(*places(rng, straight=False))
    given, found = Between(shares, labels).likeliest(here)[0], Between(shares).likeliest(here)[0]
    assert (given == found).all()
    assert (given == 2).any()
