"""Seeds of the splits never meet."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodsam.data.errors import InputError
from goodsam.data.street.seeds import ROOM, Split, split_seed

places = st.tuples(st.sampled_from(get_args(Split)), st.integers(0, ROOM - 1), st.integers(0, 1000))


@given(places, places)
def test_two_places_have_one_seed_only_if_they_are_one(a, b):
    assert (split_seed(*a) == split_seed(*b)) == (a == b)


def test_edges_of_the_ranges_do_not_touch():
    every = [
        split_seed(split, index, world)
        for world in (0, 1)
        for split in get_args(Split)
        for index in (0, ROOM - 1)
    ]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(
    ("split", "index", "world"),
    [("train", 0, 0), ("test", -1, 0), ("test", ROOM, 0), ("test", 0, -1)],
)
def test_wrong_places_are_refused(split, index, world):
    with pytest.raises(InputError):
        split_seed(split, index, world)
