"""The command as a user meets it: the whole line on a small world, and bad input at the door."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.windows import panorama_width
from goodsam.pipeline.cli.app import main
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer

HEIGHT = 64  # of the small world's panoramas
WIDTH = panorama_width(HEIGHT)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A small street world, its SAM cache, and an adapted run."""
    root = tmp_path_factory.mktemp("cli")
    for arguments in (
        f"world {root} --source 4 --unlabelled 2 --test 2 --height {HEIGHT}",
        f"cache-sam {root}/unlabelled {root}/c.zarr --sam street --points-per-side 4",
        f"train {root}/unlabelled {root}/c.zarr --preset demo --out {root}/run --set steps=2 "
        "--set workers=0",
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["goodsam", *arguments.split()])
            with pytest.raises(SystemExit) as stop:
                main()
            assert not stop.value.code
    return root


def picture(path: Path, size: tuple[int, int] = (328, HEIGHT), mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    noise = rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(path)
    return path


def one_line(status: int, out: str, err: str, expected: int, *words: str) -> None:
    assert status == expected, err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("goodsam: ")]
    assert len(lines) == 1, err
    for word in words:
        assert word in lines[0]


def test_the_run_holds_what_is_promised(world):
    run = world / "run"
    for name in ("config.yaml", "metrics.jsonl", "tensorboard", "checkpoints"):
        assert (run / name).exists()
    for network in ("student", "teacher_assistant"):
        assert (run / network / "preprocessor_config.json").is_file()


def test_eval_with_labels(world, goodsam, tmp_path):
    status, out, _ = goodsam("eval", world / "run", world / "test", "--out", tmp_path, "--json")
    record = json.loads(out)
    assert status == 0
    assert record == json.loads((tmp_path / "eval.json").read_text())
    assert 0 <= record["miou"] <= 100
    assert np.asarray(record["confusion"]).sum() == 2 * HEIGHT * (WIDTH)
    assert "<html" in (tmp_path / "report.html").read_text().lower()


def test_predict_then_eval_of_the_predictions_is_eval_of_the_model(world, goodsam, tmp_path):
    assert goodsam("predict", world / "run", world / "test", tmp_path / "p")[0] == 0
    assert len(list((tmp_path / "p/overlays").rglob("*.png"))) == 2
    _, model, _ = goodsam("eval", world / "run", world / "test", "--out", tmp_path / "a", "--json")
    status, maps, _ = goodsam(
        "eval", "--predictions", tmp_path / "p/labels", world / "test", "--out", tmp_path / "b",
        "--json",
    )  # fmt: skip
    assert status == 0
    assert json.loads(model)["confusion"] == json.loads(maps)["confusion"]


