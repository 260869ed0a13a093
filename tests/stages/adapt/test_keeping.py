"""When a run saves."""

from __future__ import annotations

from pathlib import Path

import pytest

from goodsam.stages.adapt.keeping import COST, SECONDS, Keeper


class Saves:
    """A learner that only remembers when it was saved; saving takes `cost` seconds."""

    def __init__(self, done=0, cost=0.0):
        self.done, self.cost, self.steps, self.now = done, cost, [], 0.0

    def resume(self, folder):
        return self.done

    def save(self, folder, step):
        self.now += self.cost
        self.steps.append(step)


def keeper_of(learner, every=1000):
    return Keeper(learner, Path("nowhere"), every, lambda: learner.now)


def steps(keeper, learner, first, last, seconds):
    for step in range(first, last + 1):
        keeper.moving()
        learner.now += seconds
        keeper.moved(step, last=False)


def test_every_so_many_steps_at_the_start_and_at_the_end():
    learner = Saves()
    keeper = keeper_of(learner, every=3)
    assert keeper.resume() == 0
    steps(keeper, learner, 1, 7, seconds=0.1)
    keeper.moved(8, last=True)
    assert learner.steps == [0, 3, 6, 8]


def test_slow_steps_are_saved_every_minute():
    learner = Saves()
    keeper = keeper_of(learner)
    keeper.resume()
    steps(keeper, learner, 1, 8, seconds=SECONDS / 3)
    assert learner.steps == [0, 3, 6]


def test_what_is_slow_to_save_is_saved_less_often():
    learner = Saves(done=10, cost=10.0)
    keeper = keeper_of(learner)
    assert keeper.resume() == 10
    steps(keeper, learner, 11, 40, seconds=SECONDS)
    first, second, third, *_ = learner.steps
    assert first == 11  # it is a minute since the run went on
    assert second - first == third - second == -(-10 * COST // SECONDS)


@pytest.mark.parametrize(
    ("stop", "moving", "saved"),
    [(KeyboardInterrupt, False, [5]), (KeyboardInterrupt, True, []), (ValueError, False, [])],
)
def test_stopped_it_saves_what_is_whole(stop, moving, saved):
    learner = Saves(done=4)
    keeper = keeper_of(learner)
    keeper.resume()

    def stopped():
        with keeper.at_a_stop():
            steps(keeper, learner, 5, 5, seconds=1)
            if moving:
                keeper.moving()
            raise stop

    with pytest.raises(stop):
        stopped()
    assert learner.steps == saved


def test_stopped_before_anything_was_done_it_saves_nothing_again():
    learner = Saves(done=4)
    keeper = keeper_of(learner)
    keeper.resume()

    def stopped():
        with keeper.at_a_stop():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert learner.steps == []
