"""What `pip install` gives: `goodsam` and nothing else, and all of it, wherever one stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("data", "pipeline", "stages")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def shipped(folder: Path) -> set[str]:
    """The files below the three folders that are no Python, as a wheel names them."""
    found = set()
    for top in FOLDERS:
        for path in (folder / top).rglob("*"):
            if path.is_file() and path.suffix not in {".py", ".pyc"}:
                inside = path.relative_to(folder).as_posix()
                found.add(f"goodsam/{inside.removeprefix('pipeline/face/')}")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    ignored = shutil.ignore_patterns("__pycache__")
    for top in FOLDERS:
        shutil.copytree(ROOT / top, folder / top, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", folder / "wheels", folder], check=True)
    (found,) = (folder / "wheels").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """run(*words): a command of a fresh environment with the wheel, in a folder of traps.

    The environment sees this one's packages, but not its editable install: a path file is not read
    in a folder that a path file names.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, wheel], check=True)
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    here = folder / "here"
    (here / "stages").mkdir(parents=True)
    for trap in ("data.py", "pipeline.py", "stages/__init__.py"):
        (here / trap).write_text("raise RuntimeError('the wrong one')\n")

    def run(*words: object) -> str:
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"OMP_NUM_THREADS": "1", "PATH": f"{python.parent}:{environment['PATH']}"}
        done = subprocess.run(
            [str(word) for word in words], cwd=here, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_holds_one_package_and_all_of_its_files(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    top = {name.split("/")[0] for name in names}
    assert {name.partition("-")[0] for name in top} == {"goodsam"}
    assert len(top) == 2  # the package, and what pip keeps of it
    assert "goodsam/py.typed" in names
    others = {n for n in names if n.startswith("goodsam/") and not n.endswith(".py")}
    assert others == shipped(ROOT)


def test_it_works_beside_a_folder_of_the_same_names(elsewhere):
    told = elsewhere("python", "-c", "import goodsam; print(goodsam.__file__)")
    assert "elsewhere" in told
    assert elsewhere("goodsam", "--version").startswith("goodsam ")
    assert "cache-sam" in elsewhere("python", "-m", "goodsam", "--help")
    elsewhere(
        "goodsam", "world", "W", "--source", 0, "--test", 1, "--height", 64, "--unlabelled", 2
    )


def test_presets_and_demo_weights_are_found(elsewhere):
    code = """
from goodsam.data.weights import SEGFORMERS, STREET_SAM
from goodsam.pipeline.config import load_preset, preset_names
import goodsam
assert STREET_SAM.is_file()
for name in SEGFORMERS:
    goodsam.load(name, device="cpu")
for name in preset_names():
    load_preset(name)
print(*preset_names())
"""
    presets = {path.stem for path in (ROOT / "pipeline" / "presets").glob("*.yaml")}
    assert set(elsewhere("python", "-c", code).split()) == presets


def test_processes_that_it_starts_find_it(elsewhere):
    elsewhere(
        "goodsam", "world", "V", "--source", 0, "--test", 0, "--height", 64, "--unlabelled", 2
    )
    sam = "cache-sam V/unlabelled c.zarr --sam street --points-per-side 2 --boundaries windows"
    assert "2 panoramas done" in elsewhere("goodsam", *sam.split(), "--workers", 1)
    train = "train V/unlabelled c.zarr --preset demo --set steps=1 --set workers=1 --out run"
    alone = ("python", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1")
    elsewhere(*alone, "-m", "goodsam", *train.split())
    assert "2 written" in elsewhere("goodsam", *["predict", "run", "V/unlabelled", "p"])
    assert elsewhere("python", "-c", "import goodsam; print(goodsam.load('run').geometry)")
