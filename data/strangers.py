"""JSON that a stranger may have made, read within bounds of memory and time.

What the parser makes of a text takes up to a hundred times its size, most of it for lists and
objects. So these are counted before anything is made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goodsam.data.files import regular

MAX_TEXT = 2**24  # bytes
MAX_GROUPS = 2**18  # lists and objects of one text
MAX_VALUES = 2**20  # values of one text

# A string, or the rest of a text that ends within one: each byte is looked at once.
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


def parse_json(content: bytes, groups: int = MAX_GROUPS, values: int = MAX_VALUES) -> Any:
    """As `json.loads`; ValueError for whatever is wrong with the text.

    groups, values: the most lists and objects, and the most values, that it may have.
    """
    bare = _STRING.sub(b"", content)
    found = bare.count(b"[") + bare.count(b"{")
    if found > groups:
        raise ValueError(f"JSON of {found} lists and objects, the most is {groups}")
    found = bare.count(b",") + 1
    if found > values:
        raise ValueError(f"JSON of {found} values, the most is {values}")
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


def read_bounded(path: Path, limit: int = MAX_TEXT) -> bytes:
    """A file's bytes. InputError for what is no regular file, ValueError for more than `limit`."""
    with regular(path).open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"more than {limit} bytes")
    return content


def check_types(values: Mapping[str, Any], types: Mapping[str, type]) -> None:
    """TypeError or KeyError unless each named value is there and of exactly its type."""
    for name, kind in types.items():
        if type(values[name]) is not kind:
            raise TypeError(f"{name} is {values[name]!r}, no {kind.__name__}")
