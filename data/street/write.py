"""The street world on disk, in the layouts of Cityscapes, WildPASS2K and DensePASS."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from goodsam.data.alone import alone
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.ranges import COUNT_OR_NONE, SEED, SHARE, Range, check_range
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.street.mark import mark_of
from goodsam.data.street.picture import DEFAULT_GAP, Picture, panorama, pinhole, sphere
from goodsam.data.street.seeds import split_seed
from goodsam.data.street.tilt import tilted
from goodsam.data.windows import panorama_width

CITIES = ("Lindenau", "Marovia", "Portsel", "Quessant", "Tarnholm")  # made up
VAL_SHARE = 10  # one in so many source pictures is for validation
Split = Literal["unlabelled", "test"]  # of the panoramas
_HEIGHT = Range(8, 8192)  # px
_TILT = Range(0, 90)  # degrees
_WORTH_A_PROCESS = 16  # pictures: what rendering side by side must save to pay for its start


def write_world(
    out: Path,
    *,
    source: int,
    unlabelled: int,
    test: int,
    seed: int,
    height: int = 200,
    gap: float = DEFAULT_GAP,
    labelled: Literal["test", "tuning"] = "test",
    truth: bool = False,
    whole: bool = False,
    tilt: float = 0.0,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write `source` labelled pinhole images, `unlabelled` and `test` panoramas under `out`.

    - out/source, as Cityscapes: leftImg8bit/{train,val}/street/*_leftImg8bit.png,
      gtFine/{train,val}/street/*_gtFine_labelTrainIds.png and *_gtFine_instanceIds.png (16 bit);
      a tenth, at least one, is val;
    - out/unlabelled, as WildPASS2K: leftImg8bit/CITY/N.png;
    - out/test, as DensePASS: leftImg8bit/val/N_.png, gtFine/val/N_labelTrainIds.png.

    labelled: the scenes of out/test; those of `tuning` are for choosing settings. truth: of each
    panorama also the true labels and instances (16 bit, 0: none), at `truth_path`: apart from the
    data sets, which no method may look into.

    Panoramas are `height` x `panorama_width(height)`, pinhole images `height` x 1.28 `height`.
    whole: panoramas are whole spheres of the same scenes, as wide and half as high as wide; tilt:
    by how many degrees their cameras lean, each to a side of its own. Both are marked in the files.
    Files that are there are kept, each is written aside and renamed, and a picture's image comes
    last: an interrupted run goes on where it stopped. Raises InputError where the files of a world
    of another seed, height, gap, split, view or tilt lie, which out/world.json tells, while another
    process writes there, and for a tilt of what is no sphere.

    `processes` render side by side (None: one a core). `progress(done, total)` is called after each
    picture.
    """
    for name, count in (("source", source), ("unlabelled", unlabelled), ("test", test)):
        check_range(name, count, COUNT_OR_NONE)
    check_range("seed", seed, SEED)
    check_range("height", height, _HEIGHT)
    check_range("gap", gap, SHARE)
    check_range("tilt", tilt, _TILT)
    if tilt and not whole:
        raise InputError(f"tilt {tilt:g}: only whole spheres are tilted; pass --sphere too")
    check_folder(out)
    view = partial(partial(_sphere, tilt=tilt) if whole else _band, height=height, gap=gap)
    jobs = [
        *_source_jobs(out / "source", source, seed, height),
        *_unlabelled_jobs(out / "unlabelled", unlabelled, seed, view),
        *_test_jobs(out / "test", test, seed, view, labelled),
    ]
    if truth:
        jobs = [(_truth_files(out, files) + files, render) for files, render in jobs]
    missing = [job for job in jobs if not all(path.exists() for _, path in job[0])]
    done = [job for job in jobs if all(path.exists() for _, path in job[0])]
    settings: dict[str, Any] = {"seed": seed, "height": height, "gap": gap, "labelled": labelled}
    if whole:  # what a band's file says stays as it was
        settings |= {"view": "sphere", "tilt": float(tilt)}
    kept = len(done)
    processes = min(processes or os.cpu_count() or 1, len(missing) // _WORTH_A_PROCESS)
    with alone(out):
        _claim(out, settings, done)
        if processes > 1:
            with ProcessPoolExecutor(processes) as pool:
                written: Iterator[None] = pool.map(_write, missing, chunksize=4)
                _count(written, kept, len(jobs), progress)
        else:
            _count(map(_write, missing), kept, len(jobs), progress)


Files = list[tuple[str, Path]]  # what of a picture, and where it goes; its image comes last
Job = tuple[Files, Callable[[], Picture]]


def _band(scene: int, height: int, gap: float) -> Picture:
    return panorama(scene, height, panorama_width(height), gap)


def _sphere(scene: int, height: int, gap: float, tilt: float) -> Picture:
    """As fine as the band that is `height` high."""
    return tilted(sphere(scene, panorama_width(height) // 2, gap), tilt, scene)


def truth_path(world: Path, what: Literal["labels", "instances"], split: Split, name: str) -> Path:
    """Where the truth of the panorama `name` (its path below `split`) is, if it was written."""
    return world / "truth" / what / split / name


def _truth_files(out: Path, files: Files) -> Files:
    split, *below = files[-1][1].relative_to(out).parts
    if split == "source":  # has its own
        return []
    return [(w, out.joinpath("truth", w, split, *below)) for w in ("labels", "instances")]


def _claim(out: Path, settings: dict[str, Any], done: list[Job]) -> None:
    """Make `out` the folder of this world. InputError if it is that of another one."""
    path = out / "world.json"
    if path.exists():
        try:
            kept = parse_json(read_bounded(path))
            keys = {**settings, **kept}
            differing = [key for key in keys if kept.get(key) != settings.get(key)]
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); remove it") from error
        if differing:
            raise InputError(
                f"{out}: holds a world of other settings ({', '.join(differing)}); give another "
                "folder, or remove it"
            )
        return
    if done:  # written before worlds said what they are: one of its pictures tells
        files, render = done[0]
        with Image.open(files[-1][1]) as image:
            same = np.array_equal(np.asarray(image), render().image)
        if not same:
            raise InputError(f"{out}: holds another world; give another folder, or remove it")
    write_whole(path, json.dumps(settings) + "\n")


def _write(job: Job) -> None:
    files, render = job
    picture = render()
    for what, path in files:
        _save(path, getattr(picture, what), mark_of(picture.tilt))


def _count(
    written: Iterator[None], done: int, total: int, progress: Callable[[int, int], None] | None
) -> None:
    for _ in written:
        done += 1
        if progress is not None:
            progress(done, total)


def _source_jobs(out: Path, count: int, seed: int, height: int) -> Iterator[Job]:
    val = max(1, count // VAL_SHARE) if count else 0
    for index in range(count):
        part = "val" if index >= count - val else "train"
        name = f"street_{index:06d}_000000"
        labels = out / "gtFine" / part / "street"
        files = [
            ("labels", labels / f"{name}_gtFine_labelTrainIds.png"),
            ("instances", labels / f"{name}_gtFine_instanceIds.png"),
            ("image", out / "leftImg8bit" / part / "street" / f"{name}_leftImg8bit.png"),
        ]
        scene = split_seed("source", index, seed)
        yield files, partial(pinhole, scene, height, height * 256 // 200)


def _unlabelled_jobs(
    out: Path, count: int, seed: int, view: Callable[[int], Picture]
) -> Iterator[Job]:
    for index in range(count):
        city, number = CITIES[index % len(CITIES)], index // len(CITIES)
        files = [("image", out / "leftImg8bit" / city / f"{number}.png")]
        scene = split_seed("unlabelled", index, seed)
        yield files, partial(view, scene)


def _test_jobs(
    out: Path,
    count: int,
    seed: int,
    view: Callable[[int], Picture],
    split: Literal["test", "tuning"],
) -> Iterator[Job]:
    for index in range(count):
        files = [
            ("labels", out / "gtFine" / "val" / f"{index}_labelTrainIds.png"),
            ("image", out / "leftImg8bit" / "val" / f"{index}_.png"),
        ]
        scene = split_seed(split, index, seed)
        yield files, partial(view, scene)


def _save(path: Path, pixels: np.ndarray, mark: dict[str, str]) -> None:
    chunks = PngInfo()
    for key, value in mark.items():
        chunks.add_text(key, value)
    with written_aside(path) as aside:
        Image.fromarray(pixels).save(aside, format="PNG", pnginfo=chunks)
