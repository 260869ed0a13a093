"""The settings of a whole run that suit this machine and these photographs, each with its reason.

What the user gives is used unchanged. SAM is the expensive part: a GPU gets the paper's, a CPU what
is cheaper and loses nothing that could be measured (docs/results.md, "The choices of stage 1").
TA: the teacher assistant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from goodsam.data.class_map import Groups
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.panoramas import Sample, image_size
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.data.street.mark import is_street_world
from goodsam.data.windows import PAPER_HEIGHT, is_band
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.whole.machine import Machine
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.sam.cache_sam import SPHERE_HEIGHT, all_spheres, sphere_height
from goodsam.stages.sam.load import DOWNLOADS
from goodsam.stages.sam.registry import SAMS, Download, Hub
from goodsam.stages.sam.without import NO_SAM

PAPERS, STREET = "vit_h", "street"
WANT_TIMM = ("edgetam", "mobile_sam")  # their image encoders
GATED = ("sam3",)
STREET_HEIGHT = 200  # px: what the demo's networks have learnt to see

# Without masks: the TA's labels as they are, and no boundaries of SAM to move to.
WITHOUT_MASKS = (
    "step.fusion.rule=none",
    "step.weights.teacher_boundary=0",
    "step.weights.student_boundary=0",
)

# How each is chosen otherwise
SWITCHES = {
    "sam": "--sam NAME, --no-sam",
    "plan": "--plan band|vertical|tangent",
    "boundaries": "--boundaries overlap|windows",
    "points": "--points grid|adaptive",
    "fit": "--fit, --no-fit",
    "height": "--height PX",
    "preset": "--preset NAME",
    "classes": "--classes MAP.yaml",
    "settings": "--set KEY=VALUE",
}


@dataclass(frozen=True)
class Recipe:
    """What a whole run does. Values as for `cache_sam` and `train`; sam `none`: no masks.

    classes: the wanted classes, and of which of the TA's each is made; None: the TA's as they are.
    settings: of stage 2, over those of the preset; later ones count. reasons: why a value was
    chosen, by its name, or `yours`. given: what the user chose.
    """

    sam: str
    boundaries: str
    points: str
    fit: bool
    height: int | None
    preset: str
    plan: str = "band"  # as in recipes that were kept before there were others
    checkpoint: str | None = None
    teacher_assistant: str | None = None
    student: str | None = None
    classes: Groups | None = None
    device: str = "auto"
    settings: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> AdaptConfig:
        """All settings of stage 2. InputError for one that is wrong."""
        return adapt_config(
            self.preset,
            self.settings,
            teacher_assistant=self.teacher_assistant,
            student=self.student,
            classes=self.classes,
            device=self.device,
        )

    @property
    def stage1(self) -> dict[str, Any]:
        """The arguments of `cache_sam`."""
        arguments: dict[str, Any] = {
            "sam": self.sam,
            "plan": self.plan,
            "fit": self.fit,
            "height": self.height,
        }
        if self.sam == NO_SAM:
            return {**arguments, "boundaries": "windows"}
        return {
            **arguments,
            "checkpoint": self.checkpoint,
            "boundaries": self.boundaries,
            "points": self.points,
        }

    @property
    def masks(self) -> str:
        """The name of the cache: other masks, another cache."""
        words = [self.sam.strip("/").replace("/", "--")]
        words += [] if self.sam == NO_SAM else [self.boundaries, self.points]
        how = "fit" if self.plan == "band" else self.plan
        words += [f"{how}{self.height}"] if self.fit else []
        return f"masks-{'-'.join(words)}.zarr"

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(what, its value, the reason, the switch) of each choice, for people."""
        values = {
            **asdict(self),
            "classes": ", ".join(self.classes or ()),
            "settings": " ".join(self.settings),
        }
        shown = {True: "yes", False: "no"}
        return [
            (name, str(shown.get(values[name], values[name])), why, SWITCHES[name])
            for name, why in self.reasons.items()
        ]

    def to_json(self) -> dict[str, Any]:
        return json.loads(json.dumps(asdict(self)))

    def write(self, path: Path) -> None:
        """As JSON, for `read_recipe`."""
        write_whole(path, json.dumps(self.to_json(), indent=1))


def read_recipe(path: Path) -> Recipe | None:
    """What `Recipe.write` wrote; None where nothing is. InputError for a file that is torn."""
    if not path.is_file():
        return None
    try:
        values = parse_json(read_bounded(path))
        given = values["given"]
        if "settings" in given:
            given["settings"] = tuple(given["settings"])
        return Recipe(**{**values, "settings": tuple(values["settings"]), "given": given})
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it") from error


