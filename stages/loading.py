"""What worker processes of torch's DataLoader raise, as it was raised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from goodsam.data.errors import InputError

T = TypeVar("T")


def as_raised(loader: Iterable[T]) -> Iterator[T]:
    """The loader's items; an InputError of a worker has its own words again.

    DataLoader raises it with the worker's whole traceback in the text.
    """
    try:
        yield from loader
    except InputError as error:
        kind = f"{InputError.__module__}.{InputError.__qualname__}: "
        raise InputError(str(error).rpartition(kind)[2].strip()) from error
