"""A cache that has been opened: where it lies, what it says of itself, which records it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from goodsam.data.cache.address import Address
from goodsam.data.cache.bounds import FAILURES, MAX_ARRAY_METADATA, MAX_METADATA
from goodsam.data.cache.format import INDEX_LIMIT, IndexRow, index_key
from goodsam.data.cache.metadata import Attributes, array_metadata, check_array_metadata
from goodsam.data.cache.places import Folder, Zip, place_of
from goodsam.data.errors import InputError


@dataclass(frozen=True)
class Opened:
    """An opened cache, checked.

    numbers: of the panoramas, by name. known: rows of records that were found to be done.
    """

    path: Path | str
    place: Folder | Zip | Address
    attributes: Attributes
    numbers: dict[str, int]
    known: dict[str, IndexRow] = field(default_factory=dict)

    @classmethod
    def at(cls, path: Path | str) -> Opened:
        """Opens a cache that may be a stranger's; nothing is read but its metadata.

        Raises InputError when there is none, or it is not what it claims.
        """
        place = place_of(path)
        try:
            content = place.read("zarr.json", MAX_METADATA)
            if content is None:
                raise InputError(f"{path}: no SAM cache here; make one with cache-sam")
            attributes = Attributes.from_bytes(content)
            for name, metadata in array_metadata(attributes.identity.windows).items():
                found = place.read(f"{name}/zarr.json", MAX_ARRAY_METADATA)
                check_array_metadata(found, metadata, name)
        except FAILURES as error:
            if isinstance(error, InputError) and str(path) in str(error):
                raise
            raise InputError(f"{path}: no SAM cache that can be read: {error}") from error
        numbers = {name: number for number, name in enumerate(attributes.images)}
        return cls(path, place, attributes, numbers)

    def number(self, name: str) -> int:
        """Of a panorama. InputError for one that the cache does not have."""
        try:
            return self.numbers[name]
        except KeyError:
            raise InputError(
                f"{self.path}: has no image {name}; run cache-sam on these images"
            ) from None

    def row(self, name: str) -> IndexRow:
        """A panorama's row of the index. InputError if it is damaged."""
        if name not in self.known:
            key = index_key(self.number(name))
            try:
                row = IndexRow.from_bytes(self.place.read(key, INDEX_LIMIT))
            except FAILURES as error:
                raise self.damaged(name, error) from error
            if not row.done:
                return row  # another process may write it yet
            self.known[name] = row
        return self.known[name]

    def rows(self) -> dict[str, IndexRow | Exception]:
        """The row of each panorama, or why it cannot be read; asked for together."""
        keys = [index_key(number) for number in range(len(self.numbers))]
        found: dict[str, IndexRow | Exception] = {}
        for name, content in zip(self.numbers, self._read_each(keys), strict=True):
            try:
                if isinstance(content, Exception):
                    raise content
                found[name] = IndexRow.from_bytes(content)
            except FAILURES as error:
                found[name] = error
        self.known.update(
            {name: row for name, row in found.items() if isinstance(row, IndexRow) and row.done}
        )
        return found

    def _read_each(self, keys: Sequence[str]) -> Sequence[bytes | Exception | None]:
        def one(key: str) -> bytes | Exception | None:
            try:
                return self.place.read(key, INDEX_LIMIT)
            except FAILURES as error:
                return error

        return self.place.each(one, keys)

    def forget(self, name: str) -> None:
        """What was known of a record: the next to ask reads its row anew."""
        self.known.pop(name, None)

    def damaged(self, name: str, error: Exception) -> InputError:
        """The error for a record that cannot be read."""
        what = (
            f"is damaged ({error}); `goodsam cache verify --repair {self.path}` and cache-sam make"
            " it again"
        )
        if not isinstance(self.place, Folder):
            what = f"cannot be read ({error}); try again, or ask its owner to verify it"
        return InputError(f"{self.path}: the record of {name} {what}")
