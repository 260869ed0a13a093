"""Networks of other families the whole way: masks, training, score, export; and class maps."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from huggingface_hub import ModelCard
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


def assert_usable_before_its_end(run, moment, world):
    """With checkpoints and nothing else, it gives the networks that it writes at its end."""
    shutil.copytree(run.path, moment)
    image = np.asarray(Image.open(next((world / "unlabelled").rglob("*.png"))).convert("RGB"))
    for network in ("student", "teacher_assistant"):
        shutil.rmtree(moment / network)
        written, now = gs.load(run, network=network), gs.load(moment, network=network)
        assert (now.step, now.names, now.class_map) == (2, written.names, written.class_map)
        assert (now(image) == written(image)).all()


@pytest.mark.parametrize(
    ("teacher", "student"),
    [("mask2former", "mobilenet_v2"), ("segformer", "upernet-swin"), ("eomt", "mobilevit")],
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
    assert_usable_before_its_end(run, tmp_path / "moment", world)
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
        *(world, tmp_path / "run", tmp_path / "ta", "street-student"),
        classes=tmp_path / "map.yaml",
        val=world / "test",
    )
    assert_usable_before_its_end(run, tmp_path / "moment", world)
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
    assert gs.evaluate(run, world / "test", classes=tmp_path / "moment").miou == by_file.miou
    rows = [json.loads(line) for line in (run.path / "val.jsonl").read_text().splitlines()]
    assert rows[-1]["miou"] == pytest.approx(by_file.miou)
    assert gs.load(run.path / "best").class_map == student.class_map
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


@pytest.mark.parametrize("wrap", [False, True])
def test_onnx_of_a_mapped_teacher_gives_255(wrap, tmp_path):
    network = gs.load(write(tmp_path / "ta", "segformer"), device="cpu", wrap=wrap)
    mapped = network.with_classes({"thing": ["car", "person"], "street": "road"})
    path = gs.export(mapped, tmp_path / "ta.onnx")
    image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (labels,) = session.run(None, {"image": image})
    assert set(np.unique(labels)) == {0, 1, 255}
    assert (labels == mapped.classes(image)).mean() > 0.999


@pytest.mark.parametrize("more", [{}, {"int8": True, "force": True}, {"half": True}])
@pytest.mark.parametrize("format", ["onnx", "openvino"])
def test_graphs_of_another_family(world, format, more, tmp_path):
    network = gs.load(write(tmp_path / "m", "mobilevit"), device="cpu")
    more = {**more, "calibrate": world / "unlabelled"}
    assert gs.export(network, tmp_path / "out", format=format, **more).exists()


@pytest.mark.parametrize("family", ["upernet-swin", "mask2former"])
def test_a_folder_of_another_family_in_half(world, family, tmp_path):
    network = gs.load(write(tmp_path / "m", family), device="cpu")
    folder = gs.export(
        network, tmp_path / "hf", half=True, force=True, calibrate=world / "unlabelled"
    )
    sizes = [(at / "model.safetensors").stat().st_size for at in (tmp_path / "m", folder)]
    assert sizes[1] < 0.6 * sizes[0]
    assert ModelCard.load(folder / "README.md").data.tags[:2] == [
        family.partition("-")[0],
        "panorama",
    ]
    assert gs.load(folder).names == network.names


def test_a_mapped_network_of_no_run_is_compared_with_its_map(tmp_path):
    """The folder holds the network with its own classes."""
    mapped = gs.load(write(tmp_path / "m", "segformer"), device="cpu").with_classes({"all": "car"})
    assert gs.load(gs.export(mapped, tmp_path / "hf")).names == NAMES


def test_one_command_with_another_family_and_a_class_map(world, tmp_path, capsys):
    (tmp_path / "map.yaml").write_text("way: [road, sidewalk]\ncar: [car, truck]")
    write(tmp_path / "student", "mobilenet_v2", NAMES)
    whole = gs.run(
        world / "test", tmp_path / "whole", sam="none", preset="demo", device="cpu",
        teacher_assistant=str(write(tmp_path / "ta", "segformer", CITYSCAPES)),
        student=str(tmp_path / "student"),
        classes=tmp_path / "map.yaml", settings=["steps=2"],
    )  # fmt: skip
    assert tuple(whole.result.record["per_class"]) == ("way", "car")
    assert gs.load(whole.model).names == ("way", "car")
    said = capsys.readouterr().err
    assert "classes: way, car - yours (--classes MAP.yaml)" in said
    assert said.count("what is trained from them is under") == 1
    again = gs.run(world / "test", tmp_path / "whole")  # the map is remembered
    assert again.result is None


@pytest.mark.parametrize("family", ["mobilenet_v2", "eomt"])
def test_onnx_of_a_family_whose_trace_knows_one_size_is_refused(family, tmp_path):
    network = gs.load(write(tmp_path / "m", family), device="cpu")
    says = rf"a {family} cannot be written as ONNX or for OpenVINO"
    with pytest.raises(gs.InputError, match=says):
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
