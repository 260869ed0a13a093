"""A run as its user has it: looked at, killed, used, changed and gone on with."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

import goodsam as gs
from goodsam.pipeline.config import as_yaml
from goodsam.pipeline.history import read_history
from goodsam.pipeline.rundir import Run
from goodsam.stages.adapt.learner import Learner
from tests.stages.adapt.small import config_for, make_world

ENDLESS = 100_000
HOLDS = """
import sys
from pathlib import Path
from goodsam.data.alone import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small world with a preset of its own: preset.yaml."""
    root = make_world(tmp_path_factory.mktemp("moments"))
    (root / "preset.yaml").write_text(as_yaml(config_for(root, steps=2)))
    return root


def words(world, out, *more):
    preset = world / "preset.yaml"
    given = (world / "images", world / "cache.zarr")
    return ("train", *given, "--preset", preset, "--out", out, *more)


def train(world, out, *settings, **more):
    given = (world / "images", world / "cache.zarr", out)
    return gs.train(*given, preset=world / "preset.yaml", settings=settings, **more)


def killed(world, out, how, after, *more):
    """Train in a process of its own, as without a terminal; kill it once a line says `after`."""
    command = [sys.executable, "-m", "goodsam", *map(str, words(world, out, *more))]
    environment = {**os.environ, "GOODSAM_LOG_SECONDS": "0"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if after in line:
            process.send_signal(how)
            break
    lines += process.stderr.readlines()
    process.stderr.close()
    return lines, process.wait()


@pytest.fixture(scope="module")
def cut(world, tmp_path_factory):
    """A run that was killed without warning, and what it had said."""
    out = tmp_path_factory.mktemp("cut") / "run"
    endless = f"steps={ENDLESS}"
    lines, status = killed(world, out, signal.SIGKILL, "step 5 of", "--set", endless)
    assert status == -signal.SIGKILL
    return out, lines


def test_without_a_terminal_lines_tell_of_steps_losses_and_time_left(cut):
    _, lines = cut
    told = [line for line in lines if "train: step" in line]
    assert len(told) >= 5
    assert all(f" of {ENDLESS}, student " in line and " TA " in line for line in told)
    assert told[3].rstrip().endswith(" left")
    assert all("\r" not in line and "\x1b" not in line for line in lines)


def test_what_was_told_stays_in_the_run(cut):
    out, _ = cut
    log = (out / "train.log").read_text()
    assert f"train: step 4 of {ENDLESS}, student " in log
    assert log.startswith("20")  # the year: each line has its date


@pytest.mark.attack("kills")
def test_a_killed_run_is_used_by_every_command(cut, goodsam, world, tmp_path):
    out, _ = cut
    commands = {
        "export": ("export", out, "--out", tmp_path / "hf"),
        "onnx": ("export", out, "--format", "onnx", "--out", tmp_path / "m.onnx"),
        "predict": ("predict", out, world / "images", tmp_path / "p", "--device", "cpu"),
        "eval": ("eval", out, world / "images", "--out", tmp_path / "e", "--device", "cpu"),
        "label": ("label", world / "images", world / "cache.zarr", "--out", tmp_path / "l",
                  "--teacher-assistant", out, "--device", "cpu"),
    }  # fmt: skip
    for name, command in commands.items():
        status, _, err = goodsam(*command)
        assert status == 0, (name, err)
        assert f"of the newest checkpoint of this run, step 4 of {ENDLESS}; it has not" in err, name
    card = " ".join((tmp_path / "hf/README.md").read_text().split())
    assert f"the student of the newest checkpoint of this run, step 4 of {ENDLESS}" in card
    assert json.loads((tmp_path / "e/eval.json").read_text())["step"] == 4


def test_stopped_it_saves_says_so_and_goes_on(world, goodsam, tmp_path):
    out = tmp_path / "run"
    lines, status = killed(
        world, out, signal.SIGTERM, "step 3 of", "--set", "steps=100000", "--set",
        "checkpoint_every=5000",
    )  # fmt: skip
    assert status == 128 + signal.SIGTERM
    assert "start the same command again to resume" in lines[-1]
    last = read_history(out)[-1]
    assert last["event"] == "stopped"
    assert last["step"] >= 3
    loaded = gs.load(out, device="cpu")
    assert loaded.step == last["step"]
    moment = Run(out).moment(loaded)
    assert moment.endswith(f"step {last['step']} of 100000; it was stopped at step {last['step']}")
    status, _, err = goodsam(*words(world, out, "--set", f"steps={last['step']}"))
    assert status == 0, err
    assert gs.load(out, device="cpu").step is None


def test_what_may_change_changes_and_the_run_remembers_when(world, tmp_path, capsys):
    run = train(world, tmp_path / "run")
    changes = ("steps=4", "student_lr=0.002", "collapse=0", "precision=bfloat16", "workers=1")
    train(world, run, *changes)
    err = capsys.readouterr().err
    assert "resumes from step 2 with other settings: steps 2 -> 4" in err.replace("\n", " ")
    assert "workers" not in err  # it changes nothing of what is learnt
    events = read_history(run.path)
    assert [(entry["event"], entry["step"]) for entry in events] == [
        ("began", 0), ("finished", 2), ("went on", 2), ("finished", 4),
    ]  # fmt: skip
    assert events[2]["changed"] == {
        "steps": [2, 4], "student_lr": [0.001, 0.002], "collapse": [0.5, 0],
        "precision": ["float32", "bfloat16"], "workers": [0, 1],
    }  # fmt: skip
    facts = Run(run.path).facts()
    assert any(fact.startswith("changed at step 2: steps 2 -> 4, ") for fact in facts)
    assert Run(run.path).config.steps == 4


@pytest.mark.parametrize(
    ("setting", "says"),
    [("accumulate=3", "other settings (accumulate)"), ("steps=1", "has done 2 steps already")],
)
def test_what_may_not_change_is_refused_and_nothing_is_written(
    world, tmp_path, goodsam, setting, says
):
    run = train(world, tmp_path / "run").path
    before = {path: path.read_bytes() for path in run.glob("*.*l")}
    status, _, err = goodsam(*words(world, run, "--set", setting))
    assert status == 2
    assert says in err
    assert before == {path: path.read_bytes() for path in run.glob("*.*l")}


def test_a_run_that_has_learnt_nothing_begins_anew(world, tmp_path):
    """Stopped at once, for a wrong setting that was seen in the first line."""
    out = tmp_path / "run"
    train(world, out)
    (out / "checkpoints/step_00000002.safetensors").unlink()
    shutil.rmtree(out / "student")
    train(world, out, "accumulate=3", "steps=1")
    assert [entry["event"] for entry in read_history(out)] == ["began", "finished"]
    assert Run(out).config.accumulate == 3


def test_a_run_that_failed_is_used_and_goes_on_at_a_lower_rate(world, tmp_path, monkeypatch):
    out, measured = tmp_path / "run", Learner.measured
    monkeypatch.setattr(Learner, "measured", lambda learner: (measured(learner)[0], "it is nan"))
    with pytest.raises(FloatingPointError, match="step 0, it is nan; saved the networks"):
        train(world, out)
    monkeypatch.undo()
    last = read_history(out)[-1]
    assert (last["event"], last["step"]) == ("failed", 0)
    assert "lower the learning rates" in last["why"]
    loaded = gs.load(out, device="cpu")
    assert Run(out).moment(loaded).endswith("nothing is learnt by then; it failed at step 0")
    train(world, out, "student_lr=1e-4")
    assert gs.load(out, device="cpu").step is None


@pytest.mark.attack("two at once")
def test_two_processes_on_one_run_are_refused(world, goodsam, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-c", HOLDS, str(out)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as other:
        assert other.stdout.readline() == "held\n"
        status, _, err = goodsam(*words(world, out))
        other.communicate()
    assert status == 2
    assert "another process is writing into it" in err
    assert list(out.iterdir()) == []
    assert goodsam(*words(world, out))[0] == 0


def test_the_best_by_labels_is_kept_and_marked(world, goodsam, tmp_path):
    gs.predict(world / "student", world / "images", tmp_path / "said")
    labelled = tmp_path / "labelled"
    shutil.copytree(world / "images", labelled / "leftImg8bit/val")
    shutil.copytree(tmp_path / "said/labels", labelled / "gtFine/val")
    for path in (labelled / "gtFine/val").iterdir():
        path.rename(path.with_name(f"{path.stem}_labelTrainIds.png"))
    out = tmp_path / "run"
    status, _, err = goodsam(*words(world, out, "--val", labelled, "--set", "val_every=1"))
    assert status == 0, err
    assert "step 0: mIoU 100.00" in err
    rows = map(json.loads, (out / "val.jsonl").read_text().splitlines())
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert "- chosen by labels: " in (out / "best/README.md").read_text()
    assert goodsam("export", out / "best", "--out", tmp_path / "hf")[0] == 0
    card = " ".join((tmp_path / "hf/README.md").read_text().split())
    assert "chosen by labels: the student of step 0" in card
    assert "adapted to 3 panoramas" in card
    assert goodsam("export", out, "--out", tmp_path / "last")[0] == 0
    assert "chosen by labels" not in (tmp_path / "last/README.md").read_text()


def test_quiet_and_verbose(world, goodsam, tmp_path):
    status, _, err = goodsam("-q", *words(world, tmp_path / "q"))
    assert (status, err) == (0, "")
    status, _, err = goodsam(*words(world, tmp_path / "v"), "--verbose")
    assert status == 0
    told = [line.split(", student")[0].split(" ", 1)[1] for line in err.splitlines()]
    assert [line for line in told if "step" in line] == ["train: step 1 of 2", "train: step 2 of 2"]


def test_the_settings_of_a_run_are_its_preset(world, tmp_path):
    run = train(world, tmp_path / "run", "trackers=[]").path
    assert dataclasses.asdict(Run(run).config)["trackers"] == ()
    gs.train(world / "images", world / "cache.zarr", run, preset=run / "config.yaml")
    assert [entry["event"] for entry in read_history(run)][-2:] == ["went on", "finished"]
