"""Class maps: which of a teacher assistant's classes are wanted, and as what.

TA: the teacher assistant. A map has a line for each wanted class, with the TA's classes that it is
made of:

    road: [road, path]      # merged
    vegetation: tree        # renamed
    sky: sky                # as it is

A class of the TA that no line names is ignored: pixels that are most probably of such classes have
no label, and nothing is learned from them.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from goodsam.data.classes import CITYSCAPES, IGNORE, LEFT_OUT, Protocol
from goodsam.data.errors import InputError

Groups = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class ClassMap:
    """groups: the TA's classes that each wanted class is made of. of: all classes of the TA."""

    groups: Mapping[str, tuple[str, ...]]
    of: tuple[str, ...]

    @classmethod
    def parse(cls, groups: Any, of: Sequence[str], what: str) -> ClassMap:
        """From a mapping as it is in a file. what: names whose classes they are, in messages.

        Raises InputError for a map that names no class, an unknown one or the same one twice.
        """
        if not isinstance(groups, Mapping) or not groups:
            raise InputError("a class map names no class; write lines like  road: [road, path]")
        found = {}
        for name, members in groups.items():
            listed = [members] if isinstance(members, str) else members
            if not isinstance(name, str) or not name.strip():
                raise InputError(f"class map: {name!r} is no name; put it in quotation marks")
            if not isinstance(listed, list | tuple) or not listed:
                raise InputError(f"class map: {name!r} names no class of {what}")
            for member in listed:
                if member not in of:
                    near = difflib.get_close_matches(str(member), of, n=1)
                    hint = f"; did you mean {near[0]!r}?" if near else ""
                    raise InputError(
                        f"class map: {name!r} names {member!r}, which {what} does not have{hint}"
                    )
            found[name] = tuple(listed)
        counts = Counter(member for members in found.values() for member in members)
        if twice := [member for member, count in counts.items() if count > 1]:
            raise InputError(f"class map: names {twice[0]!r} twice; a class can be in one place")
        return cls(found, tuple(of))

    @property
    def names(self) -> tuple[str, ...]:
        """The wanted classes, in the order of their ids."""
        return tuple(self.groups)

    @property
    def table(self) -> np.ndarray:
        """int64 (len(of),): the wanted class of each class of the TA; len(names) for ignored."""
        wanted = {m: i for i, members in enumerate(self.groups.values()) for m in members}
        return np.array([wanted.get(name, len(self.groups)) for name in self.of])

    @property
    def ignored(self) -> tuple[str, ...]:
        """The classes of the TA that no line names."""
        named = {member for members in self.groups.values() for member in members}
        return tuple(name for name in self.of if name not in named)

    def after(self, first: ClassMap) -> ClassMap:
        """One map for both, of which this one takes the classes that `first` gives."""
        groups = {
            name: tuple(inner for member in members for inner in first.groups[member])
            for name, members in self.groups.items()
        }
        return ClassMap(groups, first.of)

    def protocol(self) -> Protocol:
        """To score by: predictions in the wanted classes' ids, truth in those of the TA."""
        lookup = np.full(256, IGNORE, np.uint8)
        lookup[: len(self.groups)] = np.arange(len(self.groups))
        truth = np.full(256, IGNORE, np.uint8)
        ids = min(len(self.of), IGNORE)
        table = self.table[:ids]
        truth[:ids] = np.where(table < len(self.groups), table, LEFT_OUT)
        truth[IGNORE] = LEFT_OUT
        return Protocol(
            "classes",
            self.names,
            lookup,
            ids=len(self.groups),
            label_lookup=truth,
            note=f"{len(self.names)} classes, made of {len(self.of)} by a class map ({self})",
            of_cityscapes=self.of == CITYSCAPES,
        )

    def __str__(self) -> str:
        lines = [f"{name}: {' + '.join(members)}" for name, members in self.groups.items()]
        ignored = len(self.ignored)
        return "; ".join([*lines, *([f"{ignored} ignored"] if ignored else [])])

    def to_json(self) -> dict[str, Any]:
        """As it stands in a network's `config.json`: in pairs, as transformers sorts its keys."""
        groups = [[name, list(members)] for name, members in self.groups.items()]
        return {"groups": groups, "of": list(self.of)}

    @classmethod
    def from_json(cls, values: Any) -> ClassMap:
        """What `to_json` gave. InputError for anything else."""
        try:
            of = [str(name) for name in values["of"]]
            groups = {name: members for name, members in values["groups"]}
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"its class map cannot be read ({error})") from error
        return cls.parse(groups, of, "the model")
