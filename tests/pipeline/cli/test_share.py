"""`goodsam card` and `goodsam push`, with the real library against a stand-in of the hub."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
import yaml
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.geometry import Geometry
from goodsam.stages.lines import LOG
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.uploads import upload
from tests.hub import READER, TOKEN, Hub
from tests.pipeline.cli.conftest import WINDOWS
from tests.pipeline.cli.test_app import one_line

MODEL = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that this process, and those that it starts, take for the real one."""
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        server.url + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(huggingface_hub.utils._http.time, "sleep", lambda seconds: None)
    for name, value in {
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": server.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    yield server
    assert list((tmp_path / "tmp").glob("goodsam-*")) == []  # whatever became of it
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A network of a small geometry, so that comparing its export takes no time."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    torch.manual_seed(1)
    network = build_segformer("w8", ("road", "car")).eval()
    with torch.no_grad():  # an untrained head gives one class everywhere: let the image decide
        network.decode_head.classifier.weight.mul_(50)
    setattr(network.config, KEY, Origin(Geometry(WINDOWS), ("own",)).to_json())
    save_segformer(network, folder)
    return folder


@pytest.fixture
def here(here, trained):
    shutil.copytree(trained, here / "model", dirs_exist_ok=True)
    return here


def front(card: bytes) -> dict:
    return yaml.safe_load(card.decode().split("---")[1])


def test_a_network_is_pushed_with_the_card_that_card_prints(goodsam, here, hub):
    status, printed, err = goodsam("card", "model")
    assert status == 0, err
    status, out, err = goodsam("push", "me/street", "model")
    assert status == 0, err
    assert out.startswith(f"{hub.url}/me/street: 4 files, ")
    files = hub.files("me/street")
    assert sorted(files) == MODEL
    assert files["README.md"].decode() == printed
    assert "weights.safetensors" not in files
    (here / "got").mkdir()
    for name, content in files.items():
        (here / "got" / name).write_bytes(content)
    image = np.random.default_rng(3).integers(0, 256, (64, 328, 3), dtype=np.uint8)
    assert (Segmenter.load("got")(image) == Segmenter.load("model")(image)).all()


def test_a_folder_with_a_card_keeps_it(goodsam, here, hub):
    """It says more than can be known of the weights: what `export` knew of a run."""
    (here / "model/README.md").write_text("---\nlicense: apache-2.0\n---\n\n# Mine\n")
    assert goodsam("card", "model")[1] == "---\nlicense: apache-2.0\n---\n\n# Mine\n"
    assert goodsam("push", "me/street", "model")[0] == 0
    assert hub.files("me/street")["README.md"].endswith(b"# Mine\n")
    (here / "model/README.md").write_bytes(b"\xff")
    one_line(*goodsam("card", "model"), 2, "README.md: is no UTF-8 text")


USE = """
import sys
import numpy as np
from PIL import Image
from transformers import pipeline
found = pipeline("image-segmentation", model="me/street")(Image.open("i/a.png"))
import goodsam as gs
names = gs.load("me/street").names
labels = np.full(np.array(found[0]["mask"]).shape, 255, np.uint8)
for part in found:
    labels[np.array(part["mask"]) > 0] = names.index(part["label"])
Image.fromarray(labels).save("theirs.png")
"""


def test_transformers_pipeline_uses_a_pushed_network_from_the_hub(goodsam, here, hub):
    """Another process, which knows the hub by HF_ENDPOINT alone, and has no token."""
    image = np.asarray(Image.open(here / "i/a.png").convert("RGB"))
    Image.fromarray(image).save(here / "i/a.png")
    assert goodsam("push", "me/street", "model")[0] == 0
    environment = {k: v for k, v in os.environ.items() if k != "HF_TOKEN"}
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    theirs = np.asarray(Image.open(here / "theirs.png"))
    ours = Segmenter.load("model", device="cpu")(image)
    assert theirs.shape == ours.shape
    assert (theirs == ours).mean() > 0.999
    assert len(np.unique(theirs)) > 1


def test_a_cache_is_pushed_as_one_checked_zip(goodsam, here, hub):
    status, out, err = goodsam("push", "me/masks", "c.zarr", "--private")
    assert status == 0, err
    assert f"{hub.url}/datasets/me/masks: 2 files" in out
    assert hub.repositories["datasets", "me/masks"].private
    files = hub.files("me/masks", "datasets")
    assert sorted(files) == ["README.md", "cache.zip"]
    (here / "got.zip").write_bytes(files["cache.zip"])
    ours, theirs = SamCache.open(here / "c.zarr"), SamCache.open(here / "got.zip")
    assert theirs.identity == ours.identity
    assert theirs.verify() == []
    card = files["README.md"].decode()
    assert "datasets" not in front(files["README.md"])
    assert f"found in {len(ours.names)} of {len(ours.names)} panoramas" in card
    assert "hf download --repo-type dataset me/masks cache.zip" in card
    over_http = SamCache.open(f"zip://::{hub.url}/datasets/me/masks/resolve/main/cache.zip")
    assert (
        over_http.read(ours.names[0]).windows[0].cells.shape
        == ours.read(ours.names[0]).windows[0].cells.shape
    )


def test_labels_go_without_overlays_and_replace_those_before(goodsam, here, hub):
    assert goodsam("predict", "model", "i", "seen", "--confidence", "--device", "cpu")[0] == 0
    (here / "seen/labels/sub").mkdir()
    (here / "seen/labels/sub/old.png").write_bytes((here / "seen/labels/a.png").read_bytes())
    assert goodsam("push", "me/labels", "seen")[0] == 0
    files = hub.files("me/labels", "datasets")
    assert {"README.md", "classes.json", "labels/a.png", "confidence/a.png"} <= set(files)
    assert "labels/sub/old.png" in files
    assert not [name for name in files if name.startswith(("overlays", "."))]
    assert files["labels/a.png"] == (here / "seen/labels/a.png").read_bytes()
    assert b"has the label's probability" in files["README.md"]
    (here / "seen/labels/sub/old.png").unlink()
    (here / "seen/README.md").write_text("---\nlicense: cc-by-4.0\n---\n\nMine.\n")
    assert goodsam("push", "me/labels", "seen")[0] == 0
    assert "labels/sub/old.png" not in files
    assert front(files["README.md"]) == {"license": "cc-by-4.0"}


def test_a_dry_run_lists_files_and_bytes_and_asks_nobody(goodsam, here, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    status, out, err = goodsam("push", "me/street", "model", "--dry-run")
    assert status == 0, err
    lines = out.splitlines()
    assert [line.split("  ")[-1] for line in lines[:4]] == MODEL
    assert f"{(here / 'model/model.safetensors').stat().st_size:,} bytes" in lines[2]
    assert lines[4].startswith("me/street: nothing uploaded yet: 4 files, ")
    assert hub.requests == []


def test_a_branch_is_made_and_main_stays(goodsam, here, hub):
    assert goodsam("push", "me/street", "model", "--revision", "v2")[0] == 0
    assert sorted(hub.files("me/street", branch="v2")) == MODEL
    assert hub.files("me/street") == {}


def test_pushing_again_sends_nothing_that_is_there(goodsam, here, hub):
    assert goodsam("push", "me/street", "model")[0] == 0
    commits = hub.repositories["models", "me/street"].commits
    assert len(commits) == 1
    hub.requests.clear()
    assert goodsam("push", "me/street", "model")[0] == 0
    assert len(commits) == 1
    assert not [request for request in hub.requests if request.startswith("PUT")]


@pytest.mark.parametrize(
    ("repo", "source", "words"),
    [
        ("street", "model", ("OWNER/NAME",)),
        ("me/a/b", "model", ("no name for the hub",)),
        ("me/..x", "model", ("no name for the hub",)),
        ("", "model", ("no name for the hub",)),
        ("me/x\n", "model", ("no name for the hub",)),
        ("me/x", "nothing", ("nothing",)),
        ("me/x", "i", ("i: nothing that can be shared",)),
        ("me/x", "i/a.png", ("i/a.png: nothing that can be shared",)),
    ],
)
def test_what_cannot_be_shared_is_said_in_one_line(goodsam, here, hub, repo, source, words):
    one_line(*goodsam("push", repo, source), 2, *words)
    assert hub.repositories == {}


@pytest.mark.parametrize("revision", ["", "a b", "\n"])
def test_a_branch_has_a_name(goodsam, here, hub, revision):
    one_line(*goodsam("push", "me/x", "model", "--revision", revision), 2, "--revision")
    assert hub.requests == []


def test_without_a_token_nothing_is_asked(goodsam, here, hub, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    one_line(*goodsam("push", "me/x", "model"), 2, "no token", "hf auth login", "HF_TOKEN")
    assert hub.requests == []


@pytest.mark.parametrize("token", ["hf_nobodys", READER])
def test_a_token_that_may_not_write(goodsam, here, hub, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    one_line(*goodsam("push", "me/x", "model"), 2, "token")
    assert hub.repositories == {}


def test_private_is_not_sent_to_what_is_public(goodsam, here, hub):
    assert goodsam("push", "me/x", "model")[0] == 0
    hub.objects.clear()
    one_line(*goodsam("push", "me/x", "model", "--private"), 2, "public")
    assert hub.objects == {}


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("whoami", 500),
        ("whoami", "html"),
        ("repos/create", 500),
        ("preupload", 503),
        ("objects/batch", 500),
        ("/objects/", 500),
        ("/objects/", "cut"),
        ("/commit/", 502),
        ("/commit/", "cut"),
    ],
)
def test_what_breaks_off_is_one_line_and_goes_on_where_it_was(goodsam, here, hub, where, fault):
    before = {p: p.read_bytes() for p in sorted(Path("model").iterdir())}
    hub.faults[where] = fault
    one_line(*goodsam("push", "me/x", "model"), 1, "not uploaded", "start the same command again")
    assert all(not r.branches["main"] for r in hub.repositories.values())
    assert {p: p.read_bytes() for p in sorted(Path("model").iterdir())} == before
    sent = set(hub.objects)
    hub.faults.clear()
    hub.requests.clear()
    assert goodsam("push", "me/x", "model")[0] == 0
    assert sorted(hub.files("me/x")) == MODEL
    assert not sent & {request.rpartition("/")[2] for request in hub.requests}


def test_what_the_hub_says_of_a_card_is_told(goodsam, here, hub):
    hub.faults["validate-yaml"] = 400
    one_line(*goodsam("push", "me/x", "model"), 2, "refused by the hub", "README.md")
    assert hub.objects == {}


def test_a_hub_that_is_not_there(goodsam, here, hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    one_line(*goodsam("push", "me/x", "model"), 1, "not uploaded")


def test_a_licence_that_forbids_it_is_kept(goodsam, here, hub):
    (here / "model/README.md").write_text("---\nlicense: cc-by-nc-nd-4.0\n---\n")
    one_line(*goodsam("push", "me/x", "model"), 2, "cc-by-nc-nd-4.0", "may not be handed on")
    assert hub.repositories == {}
    assert goodsam("push", "me/x", "model", "--private")[0] == 0
    (here / "model/README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    assert goodsam("push", "me/y", "model")[0] == 0  # it says nothing against sharing
    assert front(hub.files("me/y")["README.md"])["license"] == "cc-by-nc-4.0"


def test_a_damaged_cache_is_not_handed_on(goodsam, here, hub):
    chunk = next((here / "c.zarr/cells").glob("c.*"))
    chunk.write_bytes(chunk.read_bytes()[:-3] + b"xyz")
    one_line(*goodsam("push", "me/x", "c.zarr"), 2, "c.zarr")
    assert hub.repositories == {}


def test_scores_are_a_network_s(goodsam, here, hub):
    scores = {
        "miou": 12.25, "pixel_accuracy": 50.0, "per_class": {"road": 12.25}, "files": [{}],
        "protocol_note": "n", "images": "/data/DensePASS",
    }  # fmt: skip
    (here / "eval.json").write_text(json.dumps(scores))
    status, out, _ = goodsam("card", "model", "--scores", "eval.json")
    assert status == 0
    (results,) = yaml.safe_load(out.split("---")[1])["model-index"][0]["results"]
    assert results["dataset"] == {"name": "DensePASS", "type": "densepass"}
    assert [metric["value"] for metric in results["metrics"]] == [12.25, 50.0]
    one_line(*goodsam("card", "c.zarr", "--scores", "eval.json"), 2, "no network")
    assert "SAM cache, OWNER/NAME" in goodsam("card", "c.zarr")[1]


def test_names_mark_nothing_up_in_a_card_of_labels(goodsam, here, hub):
    assert goodsam("predict", "model", "i", "seen", "--device", "cpu")[0] == 0
    classes = json.loads((here / "seen/classes.json").read_text())
    classes[0]["name"] = "a | b\n---\nlicense: mit\n---\n<script>"
    (here / "seen/classes.json").write_text(json.dumps(classes))
    status, out, _ = goodsam("card", "seen")
    assert status == 0
    assert sum(line.startswith("license:") for line in out.splitlines()) == 1
    assert "<script>" not in out.replace("\\<", "")


def test_bars_that_the_user_has_switched_off_stay_off(monkeypatch, tmp_path, hub):
    (tmp_path / "some.txt").write_text("text")
    monkeypatch.setattr(LOG, "isEnabledFor", lambda level: False)  # as with -q
    disable_progress_bars()
    try:
        upload(tmp_path, "me/some", "dataset")
        assert are_progress_bars_disabled()
    finally:
        enable_progress_bars()
