"""Stanford2D3D and Structured3D in small, in the genuine folders, names and colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from goodsam.data.rooms import STANFORD

# as in the published file: class_instance_roomType_room_area, the unknown first
NAMES = [
    "<UNK>_0_<UNK>_0_0",
    *(
        f"{name}_{n}_office_{n}_{area}"
        for name in STANFORD
        for area in range(1, 7)
        for n in range(9)
    ),
]
MISSING = (13, 13, 13)


def colours(names: np.ndarray) -> np.ndarray:
    """int (H, W) indices of NAMES -> uint8 (H, W, 3); below 0: missing."""
    found = np.stack([0 * names, names >> 8, names & 255], axis=-1).astype(np.uint8)
    found[names < 0] = MISSING
    return found


def write(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def write_stanford(
    root: Path, areas=("1", "2", "3", "4", "5a", "5b", "6"), height: int = 8, kind: str = "pano"
) -> Path:
    """A panorama of each area, 2:1, of random things, its highest row black."""
    rng = np.random.default_rng(0)
    write_names(root)
    for number, area in enumerate(areas):
        frame = "equirectangular" if kind == "pano" else "0"
        stem = f"camera_{number:032x}_office_1_frame_{frame}_domain"
        folder = root / f"area_{area}" / kind
        image = rng.integers(1, 255, (height, 2 * height, 3), np.uint8)
        image[0] = 0
        write(folder / "rgb" / f"{stem}_rgb.png", image)
        names = rng.integers(0, len(NAMES), (height, 2 * height))
        write(folder / "semantic" / f"{stem}_semantic.png", colours(names))
        write(folder / "semantic_pretty" / f"{stem}_semantic_pretty.png", image)
        write(folder / "depth" / f"{stem}_depth.png", image[..., 0].astype(np.uint16))
    return root


def write_names(root: Path, names=NAMES) -> None:
    path = root / "assets" / "semantic_labels.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(names))


def write_structured(root: Path, scenes: int = 2, height: int = 8) -> Path:
    """Two rooms a scene, with more and less furniture, in three lights."""
    rng = np.random.default_rng(1)
    for scene in range(scenes):
        for room in (485142, 490854):
            folder = root / f"scene_{scene:05d}" / "2D_rendering" / str(room) / "panorama"
            for furniture in ("empty", "simple", "full"):
                for light in ("cold", "raw", "warm"):
                    image = rng.integers(0, 255, (height, 2 * height, 3), np.uint8)
                    write(folder / furniture / f"rgb_{light}light.png", image)
                labels = rng.integers(0, 41, (height, 2 * height), np.uint8)
                write(folder / furniture / "semantic.png", labels)
                write(folder / furniture / "normal.png", image)
            (folder / "camera_xyz.txt").write_text("0 0 1600")
    return root
