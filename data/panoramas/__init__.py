"""Data sets on disk."""

from goodsam.data.panoramas.find import *  # noqa: F403
