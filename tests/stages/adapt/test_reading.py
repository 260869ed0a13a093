"""The order in which panoramas are read."""

from __future__ import annotations

from goodsam.stages.adapt.reading import schedule


def test_schedule_is_a_permutation_an_epoch_and_can_start_anywhere():
    order = list(schedule(5, 7, 0, 15))
    assert [sorted(order[i : i + 5]) for i in (0, 5, 10)] == [list(range(5))] * 3
    assert order[:5] != order[5:10]
    assert list(schedule(5, 7, 8, 15)) == order[8:]