def test_eval_by_protocols_and_with_an_ignore_mask(world, goodsam, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[HEIGHT // 2 :] = 255
    Image.fromarray(mask).save(tmp_path / "rig.png")
    arguments = ["eval", world / "run", world / "test", "--ignore-mask", tmp_path / "rig.png"]
    arguments += ["--protocol", "13", "--boundary-radius", 2, "--out", tmp_path / "o", "--json"]
    status, out, err = goodsam(*arguments)
    assert status == 0, err
    record = json.loads(out)
    assert record["protocol"] == "13"
    assert len(record["per_class"]) == 13
    assert record["boundary_f"]["radius_px"] == 2
    counted = np.asarray(record["confusion"]).sum() + np.sum(record["given_no_class"])
    assert 0 < counted <= 2 * (mask == 0).sum()
    status, _, err = goodsam(*arguments[:-1], "--protocol", "20")
    assert status == 2
    assert "'19', '13', 'wildpass'" in err
    one_line(*goodsam(*arguments[:-1], "--protocol", "wildpass"), 2, "--protocol 19")
    picture(tmp_path / "small.png", (9, 9))
    one_line(*goodsam(*arguments[:-1], "--ignore-mask", tmp_path / "small.png"), 2, "draw it")


def test_an_ignore_mask_from_stage_1_to_training(world, goodsam, tmp_path):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[HEIGHT * 2 // 3 :] = 255
    Image.fromarray(mask).save(tmp_path / "rig.png")
    images, cache = world / "unlabelled", tmp_path / "c.zarr"
    sam = ("cache-sam", images, cache, "--sam", "street", "--points-per-side", 4)
    assert goodsam(*sam, "--boundaries", "windows", "--ignore-mask", tmp_path / "rig.png")[0] == 0
    one_line(*goodsam(*sam, "--boundaries", "windows"), 2, "ignored is")
    _, out, _ = goodsam("cache", "info", cache)
    assert f"{100 * (mask > 0).mean():.1f} % of the pixels" in out
    status, _, err = goodsam(
        "train", images, cache, "--preset", "demo", "--set", "steps=1", "--out", tmp_path / "run",
    )  # fmt: skip
    assert status == 0, err
    metrics = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    assert np.isfinite(metrics["student_total"])


def test_eval_without_labels_says_that_it_is_no_accuracy(world, goodsam, tmp_path):
    status, out, _ = goodsam("eval", world / "run", world / "unlabelled", "--out", tmp_path)
    assert status == 0
    assert "no accuracy" in out
    record = json.loads((tmp_path / "eval.json").read_text())
    assert "miou" not in record
    for key in ("window_agreement", "roll_agreement", "teacher_agreement", "unchanged"):
        assert 0 <= record[key] <= 100
    assert "Changed its mind" in (tmp_path / "report.html").read_text()
    result = goodsam("eval", world / "run", world / "unlabelled", "--protocol", "13")
    one_line(*result, 2, "--protocol 13 needs labels")


def test_predict_across_the_seam_in_batches_with_probabilities(world, goodsam, tmp_path):
    status, out, _ = goodsam(
        "predict", world / "run", world / "test", tmp_path, "--wrap", "--batch", 2,
        "--probabilities",
    )  # fmt: skip
    assert status == 0
    assert "2 written" in out
    for path in (tmp_path / "labels").rglob("*.png"):
        labels = np.array(Image.open(path))
        below = path.relative_to(tmp_path / "labels").with_suffix(".npy")
        shares = np.load(tmp_path / "probabilities" / below)
        assert shares.shape == (19, *labels.shape)
    result = goodsam("predict", world / "run", world / "test", tmp_path, "--wrap", "--windows")
    one_line(*result, 2, "--wrap")


def test_data_check(world, goodsam, tmp_path):
    status, out, _ = goodsam("data", "check", world / "test")
    assert status == 0
    for words in ("DensePASS, leftImg8bit/val/N_.png", "2 with labels", "--protocol 19",
                  "the published set has 100 images", "no problems"):  # fmt: skip
        assert words in out
    picture(tmp_path / "i/a.png")
    picture(tmp_path / "i/b.png").write_text("no picture")
    status, out, _ = goodsam("data", "check", tmp_path / "i", "--json")
    assert status == 1
    record = json.loads(out)
    assert record["layout"] == "a plain folder"
    assert len(record["problems"]) == 1
    picture(tmp_path / "i/b.png", (300, 200))
    status, out, _ = goodsam("data", "check", tmp_path / "i")
    assert status == 0
    assert "refuse to fit; move them away: b.png" in out


def test_the_same_out_goes_on_and_another_setting_is_refused(world, goodsam):
    arguments = ["train", world / "unlabelled", world / "c.zarr", "--preset", "demo"]
    arguments += ["--out", world / "run", "--set", "workers=0"]
    assert goodsam(*arguments, "--set", "steps=2")[0] == 0
    result = goodsam(*arguments, "--set", "steps=2", "--set", "step.alpha=0.5")
    one_line(*result, 2, "other settings", "step", "--out")


def test_cache_info_and_verify(world, goodsam):
    status, out, _ = goodsam("cache", "info", world / "c.zarr", "--json")
    assert status == 0
    assert json.loads(out)
    assert goodsam("cache", "verify", world / "c.zarr", "--images", world / "unlabelled")[0] == 0


def test_source_training_and_export(world, goodsam, tmp_path):
    status, out, _ = goodsam(
        "source", world / "source", "--model", "w16", "--steps", 2, "--batch", 2, "--crop", 64, 64,
        "--out", tmp_path / "s",
    )  # fmt: skip
    assert status == 0
    assert "val images" in out
    assert goodsam("export", tmp_path / "s/model", "--out", tmp_path / "e")[0] == 0
    assert (tmp_path / "e/config.json").is_file()


def test_a_ta_with_classes_of_its_own_from_cache_to_export(world, goodsam, tmp_path):
    names = ("floor", "chair", "wall", "lamp")
    torch.manual_seed(0)
    save_segformer(build_segformer("w16", names), tmp_path / "own")
    status, _, err = goodsam(
        "train", world / "unlabelled", world / "c.zarr", "--preset", "demo", "--out",
        tmp_path / "run", "--teacher-assistant", tmp_path / "own", "--student", tmp_path / "own",
        "--set", "steps=1", "--set", "workers=0",
    )  # fmt: skip
    assert status == 0, err
    run = tmp_path / "run"
    assert goodsam("predict", run, world / "unlabelled", tmp_path / "p")[0] == 0
    status, out, _ = goodsam("eval", run, world / "unlabelled", "--out", tmp_path / "e", "--json")
    assert status == 0
    assert tuple(json.loads(out)["class_shares"]) == names

    # its own label maps, scored by its own classes: what it predicted itself is all right
    images = world / "unlabelled/leftImg8bit"
    arguments = ["eval", run, images, "--labels", tmp_path / "p/labels", "--out", tmp_path / "s"]
    status, out, err = goodsam(*arguments, "--json")
    assert status == 0, err
    record = json.loads(out)
    assert (record["protocol"], record["miou"]) == ("own", 100)
    one_line(*goodsam(*arguments, "--protocol", "19"), 2, "the model has 4 others")

    status, _, err = goodsam(
        "export", run, "--out", tmp_path / "hf", "--scores", tmp_path / "s/eval.json"
    )
    assert status == 0, err
    config = json.loads((tmp_path / "hf/config.json").read_text())
    assert tuple(config["id2label"].values()) == names
    assert "mIoU 100.00 %" in (tmp_path / "hf/README.md").read_text()
    status, _, err = goodsam("export", run, "--format", "onnx", "--out", tmp_path / "m.onnx")
    assert status == 0
    assert "of the pixels are labelled as by torch" in err
    result = goodsam("export", run, "--out", tmp_path / "x", "--scores", tmp_path / "e/eval.json")
    one_line(*result, 2, "e/eval.json", "holds no scores")


# Bad input


def cache_sam(goodsam, images: Path, cache: Path, *more: object) -> tuple[int, str, str]:
    return goodsam("cache-sam", images, cache, "--sam", "street", "--points-per-side", 2, *more)


def test_empty_folder(goodsam, tmp_path):
    (tmp_path / "none").mkdir()
    one_line(*cache_sam(goodsam, tmp_path / "none", tmp_path / "c.zarr"), 2, "none")


def test_image_that_is_none(goodsam, tmp_path):
    picture(tmp_path / "i/a.png")
    (tmp_path / "i/b.png").write_text("no picture")
    one_line(*cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr"), 2, "b.png")


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def damaged(content: bytes) -> bytes:
    """Header and end are as they should be."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("harm", [cut_in_half, damaged])
def test_a_broken_image_fails_alone_and_the_others_are_kept(goodsam, tmp_path, harm):
    picture(tmp_path / "i/a.png")
    broken = picture(tmp_path / "i/b.png")
    broken.write_bytes(harm(broken.read_bytes()))
    status, out, err = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr")
    assert status == 1
    assert "b.png" in err
    assert "1 panoramas done" in out
    training = ["train", tmp_path / "i", tmp_path / "c.zarr", "--preset", "demo", "--out"]
    training += [tmp_path / "run", "--set", "steps=1", "--set", "workers=0"]
    one_line(*goodsam(*training), 2, "b.png", "--partial")
    assert goodsam(*training, "--partial")[0] == 0


def test_sixteen_bit_images_are_scaled_and_it_is_said(goodsam, tmp_path):
    (tmp_path / "i").mkdir()
    Image.fromarray(np.zeros((HEIGHT, 328), np.uint16)).save(tmp_path / "i/a.png")
    status, _, err = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr")
    assert status == 0
    assert err.count("1 16-bit, scaled") == 1


def test_other_sizes_are_refused_with_advice_and_fitted_when_asked(goodsam, tmp_path):
    picture(tmp_path / "i/a.png", (328, HEIGHT))
    picture(tmp_path / "i/b.jpg", (400, 200))
    one_line(*cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr"), 2, "b.jpg", "--fit")
    status, out, err = cache_sam(
        goodsam, tmp_path / "i", tmp_path / "f.zarr", "--fit", "--height", HEIGHT
    )
    assert status == 0, err
    assert "2 panoramas" in out


def test_a_whole_sphere_is_masked_as_one_and_its_band_is_cut_when_asked(goodsam, tmp_path):
    picture(tmp_path / "i/a.jpg", (128, 64))
    status, out, err = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr", "--dry-run")
    assert status == 0
    assert "22 windows and 0 overlaps" in out
    for word in ("2:1 photographs", "128 x 64", "tangent windows", "--fit"):
        assert word in err
    status, _, err = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr")
    assert status == 0, err
    assert "tangent windows" in err
    again = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr", "--fit", "--height", HEIGHT)
    one_line(*again, 2, "c.zarr", "plan tangent, not those of the plan band")
    for more, word in (
        (("--plan", "band"), "--fit"),
        (("--plan", "tangent", "--stride", 16), "--stride"),
        (("--boundaries", "overlap"), "--boundaries windows"),
    ):
        one_line(*cache_sam(goodsam, tmp_path / "i", tmp_path / "o.zarr", *more), 2, word)
    assert cache_sam(goodsam, tmp_path / "i", tmp_path / "w.zarr", "--window", 64)[0] == 0
    fitted = cache_sam(goodsam, tmp_path / "i", tmp_path / "f.zarr", "--fit", "--height", HEIGHT)
    assert fitted[0] == 0


def test_grey_palette_and_alpha_are_converted_and_counted_once(goodsam, tmp_path):
    for name, mode in (("a", "L"), ("b", "P"), ("c", "RGBA"), ("d", "RGB")):
        picture(tmp_path / f"i/{name}.png", mode=mode)
    status, _, err = cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr")
    assert status == 0
    assert err.count("3 images converted") == 1


def test_demo_weights_on_own_pictures_warn_loudly(goodsam, tmp_path, world):
    picture(tmp_path / "i/a.png")
    assert "WARNING" in cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr")[2]
    assert "WARNING" not in cache_sam(goodsam, world / "unlabelled", tmp_path / "w.zarr")[2]


def test_labels_without_images_and_images_without_labels(world, goodsam, tmp_path):
    picture(tmp_path / "i/a.png")
    labels = tmp_path / "l"
    labels.mkdir()
    Image.fromarray(np.zeros((HEIGHT, 328), np.uint8)).save(labels / "a_labelTrainIds.png")
    Image.fromarray(np.zeros((HEIGHT, 328), np.uint8)).save(labels / "b_labelTrainIds.png")
    run = ["eval", world / "run", tmp_path / "i", "--labels", labels, "--out", tmp_path / "o"]
    one_line(*goodsam(*run), 2, "b")
    (labels / "b_labelTrainIds.png").unlink()
    picture(tmp_path / "i/c.png")
    one_line(*goodsam(*run), 2, "c")


def test_a_label_outside_the_classes(world, goodsam, tmp_path):
    picture(tmp_path / "i/a.png")
    (tmp_path / "l").mkdir()
    Image.fromarray(np.full((HEIGHT, 328), 40, np.uint8)).save(tmp_path / "l/a_labelTrainIds.png")
    result = goodsam(
        "eval", world / "run", tmp_path / "i", "--labels", tmp_path / "l", "--out", tmp_path / "o"
    )
    one_line(*result, 2, "a_labelTrainIds.png", "40")


def test_a_checkpoint_of_another_architecture(world, goodsam, tmp_path):
    torch.save({"segformer.x": torch.zeros(1)}, tmp_path / "sam.pth")
    result = goodsam(
        "cache-sam", world / "unlabelled", tmp_path / "c.zarr", "--sam", "vit_b",
        "--checkpoint", tmp_path / "sam.pth",
    )  # fmt: skip
    one_line(*result, 2, "sam.pth")


def test_a_cache_of_other_images_or_another_geometry(world, goodsam, tmp_path):
    names = [p.relative_to(world / "unlabelled") for p in (world / "unlabelled").rglob("*.png")]
    for name in names:
        picture(tmp_path / "i" / name)
    result = goodsam(
        "train", tmp_path / "i", world / "c.zarr", "--preset", "demo", "--out", tmp_path / "run"
    )
    one_line(*result, 2, "not the image")
    result = cache_sam(goodsam, world / "unlabelled", world / "c.zarr", "--window", 64)
    one_line(*result, 2, "window")


def test_no_such_preset_model_or_setting(world, goodsam, tmp_path):
    train = ["train", world / "unlabelled", world / "c.zarr", "--out", tmp_path / "run"]
    one_line(*goodsam(*train, "--preset", "goodsam-x"), 2, "goodsam-")
    one_line(*goodsam(*train, "--preset", "demo", "--set", "lr=1"), 2, "lr")
    result = goodsam(*train, "--preset", "demo", "--student", tmp_path)
    one_line(*result, 2, "config.json")
    one_line(*goodsam("predict", tmp_path, world / "test", tmp_path / "o"), 2, "config.json")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(goodsam, tmp_path):
    picture(tmp_path / "i/a.png").chmod(0)
    one_line(*cache_sam(goodsam, tmp_path / "i", tmp_path / "c.zarr"), 2, "a.png")
