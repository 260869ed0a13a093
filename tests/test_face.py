"""What `import goodsam` gives: verbs and nouns, their examples, and nothing heavy before use."""

from __future__ import annotations

import doctest
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import goodsam as gs
from goodsam.data.geometry import Geometry, ignored_runs
from goodsam.data.panoramas import find_panoramas
from goodsam.data.street.write import write_world
from goodsam.pipeline.config import adapt_config
from tests.data.test_video import clip, scene

HEIGHT = 64
WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
QUICK = {"sam": "street", "points_per_side": 4, "boundaries": "windows"}


def test_nothing_else_is_public():
    assert dir(gs) == sorted(gs.__all__)
    for name in gs.__all__:
        assert getattr(gs, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'helpers'"):
        gs.helpers  # noqa: B018


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "10000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_waiting_threads_give_way_to_other_processes(given, expected):
    """But for what the user has set."""
    environment = {key: value for key, value in os.environ.items() if key not in WAITING} | given
    command = "import goodsam, os; print(os.environ.get('GOMP_SPINCOUNT'))"
    found = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == expected


def test_examples_run(photos, tmp_path, monkeypatch):
    """Those of the verbs in the order of a user's work, then those of the nouns."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(photos)
    (tmp_path / "labelled").symlink_to(photos.parent / "world" / "test")
    clip(tmp_path / "clip.mp4", [scene(4 * n) for n in range(10)])
    verbs = (
        *(gs.check, gs.frames, gs.cache_sam, gs.train, gs.load, gs.evaluate, gs.predict),
        gs.evaluate_predictions,
        *(gs.label, gs.export_labels, gs.export, gs.card, gs.push, gs.run),
    )
    nouns = (gs.Windows, gs.WindowMasks, gs.SamCache, gs.Segmenter, gs.fuse, gs.InputError)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    for public in (*verbs, *nouns):
        scope = dict(vars(sys.modules[public.__module__]))
        (example,) = [
            test
            for test in doctest.DocTestFinder(recurse=False).find(public, globs=scope)
            if test.examples
        ]
        failed, tried = runner.run(example)
        assert tried > 0
        assert failed == 0, public


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two photographs of 2:1, as a camera makes them, from a rendered world."""
    root = tmp_path_factory.mktemp("photos")
    write_world(root / "world", source=0, unlabelled=2, test=1, seed=5, height=HEIGHT)
    for index, sample in enumerate(find_panoramas(root / "world" / "unlabelled")):
        band = np.asarray(Image.open(sample.image))
        whole = np.zeros((band.shape[1] // 2, band.shape[1], 3), np.uint8)
        top = (len(whole) - HEIGHT) // 2
        whole[top : top + HEIGHT] = band
        (root / "photos").mkdir(exist_ok=True)
        Image.fromarray(whole).resize((500, 250)).save(root / "photos" / f"{index}.png")
    return root / "photos"


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A run on fitted photographs, with windows of its own and pixels left out."""
    root = tmp_path_factory.mktemp("run")
    mask = np.zeros((250, 500), np.uint8)
    mask[150:] = 255
    Image.fromarray(mask).save(root / "rig.png")
    cached = gs.cache_sam(
        photos, root / "c.zarr", fit=True, height=HEIGHT, window=82, stride=41, wrap=False,
        ignore_mask=root / "rig.png", **QUICK,
    )  # fmt: skip
    assert (cached.summary.done, cached.summary.failed) == (2, {})
    assert len(cached.open().names) == 2
    return gs.train(
        photos, cached, root / "run", preset="demo", settings=["steps=2", "workers=0"], device="cpu"
    )


def test_a_run_knows_its_geometry(run):
    geometry = run.geometry
    size = geometry.windows
    assert size == gs.Windows(64, 328, 82, 41, wrap=False)
    assert geometry.fit
    assert 0.05 < geometry.ignored_mask.mean() < 0.5
    for network in ("student", "teacher_assistant"):
        assert gs.load(run, network=network).geometry == geometry
    about = json.loads((run.student / "config.json").read_text())["goodsam"]
    assert about["starts"] == ["street-student", "street-ta"]
    assert "Apache-2.0" in str(gs.load(run).licence)


def test_labels_in_the_photographs_own_pixels(run, photos, tmp_path):
    model = gs.load(run)
    summary = gs.predict(model, photos, tmp_path / "out")
    assert summary.done == ["0.png", "1.png"]
    image = np.asarray(Image.open(photos / "0.png"))
    labels = np.asarray(Image.open(tmp_path / "out/labels/0.png"))
    assert labels.shape == image.shape[:2] == (250, 500)
    assert (labels == model(image)).all()
    assert (labels[125] < 19).all()
    assert (labels[:70] == 255).all()  # above the band
    assert (labels[152:] == 255).all()  # the rig, and below the band
    assert gs.predict(run, photos, tmp_path / "out").skipped == ["0.png", "1.png"]


@pytest.mark.parametrize("network", ["student", "teacher_assistant"])
def test_windows_are_those_of_the_run(run, network):
    """`--windows` and `teacher_agreement` took default windows, whatever the run had."""
    image = np.random.default_rng(0).integers(0, 256, (64, 328, 3), dtype=np.uint8)
    by_windows = gs.load(run, network=network, by_windows=True)
    assert len(by_windows.window_labels(image)) == len(run.geometry.windows) == 7
    # in proportion on a panorama of another size
    twice = np.asarray(Image.fromarray(image).resize((656, 128)))
    plain = gs.load(run, network=network)
    assert plain.view(twice).shape == (64, 328, 3)


def test_the_teacher_is_held_against_the_student_by_the_windows_of_the_run(run, photos):
    student = gs.load(run)
    teacher = gs.load(run, network="teacher_assistant", by_windows=True)
    result = gs.evaluate(student, photos)
    assert result.miou is None
    same = []
    kept = ~run.geometry.ignored_mask
    for path in sorted(photos.iterdir()):
        image = np.asarray(Image.open(path))
        view = student.view(image)[None]
        same.append((teacher.classes(view) == student.classes(view))[0][kept].mean())
    assert result.record["teacher_agreement"] == pytest.approx(100 * np.mean(same))
    assert result.record["geometry"] == run.geometry.to_json()


def test_scores_in_the_photographs_own_pixels(run, photos, tmp_path):
    """Labels of the photographs' size, of what the network has seen; its own are all right."""
    gs.predict(run, photos, tmp_path / "p")
    for path in (tmp_path / "p/labels").iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[labels == 255] = 3  # what is true where the network has not looked does not count
        Image.fromarray(labels).save(path)
    result = gs.evaluate(run, photos, labels=tmp_path / "p/labels", out=tmp_path / "e")
    assert result.miou == 100
    assert 5 < result.record["counted_percent"] < 30
    assert "% of the labelled pixels" in result.to_markdown()
    assert (tmp_path / "e/report.html").is_file()


@pytest.mark.parametrize(
    ("typed", "says"),
    [({"fit": True, "height": 400}, "--height 64"), ({"height": 100}, "--window 82 --stride 41")],
)
def test_typing_another_geometry_is_an_error(run, typed, says):
    with pytest.raises(gs.InputError, match="a run applies its own") as error:
        gs.load(run, **typed)
    assert says in str(error.value)
    assert gs.load(run, fit=True, height=64).geometry == run.geometry


def test_another_ignore_mask_is_an_error(run, photos, tmp_path):
    Image.fromarray(np.full((250, 500), 255, np.uint8)).save(tmp_path / "all.png")
    with pytest.raises(gs.InputError, match="another mask"):
        gs.evaluate(run, photos, ignore_mask=tmp_path / "all.png")
    gs.evaluate(run, photos, ignore_mask=run.path.parent / "rig.png")


def test_exports_keep_the_geometry(run, tmp_path):
    folder = gs.export(run, tmp_path / "hf")
    assert gs.load(folder).geometry == run.geometry
    card = " ".join((folder / "README.md").read_text().split())
    assert "--fit --height 64" in card
    assert "adapted to 2 panoramas" in card


def test_a_network_of_no_run_is_fitted_when_asked():
    image = np.zeros((250, 500, 3), np.uint8)
    fitted = gs.load("street-student", fit=True, height=64)
    assert fitted.view(image).shape == (64, 328, 3)
    assert fitted(image).shape == (250, 500)
    assert gs.load("street-student").view(image) is image
    with pytest.raises(gs.InputError, match="give --fit"):
        gs.load("street-student", height=64)


def loaded(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_goodsam_imports_nothing_heavy():
    assert not loaded("import goodsam") & {"numpy", "torch", "typer", "goodsam.pipeline.api"}


# Files and lines of ours that are imported before a command works: held, so as not to creep back.
# A geometry holds any plan of windows, so that the plans of spheres are there too: nine files.
CLOSURES = {
    "import goodsam": (1, 120),
    "import goodsam.pipeline.cli.app": (34, 3_100),
    "from goodsam import cache_sam; import goodsam.stages.sam.cache_sam": (67, 9_400),
    "from goodsam import predict; import goodsam.stages.predict": (42, 5_900),
    "from goodsam import train; import goodsam.stages.adapt.loop": (95, 11_500),
}


@pytest.mark.parametrize("statement", CLOSURES)
def test_import_closures(statement):
    code = (
        f"{statement}\nimport sys\n"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'goodsam'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    files = [Path(name) for name in set(done.stdout.split())]
    lines = sum(len(path.read_text().splitlines()) for path in files)
    most_files, most_lines = CLOSURES[statement]
    print(f"{statement}: {len(files)} files, {lines} lines")
    assert len(files) <= most_files
    assert lines <= most_lines


def test_stage_1_needs_neither_transformers_nor_the_renderer():
    found = loaded("import goodsam as gs; gs.cache_sam; import goodsam.stages.sam.cache_sam")
    heavy = ("transformers", "distributed", "goodsam.data.street.picture", "jinja2", "tensorboard")
    assert not found & set(heavy)
    assert not [name for name in found if name.startswith("goodsam.pipeline.report")]


def test_help_imports_little():
    found = loaded("import goodsam.pipeline.cli.app")
    assert not found & {"numpy", "torch", "yaml", "zarr", "PIL", "transformers", "pydantic"}


def test_an_ignore_mask_of_the_photographs_for_a_network_that_fits(photos, tmp_path):
    Image.fromarray(np.eye(250, 500, dtype=np.uint8) * 255).save(tmp_path / "line.png")
    model = gs.load("street-student", fit=True, height=HEIGHT)
    result = gs.evaluate(model, photos, ignore_mask=tmp_path / "line.png")
    assert sum(result.record["class_shares"].values()) == pytest.approx(100)


def test_pixels_that_an_unfitted_run_left_out_are_so_at_another_size_too():
    """The rig was labelled, and scored, on a panorama of another size."""
    mask = np.zeros((64, 328), bool)
    mask[48:] = True
    model = gs.load("street-student", device="cpu")
    windows = gs.Windows.of(64, 328)
    model = replace(model, geometry=Geometry(windows, ignored=ignored_runs(mask)))
    for height, width in ((64, 328), (128, 656), (100, 512)):
        labels = model(np.zeros((height, width, 3), np.uint8))
        assert (labels[: height * 3 // 4] < 19).all()
        assert (labels[height * 3 // 4 :] == 255).all()


def test_what_is_said_without_labels_leaves_out_the_runs_pixels_at_any_size(photos):
    mask = np.zeros((32, 164), bool)
    mask[24:] = True
    model = gs.load("street-student", device="cpu")
    windows = gs.Windows.of(32, 164)
    model = replace(model, geometry=Geometry(windows, ignored=ignored_runs(mask)))
    world = photos.parent / "world" / "unlabelled"  # 64 x 328
    whole = gs.load("street-student", device="cpu")
    seen = [np.asarray(Image.open(s.image)) for s in find_panoramas(world)]
    upper = np.concatenate([whole(image)[:48].ravel() for image in seen])
    shares = gs.evaluate(model, world).record["class_shares"]
    assert shares["sky"] == pytest.approx(100 * (upper == 10).mean())


def test_a_run_without_the_seam_is_not_seen_across_it(run):
    with pytest.raises(gs.InputError, match="--no-wrap"):
        gs.load(run, wrap=True)


def test_a_folder_with_a_name_like_ours_has_not_our_licence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    gs.export("street-student", "street-mine")
    assert gs.load("street-mine").licence.name == "Apache-2.0"  # as its card says
    (tmp_path / "street-mine/README.md").unlink()
    assert gs.load("street-mine").licence.name is None
    assert gs.load("street-student").licence.name == "Apache-2.0"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda out: gs.load("street-student", network="teacher_assistant"), "only a run"),
        (lambda out: gs.load("street-student", network="foo"), "student or teacher_assistant"),
        (lambda out: gs.export("street-student", out / "x", format="ONNX"), "huggingface or onnx"),
        (lambda out: gs.export("street-student", out / "x", int8=True), "hold no int8"),
        (lambda out: gs.export("street-student", out / "x", runtime=out), "is for --format web"),
        (lambda out: gs.export("street-student", out / "x.onnx", scores=out), "--scores is for"),
        (lambda out: gs.cache_sam(out, out / "c.zarr", sam="street", heigth=200), "heigth"),
        (
            lambda out: gs.train(out, out, out, preset=adapt_config("demo"), seed=3),
            "preset holds all settings",
        ),
    ],
)
def test_arguments_that_would_be_passed_over_are_errors(call, says, tmp_path):
    with pytest.raises(gs.InputError, match=says):
        call(tmp_path)


def test_a_preset_by_its_path(photos, run, tmp_path):
    again = gs.train(
        photos, run.path.parent / "c.zarr", tmp_path / "again", preset=run.path / "config.yaml"
    )
    assert again.config == run.config


def test_a_run_without_its_teacher_is_described_all_the_same(run, photos, tmp_path, capsys):
    shutil.copytree(run.path, tmp_path / "run")
    for name in ("teacher_assistant", "checkpoints"):  # a checkpoint has it as well
        shutil.rmtree(tmp_path / "run" / name)
    result = gs.evaluate(tmp_path / "run", photos)
    assert result.record["teacher_agreement"] is None
    assert result.record["unchanged"] is not None
    assert "not compared with the teacher assistant" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.yaml", "origin.json"])
def test_a_torn_file_of_a_run_is_named(run, photos, tmp_path, name):
    shutil.copytree(run.path, tmp_path / "run")
    (tmp_path / "run" / name).write_text("{")
    with pytest.raises(gs.InputError, match=name):
        gs.train(
            photos, run.path.parent / "c.zarr", tmp_path / "run", preset="demo",
            settings=["steps=2", "workers=0"], device="cpu",
        )  # fmt: skip
