"""The SAM cache: one door. `docs/CACHE_FORMAT.md` specifies what lies on disk."""

from goodsam.data.cache.format import PanoramaMasks
from goodsam.data.cache.identity import BoundaryMode, Identity
from goodsam.data.cache.lock import writing
from goodsam.data.cache.merge import merge_caches
from goodsam.data.cache.metadata import check_images
from goodsam.data.cache.store import SamCache
from goodsam.data.geometry import ignored_runs

__all__ = [
    "BoundaryMode",
    "Identity",
    "PanoramaMasks",
    "SamCache",
    "check_images",
    "ignored_runs",
    "merge_caches",
    "writing",
]
