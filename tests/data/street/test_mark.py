"""The mark of the street world, and what it costs to look for it."""

import subprocess
import sys

from PIL import Image

from goodsam.data.street.mark import is_street_world
from goodsam.data.street.write import write_world


def test_pictures_of_the_world_are_known_again(tmp_path):
    write_world(tmp_path, source=1, unlabelled=0, test=0, seed=0, height=20)
    image, *_ = (tmp_path / "source" / "leftImg8bit").rglob("*.png")
    assert is_street_world(image)
    Image.open(image).save(tmp_path / "copy.jpg")
    assert not is_street_world(tmp_path / "copy.jpg")
    assert not is_street_world(tmp_path / "none.png")


def test_the_mark_needs_no_renderer():
    code = "import sys, goodsam.data.street.mark; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    rooms = {name for name in run.stdout.split() if name.startswith("goodsam.data.street.")}
    assert rooms == {"goodsam.data.street.mark"}
