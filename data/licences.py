"""Licences of networks: what a name allows, and what is left of several for what comes from all.

The table says what these licences are generally taken to allow. It reads no licence's text, and no
contract; what it does not know is `unknown`, never allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

# In the order of strictness. restricted: commercial use is allowed, on conditions.
Use = Literal["permissive", "restricted", "unknown", "non-commercial"]
USES: tuple[Use, ...] = get_args(Use)

SAID = {
    "permissive": "",
    "restricted": ": commercial use on its conditions",
    "unknown": ": what it allows is not known here",
    "non-commercial": ": non-commercial use only",
}

# As the hub's cards name them: the name for people, the identifier of SPDX (Software Package Data
# Exchange) where there is one.
PERMISSIVE = {
    name.lower(): name
    for name in (
        "0BSD",
        "AFL-3.0",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC-BY-2.0",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC0-1.0",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "Unlicense",
        "Zlib",
    )
}
RESTRICTED = {
    "agpl-3.0": ("AGPL-3.0", "what is built on it is under it too"),
    "gpl-2.0": ("GPL-2.0", "what is built on it is under it too"),
    "gpl-3.0": ("GPL-3.0", "what is built on it is under it too"),
    "lgpl-3.0": ("LGPL-3.0", "changes to it are under it too"),
    "cc-by-sa-3.0": ("CC-BY-SA-3.0", "what is made from it is under it too"),
    "cc-by-sa-4.0": ("CC-BY-SA-4.0", "what is made from it is under it too"),
    "openrail": ("OpenRAIL", "some uses are excluded"),
    "openrail++": ("OpenRAIL++", "some uses are excluded"),
    "creativeml-openrail-m": ("CreativeML-OpenRAIL-M", "some uses are excluded"),
    "bigscience-openrail-m": ("BigScience-OpenRAIL-M", "some uses are excluded"),
    "sam-license": ("SAM License", "some fields of use are excluded"),
    "dinov3-license": ("DINOv3 License", "some fields of use are excluded"),
}
NON_COMMERCIAL = {
    "apple-amlr": "Apple-AMLR",
    "nvidia-source-code-license-for-segformer": "NVIDIA Source Code License for SegFormer",
}
_SAYS_SO = re.compile(r"\bnc\b|non-?commercial|research-only")  # cc-by-nc-4.0 and many more
_NOT_SHARED = re.compile(r"\bnd\b|no-?derivatives|no-?redistribution|all-rights-reserved")
KEPT = "what is made from it may not be handed on"  # the note of those
MAX_NAME = 80  # letters
_AND, _UNNAMED = " and ", "as-of-the-weights-it-was-trained-from"


@dataclass(frozen=True)
class Licence:
    """name: for people; None: nobody names one. note: what else is to be known, a clause each."""

    name: str | None
    use: Use
    notes: tuple[str, ...] = ()

    @property
    def commercial(self) -> bool:
        """Whether commercial use is known to be allowed, if only on conditions."""
        return self.use in ("permissive", "restricted")

    @property
    def forbids_sharing(self) -> bool:
        """Whether its name, or that of one it comes from, says that no derivatives be shared."""
        return KEPT in self.notes

    def __str__(self) -> str:
        """In one line, notes and all."""
        said = "not known" if self.name is None else f"{self.name}{SAID[self.use]}"
        return f"{said} ({'; '.join(self.notes)})" if self.notes else said

    def noting(self, *notes: str) -> Licence:
        """The same with further notes."""
        return replace(self, notes=tuple(dict.fromkeys([*self.notes, *notes])))


UNKNOWN = Licence(None, "unknown")


def licence_named(name: str | None) -> Licence:
    """The licence that a card or registry calls so; `unknown` in use where the table lacks it.

    >>> licence_named("apache-2.0").commercial, licence_named("cc-by-nc-4.0").commercial
    (True, False)
    """
    name = " ".join((name or "").split())[:MAX_NAME]  # a stranger's, and told in one line
    key = name.replace(" ", "-").lower()
    if key in ("", _UNNAMED):
        return UNKNOWN
    if "-and-" in key:
        return strictest(licence_named(part) for part in key.split("-and-"))
    if key in PERMISSIVE:
        return Licence(PERMISSIVE[key], "permissive")
    if key in RESTRICTED:
        known, note = RESTRICTED[key]
        return Licence(known, "restricted", (note,))
    if key in NON_COMMERCIAL:
        return Licence(NON_COMMERCIAL[key], "non-commercial")
    notes = (KEPT,) if _NOT_SHARED.search(key) else ()
    return Licence(name, "non-commercial" if _SAYS_SO.search(key) else "unknown", notes)


def strictest(licences: Iterable[Licence]) -> Licence:
    """The licence of what comes from networks under these: the strictest of them.

    Several that are equally strict are all named, in the order of the alphabet; the notes of all
    licences stay. Of none nothing is known.

    >>> str(strictest([licence_named("mit"), licence_named("apache-2.0")]))
    'Apache-2.0 and MIT'
    """
    licences = list(licences) or [UNKNOWN]
    use = max((licence.use for licence in licences), key=USES.index)
    top = [licence.name for licence in licences if licence.use == use and licence.name]
    names = {name for joined in top for name in joined.split(_AND)}
    notes = [note for licence in licences for note in licence.notes]
    return Licence(_AND.join(sorted(names)) or None, use).noting(*notes)


def on_a_card(licence: Licence) -> dict[str, str | list[str]]:
    """What a model card's front matter says of a licence, so that `licence_named` reads it back.

    >>> on_a_card(licence_named("MIT")), on_a_card(UNKNOWN)["license"]
    ({'license': 'mit'}, 'other')
    """
    name = licence.name or _UNNAMED
    if licence.use == "permissive":
        ids = name.lower().split(_AND)
        return {"license": ids[0] if len(ids) == 1 else ids}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.+]+", "-", name.lower())}
