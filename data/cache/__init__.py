"""The SAM cache: one door. `docs/CACHE_FORMAT.md` specifies what lies on disk."""

from goodsam.data.cache.format import BoundaryMode, Identity, PanoramaMasks, ignored_runs
from goodsam.data.cache.store import SamCache, merge_caches, writing

__all__ = [
    "BoundaryMode",
    "Identity",
    "PanoramaMasks",
    "SamCache",
    "ignored_runs",
    "merge_caches",
    "writing",
]
