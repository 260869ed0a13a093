"""The licences of a run's networks: gathered, told, written down, and held to `--commercial`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from goodsam.data.errors import InputError
from goodsam.data.licences import UNKNOWN, USES, Licence, licence_named, strictest
from goodsam.stages.licences import network_licence
from goodsam.stages.sam.without import WithoutSam

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.stages.adapt.learner import AdaptConfig
    from goodsam.stages.sam.factory import GeneratorFactory

Role = Literal["SAM", "TA", "student", "model"]
MAX_NAME = 200  # letters of a SAM's name in a cache, which may be a stranger's
LISTED = "`goodsam teachers` lists networks with their licences"


@dataclass(frozen=True)
class LicensedNetwork:
    """A network and what part it plays. name: as it was asked for; None: nobody says which."""

    role: Role
    name: str | None
    licence: Licence

    def __str__(self) -> str:
        return " ".join(f"{self.role} {self.name or 'unnamed'}: {self.licence}".split())

    def to_json(self) -> dict[str, Any]:
        """As it stands in a run's `origin.json`."""
        return {
            "role": self.role,
            "name": self.name,
            "licence": self.licence.name,
            "use": self.licence.use,
            "notes": list(self.licence.notes),
        }

    @classmethod
    def from_json(cls, values: Any) -> LicensedNetwork:
        """ValueError, KeyError or TypeError for what `to_json` does not give."""
        role, name, named, use = (values[key] for key in ("role", "name", "licence", "use"))
        notes = tuple(values["notes"])
        if role not in get_args(Role) or use not in USES:
            raise ValueError(f"a network in the part of {role!r}, of use {use!r}")
        if not all(isinstance(text, str | None) for text in (name, named, *notes)):
            raise TypeError("the network's name, licence or notes are no text")
        return cls(role, name, Licence(named, use, notes))


def networks_of(config: AdaptConfig, cache: SamCache) -> list[LicensedNetwork]:
    """The SAMs that made a cache, TA and student, each with its licence."""
    return [*sams_of(cache), *learners_of(config)]


def learners_of(config: AdaptConfig) -> list[LicensedNetwork]:
    """TA and student that a run begins with."""
    named: list[tuple[Role, str]] = [("TA", config.teacher_assistant), ("student", config.student)]
    return [LicensedNetwork(role, name, network_licence(name)) for role, name in named]


def sams_of(cache: SamCache) -> list[LicensedNetwork]:
    """The SAMs that a cache says made it; one by its hash where it says nothing; of no masks none.

    A cache says it in its provenance, which came along when it was packed, copied or merged.
    """
    if cache.identity.settings == WithoutSam().settings:
        return []
    said = [entry for entry in cache.provenance if "sam" in entry]
    made_by = {str(entry["sam"])[:MAX_NAME]: _said(entry.get("licence")) for entry in said}
    if made_by:
        return [LicensedNetwork("SAM", sam, licence) for sam, licence in made_by.items()]
    from goodsam.stages.sam.registry import known_sam, sam_of_hash  # segment-anything: a second

    sam = sam_of_hash(cache.identity.sam)
    if sam is None:
        return [LicensedNetwork("SAM", None, UNKNOWN)]
    return [LicensedNetwork("SAM", sam, licence_named(known_sam(sam).licence))]


def sam_of(factory: GeneratorFactory) -> list[LicensedNetwork]:
    """The SAM that stage 1 is about to use; none where there are to be no masks."""
    if isinstance(factory, WithoutSam):
        return []
    made_by = factory.provenance
    return [LicensedNetwork("SAM", made_by["sam"], _said(made_by["licence"]))]


def _said(name: Any) -> Licence:
    return licence_named(name if isinstance(name, str) else None)


def refuse_unless_commercial(
    networks: Iterable[LicensedNetwork], asked: str = "--commercial"
) -> None:
    """InputError for networks that forbid commercial use, or whose licence is not known."""
    refused = [network for network in networks if not network.licence.commercial]
    if refused:
        raise InputError(f"{asked}: {'; '.join(f'{n}: {_remedy(n)}' for n in refused)}; {LISTED}")


def _remedy(network: LicensedNetwork) -> str:
    if network.licence.use == "non-commercial":
        return "take another"
    if network.role == "SAM" and network.name is None:
        return "make the cache again, so that it says which SAM made it"
    if network.name is not None and Path(network.name).is_dir():
        return "look its licence up, and write it into the front matter of its README.md"
    return "take one whose card names a licence that allows it"


def told(networks: Sequence[LicensedNetwork]) -> list[str]:
    """What is said before training: a line for each network, and one for what comes out."""
    licence = strictest(network.licence for network in networks)
    return [*map(str, networks), f"what is trained from them is under: {licence}"]