def choose(samples: Sequence[Sample], machine: Machine, given: Mapping[str, Any]) -> Recipe:
    """The recipe for these panoramas on this machine.

    given: what the user has chosen, fields of `Recipe`. Raises InputError for settings that are
    wrong, and for a SAM that is not known.
    """
    reasons: dict[str, str] = {}
    values: dict[str, Any] = dict(given)

    def take(name: str, value: Any, why: str) -> None:
        reasons[name] = "yours" if name in given else why
        values.setdefault(name, value)

    street = all(is_street_world(sample.image) for sample in samples)
    take("sam", *_sam(machine, street))
    take("plan", *_plan(samples, given))
    plan = values["plan"]
    slow = "without a GPU SAM is the expensive part"
    if values["sam"] == NO_SAM:
        reasons["sam"] = (
            "yours: plain self-training on the TA's own labels; on the street world that is about "
            "as good as with the demo SAM, and a perfect one is worth a point or two more"
        )
        values |= {"boundaries": "windows", "points": "grid"}
    elif plan == "tangent":
        take("boundaries", "windows", "tangent windows have no others")
    elif machine.gpu:
        take("boundaries", "overlap", "the paper's: SAM on each overlap")
    else:
        take("boundaries", "windows", f"{slow}: half of its work, and nothing lost in our tables")
    if values["sam"] != NO_SAM and machine.gpu:
        take("points", "grid", "the paper's: all of SAM's prompts")
    elif values["sam"] != NO_SAM:
        take("points", "adaptive", f"{slow}: half of its time, and nothing lost in our tables")
    if plan != "band":
        if given.get("fit") is False:
            raise InputError(f"--no-fit: {plan} windows are of spheres of one size; leave it out")
        values["fit"] = True  # levelled and resized, and nothing is cut
        take("height", *_sphere_height(samples))
    else:
        take("fit", *((True, "asked by --height") if "height" in given else _fit(samples)))
        if values["fit"]:
            toy = values["sam"] == STREET
            height = STREET_HEIGHT if toy else PAPER_HEIGHT
            take("height", height, "what the demo's networks have seen" if toy else "the paper's")
    values.setdefault("height", None)
    take(
        "preset",
        "street-robust" if street else "robust-m",
        "the demo's networks: these are pictures of the street world"
        if street
        else "for your own photographs: the recipe that forgets rare classes least",
    )
    if "classes" in given:
        reasons["classes"] = "yours"
    settings, why = _settings(values, machine, len(samples))
    if settings:
        reasons["settings"] = why
    values["settings"] = settings
    return Recipe(**values, reasons=reasons, given=dict(given))


def _sam(machine: Machine, street: bool) -> tuple[str, str]:
    """The SAM to take, and why."""
    if street:
        return STREET, "pictures of the street world, which this small SAM has learnt from"
    if machine.gpu:
        return PAPERS, "the paper's, on a GPU"
    usable = [name for name in SAMS if name != STREET and (find_spec("timm") or not _timm(name))]
    there = [name for name in usable if is_here(name)]
    name = min(there or [n for n in usable if n not in GATED], key=_size)
    where = "that is on this machine" if there else "there is; it is downloaded once"
    return name, f"no GPU, so the smallest SAM {where} ({_size(name):.0f} M parameters)"


def _timm(name: str) -> bool:
    return name in WANT_TIMM


def _size(name: str) -> float:
    return SAMS[name].parameters or float("inf")


def is_here(name: str) -> bool:
    """Whether the weights of a SAM of the registry need not be downloaded."""
    from huggingface_hub import try_to_load_from_cache

    match SAMS[name].weights:
        case Download(url):
            return (DOWNLOADS / url.rpartition("/")[2]).is_file()
        case Hub(hub):
            files = ("config.json", "model.safetensors")
            return all(isinstance(try_to_load_from_cache(hub, file), str) for file in files)
    return True


def _plan(samples: Sequence[Sample], given: Mapping[str, Any]) -> tuple[str, str]:
    """By which windows the photographs are seen, and why."""
    asked = [name for name in ("fit", "height") if name in given]
    if asked:
        return "band", f"the paper's, as --{asked[0]} is given"
    if all_spheres([image_size(sample.image) for sample in samples]):
        return "tangent", "all are 2:1: labelled from pole to pole; --fit for the paper's band"
    return "band", "the paper's: not all photographs are whole spheres"


def _sphere_height(samples: Sequence[Sample]) -> tuple[int, str]:
    """The height of whole spheres, and why."""
    height = sphere_height([image_size(sample.image) for sample in samples])
    return height, f"that of the photographs, or {SPHERE_HEIGHT} where they are larger or differ"


def _fit(samples: Iterable[Sample]) -> tuple[bool, str]:
    """Whether photographs are cut to the band and resized, and why."""
    sizes = {image_size(sample.image) for sample in samples}
    if len(sizes) > 1:
        return True, f"photographs of {len(sizes)} sizes are cut to the 70.3° band and resized"
    height, width = next(iter(sizes))
    if is_band(height, width):
        return False, f"all are 360° x 70.3° already, {width} x {height}"
    return True, f"the 70.3° band is cut from the photographs of {width} x {height}"


def _settings(
    values: Mapping[str, Any], machine: Machine, panoramas: int
) -> tuple[tuple[str, ...], str]:
    """The settings of stage 2, the user's last, and why there are others."""
    own: tuple[str, ...] = tuple(values.get("settings", ()))
    chosen: list[str] = []
    why: list[str] = []
    if values["sam"] == NO_SAM:
        chosen += WITHOUT_MASKS
        why.append("there are no masks")
    if not machine.gpu:
        chosen.append("workers=0")
        why.append("a process that reads ahead would take a core from the training")
    named = {name: values.get(name) for name in ("teacher_assistant", "student", "classes")}
    config = adapt_config(values["preset"], (*chosen, *own), **named)
    tenth = max(1, config.length(panoramas) // 10)
    if config.warmup > tenth and not any(text.startswith("warmup=") for text in own):
        chosen.append(f"warmup={tenth}")
        why.append(
            f"the preset's warm-up of {config.warmup} steps is long for the "
            f"{config.length(panoramas)} steps of {panoramas} panoramas"
        )
    return (*chosen, *own), "; ".join(why) or "yours"
