"""Data sets on disk: one door. Images are found, paired with labels by name, read and fitted."""

from goodsam.data.files import file_hash
from goodsam.data.panoramas.find import (
    Sample,
    Survey,
    find_labels,
    find_panoramas,
    maps_folder,
    pair_predictions,
    says_label_ids,
    survey,
)
from goodsam.data.panoramas.fit import (
    band_share,
    fitted_ignore_mask,
    fitted_view,
    placement_in,
    read_ignore_mask,
    read_panorama,
    to_band,
)
from goodsam.data.panoramas.gpano import placement_of, posed
from goodsam.data.panoramas.placement import Placement
from goodsam.data.panoramas.projection import other_projection
from goodsam.data.panoramas.read import (
    Conversions,
    image_size,
    read_ids,
    read_image,
    read_labels,
    read_truth,
)
from goodsam.data.panoramas.sources import NotTaken, image_root, is_video, not_taken_line

__all__ = [
    "Conversions",
    "NotTaken",
    "Placement",
    "Sample",
    "Survey",
    "band_share",
    "file_hash",
    "find_labels",
    "find_panoramas",
    "fitted_ignore_mask",
    "fitted_view",
    "image_root",
    "image_size",
    "is_video",
    "maps_folder",
    "not_taken_line",
    "other_projection",
    "pair_predictions",
    "placement_in",
    "placement_of",
    "posed",
    "read_ids",
    "read_ignore_mask",
    "read_image",
    "read_labels",
    "read_panorama",
    "read_truth",
    "says_label_ids",
    "survey",
    "to_band",
]
