"""The `zarr.json` files of a cache: what it says of itself, and of its three arrays.

`zarr` is asked only what metadata to write: what is found must be equal to that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import google_crc32c
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from goodsam.data.cache.bounds import (
    MAX_METADATA,
    MAX_PANORAMAS,
    MAX_PROVENANCE,
    MAX_TABLES,
    TABLES_CHUNK,
    check,
)
from goodsam.data.cache.format import ZSTD_LEVEL, IndexRow
from goodsam.data.cache.identity import FORMAT_VERSIONS, Identity
from goodsam.data.errors import InputError
from goodsam.data.sphere import WindowPlan
from goodsam.data.strangers import parse_json

FORMAT = "goodsam-sam-cache"
_CODECS = (ZstdCodec(level=ZSTD_LEVEL), Crc32cCodec())


@dataclass(frozen=True)
class Attributes:
    """All that a cache says of itself.

    images: name -> SHA-256 of the file's bytes; a panorama's number is its place here.
    provenance: what worked on the cache, one entry for each kind of run.
    """

    identity: Identity
    images: dict[str, str]
    provenance: list[dict[str, Any]]

    def to_bytes(self) -> bytes:
        """The group's `zarr.json`, which `from_bytes` reads.

        Raises InputError for images and provenance that no cache holds.
        """
        check_images(self.images)
        attributes: dict[str, Any] = {
            "format": FORMAT,
            "identity": self.identity.to_json(),
            "images": list(self.images.items()),
            "provenance": self.provenance,
        }
        attributes["crc32c"] = json_crc32c(attributes)
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        content = json.dumps(group).encode()
        if len(content) > MAX_METADATA or len(self.provenance) > MAX_PROVENANCE:
            raise InputError(
                f"{len(self.images)} images with their names and {len(self.provenance)} kinds of "
                f"run are more than a cache holds ({MAX_METADATA} bytes, and {MAX_PROVENANCE} "
                "kinds): make several caches"
            )
        try:
            Attributes.from_bytes(content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"no cache holds this of itself ({error})") from error
        return content

    @classmethod
    def from_bytes(cls, content: bytes) -> Attributes:
        """The reverse of `to_bytes`.

        Raises InputError or one of FAILURES for anything that is no cache's.
        """
        group = parse_json(content)
        attributes = dict(group.pop("attributes"))
        check(attributes.get("format") == FORMAT, f"format is {attributes.get('format')!r}")
        version = attributes["identity"]["format_version"]
        if version not in (known := sorted({*FORMAT_VERSIONS.values()})):
            raise InputError(
                f"a cache of format version {version!r}, this goodsam reads "
                f"{' and '.join(map(str, known))}; use the goodsam that made it"
            )
        group.setdefault("consolidated_metadata", None)
        expected = {"zarr_format": 3, "node_type": "group", "consolidated_metadata": None}
        check(group == expected, "the group's metadata")
        stated = attributes.pop("crc32c")
        check(stated == json_crc32c(attributes), "the attributes do not have their checksum")
        check(attributes.keys() == {"format", "identity", "images", "provenance"}, "the attributes")
        images = _image_table(attributes["images"])
        provenance = list(attributes["provenance"])
        check(len(provenance) <= MAX_PROVENANCE, f"provenance of {len(provenance)} entries")
        check(all(isinstance(entry, dict) for entry in provenance), "provenance")
        return cls(Identity.from_json(attributes["identity"]), images, provenance)


def json_crc32c(value: Any) -> int:
    """The checksum of attributes: CRC-32C of their JSON with sorted keys and no blanks."""
    return google_crc32c.value(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())


def check_images(names: Collection[str]) -> None:
    """InputError for images that no cache can hold: too many, or of names that it cannot have."""
    if len(names) > MAX_PANORAMAS:
        raise InputError(
            f"{len(names)} images are more than a cache holds ({MAX_PANORAMAS}): make several "
            "caches"
        )
    wrong = [name for name in names if not _storable(name)]
    if wrong:
        raise InputError(
            f"{wrong[0]!r}: a cache holds no image of such a name ({len(wrong)} of {len(names)} "
            "have one); rename it, without a backslash"
        )


def _storable(name: str) -> bool:
    """Whether a name is a plain path below the images' folder, the same on every system."""
    path = PurePosixPath(name)
    inside = not path.is_absolute() and ".." not in path.parts and "\\" not in name
    return inside and name == str(path) != "." and "\0" not in name


def _image_table(table: list[tuple[str, str]]) -> dict[str, str]:
    """The images by name; ValueError for names that leave the folder, or are there twice."""
    check(len(table) <= MAX_PANORAMAS, f"{len(table)} images")
    images: dict[str, str] = {}
    for name, sha256 in table:
        check(_storable(name) and name not in images, f"the image name {name!r}")
        check(re.fullmatch("[0-9a-f]{64}", sha256) is not None, f"the hash of {name!r}")
        images[name] = sha256
    return images


def array_metadata(windows: WindowPlan) -> dict[str, bytes]:
    """The `zarr.json` of each array of a cache, by the array's name.

    Rows and tables are as many and as wide as they may become: chunks that are not written take no
    room, and nothing is rewritten when images are added.
    """
    return _array_metadata((len(windows), *windows.window_shape))


@lru_cache(maxsize=4)
def _array_metadata(cells: tuple[int, int, int]) -> dict[str, bytes]:
    row = len(IndexRow._fields)
    made = {}
    for name, shape, chunk, dtype in (
        ("cells", cells, cells, "uint16"),
        ("tables", (MAX_TABLES,), (TABLES_CHUNK,), "uint8"),
        ("index", (row,), (row,), "uint32"),
    ):
        store: dict[str, Any] = {}
        zarr.create_array(
            store,
            shape=(MAX_PANORAMAS, *shape),
            chunks=(1, *chunk),
            dtype=dtype,
            fill_value=0,
            compressors=_CODECS,
            chunk_key_encoding={"name": "default", "separator": "."},
            zarr_format=3,
        )
        made[name] = store["zarr.json"].to_bytes()
    return made


def check_array_metadata(found: bytes | None, expected: bytes, name: str) -> None:
    """ValueError unless an array's `zarr.json` says what the format says."""
    check(found is not None, f"the array {name} is missing")
    assert found is not None
    check(
        _without_empty(parse_json(found)) == _without_empty(parse_json(expected)), f"array {name}"
    )


def _without_empty(metadata: dict[str, Any]) -> dict[str, Any]:
    """Writers differ in whether they name what is not there."""
    optional = ("attributes", "storage_transformers", "dimension_names")
    return {key: value for key, value in metadata.items() if value or key not in optional}
