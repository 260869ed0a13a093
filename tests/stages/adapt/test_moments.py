"""A run at every moment: stopped, made longer, and its networks taken meanwhile."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.stages.adapt.learner import Learner
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.processes import processes
from goodsam.stages.segformer import snapshot
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.adapt.small import WINDOWS, config_for, make_world, panoramas, weights


def stopped_after(step):
    def progress(done, steps, row):
        if done == step:
            raise KeyboardInterrupt

    return progress


def same(one, two):
    return all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture(scope="module")
def stopped(world, tmp_path_factory):
    """A run of four steps, stopped after the third, which is no step of a checkpoint."""
    out = tmp_path_factory.mktemp("stopped")
    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(world), out, config_for(world), stopped_after(3))
    return out


@pytest.fixture
def copy(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "copy")


@pytest.mark.attack("kills")
def test_a_stopped_run_goes_on_from_its_last_step(world, copy, tmp_path):
    seen = []
    adapt(panoramas(world), copy, config_for(world), lambda step, *_: seen.append(step))
    assert seen == [4]
    adapt(panoramas(world), tmp_path / "whole", config_for(world))
    for network in ("student", "teacher_assistant"):
        assert same(weights(tmp_path / "whole" / network), weights(copy / network))


def test_networks_of_a_run_that_has_not_ended(stopped):
    saved = load_file(stopped / "checkpoints/step_00000003.safetensors")
    for network in ("student", "teacher_assistant"):
        loaded = Segmenter.load(stopped, network, device="cpu")
        assert (loaded.step, loaded.network) == (3, network)
        assert loaded.geometry == Geometry(WINDOWS)
        state = loaded.model.state_dict()
        assert same(state, {key: saved[f"{network}/{key}"] for key in state})


def test_a_run_is_used_without_what_it_was_started_from(tmp_path):
    small = make_world(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(small), tmp_path / "run", config_for(small), stopped_after(1))
    for network in ("teacher", "student"):
        shutil.rmtree(small / network)
    assert Segmenter.load(tmp_path / "run", device="cpu").step == 1


def test_a_run_has_networks_before_its_first_step(world, tmp_path):
    def never(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(world), tmp_path / "run", config_for(world), score=never)
    loaded = Segmenter.load(tmp_path / "run", device="cpu")
    assert loaded.step == 0
    assert same(loaded.model.state_dict(), weights(world / "student"))


def test_a_finished_run_gives_what_it_wrote_until_it_goes_on(world, tmp_path):
    run = tmp_path / "run"
    adapt(panoramas(world), run, config_for(world, steps=2))
    assert Segmenter.load(run, device="cpu").step is None
    shutil.rmtree(run / "checkpoints")  # to save room
    assert Segmenter.load(run, device="cpu").step is None
    adapt(panoramas(world), tmp_path / "again", config_for(world, steps=2))
    longer = config_for(world, steps=6)
    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(world), tmp_path / "again", longer, stopped_after(5))
    assert Segmenter.load(tmp_path / "again", device="cpu").step == 5
    adapt(panoramas(world), tmp_path / "again", longer)
    assert Segmenter.load(tmp_path / "again", device="cpu").step is None


def test_a_longer_run_has_the_rates_of_its_new_length_and_resumes_bit_for_bit(world, tmp_path):
    for name in ("one", "two"):
        adapt(panoramas(world), tmp_path / name, config_for(world, steps=2))
    longer = config_for(world, steps=5, student_lr=2e-3, precision="float32")
    adapt(panoramas(world), tmp_path / "one", longer)
    with pytest.raises(KeyboardInterrupt):
        adapt(panoramas(world), tmp_path / "two", longer, stopped_after(3))
    adapt(panoramas(world), tmp_path / "two", longer)
    assert same(weights(tmp_path / "one/student"), weights(tmp_path / "two/student"))
    lines = (tmp_path / "one/metrics.jsonl").read_text().splitlines()
    rates = [json.loads(line)["student_lr"] for line in lines]
    # warm-up over one step, then linear to 0 at the length that was asked for at the time
    assert rates == pytest.approx([1e-3 / 2, 1e-3, 2e-3 * 3 / 4, 2e-3 * 2 / 4, 2e-3 * 1 / 4])
    with pytest.raises(InputError, match="has done 5 steps already, and 3 are asked for"):
        adapt(panoramas(world), tmp_path / "one", config_for(world, steps=3))


def test_a_checkpoint_that_disappears_between_listing_and_opening(copy, monkeypatch):
    listed = [copy / "checkpoints/step_00000009.safetensors"]  # deleted since
    latest = snapshot.latest_checkpoint
    monkeypatch.setattr(
        snapshot, "latest_checkpoint", lambda folder: listed.pop() if listed else latest(folder)
    )
    assert Segmenter.load(copy, device="cpu").step == 3
    monkeypatch.setattr(snapshot, "latest_checkpoint", lambda f: f / "step_00000009.safetensors")
    with pytest.raises(InputError, match="deleted faster than they can be read"):
        Segmenter.load(copy, device="cpu")


@pytest.mark.attack("two at once")
def test_networks_are_read_while_the_run_writes_them(world, tmp_path):
    config = config_for(world, steps=12, checkpoint_every=1)
    run = tmp_path / "run"
    training = threading.Thread(target=adapt, args=(panoramas(world), run, config))
    training.start()
    seen = []
    while training.is_alive():
        if (run / "checkpoints").is_dir() and list((run / "checkpoints").glob("step_*")):
            loaded = Segmenter.load(run, device="cpu")
            seen.append(12 if loaded.step is None else loaded.step)
    training.join()
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"no tensors", "cannot be read"), (None, "an older goodsam wrote it")],
)
def test_checkpoints_that_cannot_be_used(copy, content, says):
    newest = copy / "checkpoints/step_00000003.safetensors"
    if content is None:
        content = newest.read_bytes().replace(b"configs", b"cOnfigs")
    newest.write_bytes(content)
    with pytest.raises(InputError, match=says):
        Segmenter.load(copy, device="cpu")


def test_networks_that_are_no_numbers_are_not_saved(world, tmp_path):
    with processes("cpu") as group:
        learner = Learner(config_for(world), group, WINDOWS)
    assert learner.save(tmp_path, 1)
    with torch.no_grad():
        next(learner.networks["student"].parameters())[0] = torch.inf
    assert not learner.save(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001.safetensors"]


def test_strips_are_pictures_in_the_run_too(world, tmp_path):
    adapt(panoramas(world), tmp_path, config_for(world, pictures_every=2))
    found = sorted((tmp_path / "pictures").iterdir())
    assert [path.name for path in found] == ["step_00000001.png", "step_00000003.png"]
    with Image.open(found[0]) as strip:
        assert strip.size == (128, 5 * 32)
