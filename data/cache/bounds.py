"""What a cache may claim at most, as docs/CACHE_FORMAT.md has it ("Reading").

Whatever is read may be a stranger's, so every size is held against its bound before memory is taken
for it.
"""

from __future__ import annotations

from goodsam.data.plans import MAX_PIXELS, MAX_SHOWN, MAX_SPHERE, MAX_WINDOWS
from goodsam.data.strangers import MAX_GROUPS, MAX_VALUES

__all__ = [
    "FAILURES",
    "MAX_ARRAY_METADATA",
    "MAX_GROUPS",
    "MAX_INCIDENCE",
    "MAX_METADATA",
    "MAX_PANORAMAS",
    "MAX_PIXELS",
    "MAX_PROVENANCE",
    "MAX_SHOWN",
    "MAX_SPHERE",
    "MAX_TABLES",
    "MAX_VALUES",
    "MAX_WINDOWS",
    "TABLES_CHUNK",
    "check",
]

MAX_PANORAMAS = 100_000
MAX_METADATA = 2**24  # bytes of the group's zarr.json
MAX_ARRAY_METADATA = 2**16  # bytes of an array's; they have less than a thousand
MAX_PROVENANCE = 2**12  # kinds of run that worked on a cache
MAX_INCIDENCE = 2**28  # windows times the most masks times the most cells of a window
MAX_TABLES = 2**26  # bytes of a panorama's tables
TABLES_CHUNK = 2**18  # bytes; the tables of a 400 x 2048 panorama take about 0.15 MiB

# What json, numpy, numcodecs and the disk raise for content that is not what it should be.
FAILURES = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)


def check(condition: bool, what: str) -> None:
    """ValueError unless `condition`."""
    if not condition:
        raise ValueError(what)
