"""Networks of other families the whole way: masks, training, score, export; and class maps."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import goodsam as gs
from goodsam.data.classes import CITYSCAPES
from goodsam.data.street.write import write_world
from goodsam.stages.networks.classes import Mapped
from tests.stages.networks.tiny import NAMES, write

HEIGHT = 64
QUICK = ["steps=2", "workers=0", "step.weights.consistency=1"]
MAP = """way: [road, sidewalk]
nature: [vegetation, terrain, sky]
person: person
car: [car, truck, bus]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("world")
    write_world(root, source=0, unlabelled=2, test=1, seed=5, height=HEIGHT)
    gs.cache_sam(root / "unlabelled", root / "c.zarr", sam="street", points_per_side=4,
                 window=82, stride=41, boundaries="windows")  # fmt: skip
    return root


def trained(world, out, teacher, student, **more):
    pair = {"teacher_assistant": str(teacher), "student": str(student)}
    return gs.train(
        world / "unlabelled", world / "c.zarr", out, preset="demo", settings=QUICK, device="cpu",
        **pair, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("teacher", "student"),
    [("mask2former", "mobilenet_v2"), ("upernet-swin", "segformer"), ("eomt", "mobilevit")],
)
def test_the_whole_way(world, tmp_path, teacher, student):
    run = trained(
        world,
        tmp_path / "run",
        write(tmp_path / "ta", teacher, CITYSCAPES, seed=1),
        write(tmp_path / "student", student, CITYSCAPES, seed=2),
    )
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(np.isfinite(row["student_total"] + row["teacher_total"]) for row in rows)
    result = gs.evaluate(run, world / "test", out=tmp_path / "eval")
    assert 0 <= result.miou <= 100
    teacher_result = gs.evaluate(gs.load(run, network="teacher_assistant"), world / "test")
    assert 0 <= teacher_result.miou <= 100
    assert gs.evaluate(run, world / "unlabelled").record["teacher_agreement"] >= 0
    exported = gs.load(gs.export(run, tmp_path / "hf"))
    image = np.asarray(Image.open(next((world / "unlabelled").rglob("*.png"))).convert("RGB"))
    labels = gs.load(run)(image)
    assert (exported(image) == labels).all()
    summary = gs.label(world / "unlabelled", world / "c.zarr", tmp_path / "pseudo",
                       preset="demo", teacher_assistant=run.path, device="cpu")  # fmt: skip
    assert summary.failed == {}


def test_a_class_map_the_whole_way(world, tmp_path, capsys):
    (tmp_path / "map.yaml").write_text(MAP)
    write(tmp_path / "ta", "segformer", CITYSCAPES, seed=1)
    run = trained(
        world, tmp_path / "run", tmp_path / "ta", "street-student", classes=tmp_path / "map.yaml"
    )
    said = capsys.readouterr().err
    assert "gets a NEW HEAD" in said
    assert "2 of these it knows, and 2 begin with random weights" in said
    names = ("way", "nature", "person", "car")
    student, teacher = gs.load(run), gs.load(run, network="teacher_assistant")
    assert student.names == teacher.names == names
    assert isinstance(teacher.model, Mapped)
    assert (student.class_map, teacher.class_map) == (teacher.model.classes,) * 2
    config = json.loads((run.teacher_assistant / "config.json").read_text())
    assert tuple(config["id2label"].values()) == CITYSCAPES  # transformers loads it as it was

    # the truth has Cityscapes' ids: by the file, by the run, and for predictions
    by_file = gs.evaluate(run, world / "test", classes=tmp_path / "map.yaml", out=tmp_path / "e")
    assert tuple(by_file.record["per_class"]) == names
    assert "made of 19 by a class map (way: road + sidewalk" in by_file.record["protocol_note"]
    assert "way: road + sidewalk" in (tmp_path / "e" / "report.html").read_text()
    assert gs.evaluate(run, world / "test", classes=run.path).miou == by_file.miou
    gs.predict(run, world / "test", tmp_path / "seen")
    seen = gs.evaluate_predictions(tmp_path / "seen", world / "test", classes=run.path)
    assert seen.miou == pytest.approx(by_file.miou)
    # a network without a run: the map is of its own classes
    raw = gs.evaluate(tmp_path / "ta", world / "test", classes=tmp_path / "map.yaml")
    assert tuple(raw.record["per_class"]) == names
    with pytest.raises(gs.InputError, match="leave one out"):
        gs.evaluate(run, world / "test", classes=run.path, protocol="19")

    checked = gs.check(world / "test", classes=tmp_path / "map.yaml")
    assert set(checked.classes) <= set(names)
    assert checked.classes["way"] == 1
    assert gs.export(student, tmp_path / "hf").is_dir()
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "way, nature, person, car; made of 19 others: way: road + sidewalk" in card
    assert gs.load(tmp_path / "hf").class_map == student.class_map


def test_onnx_of_a_mapped_teacher_gives_255(tmp_path):
    network = gs.load(write(tmp_path / "ta", "segformer"), device="cpu")
    mapped = network.with_classes({"thing": ["car", "person"], "street": "road"})
    path = gs.export(mapped, tmp_path / "ta.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (labels,) = session.run(None, {"image": image})
    assert set(np.unique(labels)) == {0, 1, 255}
    assert (labels == mapped.classes(image)).mean() > 0.999


def test_onnx_of_another_family(tmp_path):
    network = gs.load(write(tmp_path / "m", "mobilevit"), device="cpu")
    assert gs.export(network, tmp_path / "m.onnx").is_file()


@pytest.mark.parametrize("family", ["mobilenet_v2", "eomt"])
def test_onnx_of_a_family_whose_trace_knows_one_size_is_refused(family, tmp_path):
    network = gs.load(write(tmp_path / "m", family), device="cpu")
    with pytest.raises(gs.InputError, match=rf"a {family} cannot be written as ONNX"):
        gs.export(network, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "names no class"),
        ("[road]", "names no class"),
        ("way: []", "'way' names no class"),
        ("way: road\nway: car", "has 'way' twice"),
        ("way: [road, car]\nstreet: road", "names 'road' twice"),
        ("way: [rode]", "did you mean 'road'"),
        ("way: &a [road]\nx: *a", "no class map"),
        ("way: [", "no class map"),
    ],
)
def test_a_map_that_is_none_is_one_line(text, says, world, tmp_path):
    (tmp_path / "map.yaml").write_text(text)
    teacher = write(tmp_path / "ta", "segformer", NAMES)
    with pytest.raises(gs.InputError, match=says) as error:
        trained(world, tmp_path / "run", teacher, teacher, classes=tmp_path / "map.yaml")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)
