"""Data sets on disk: one door. Images are found, paired with labels by name, read and fitted."""

from goodsam.data.files import file_hash
from goodsam.data.panoramas.find import (
    IMAGE_FOLDER,
    Sample,
    Survey,
    find_labels,
    find_panoramas,
    pair_predictions,
    says_label_ids,
    survey,
)
from goodsam.data.panoramas.fit import (
    band_share,
    fitted_ignore_mask,
    read_ignore_mask,
    read_panorama,
    to_band,
)
from goodsam.data.panoramas.read import (
    Conversions,
    image_size,
    read_ids,
    read_image,
    read_labels,
    read_truth,
)

__all__ = [
    "IMAGE_FOLDER",
    "Conversions",
    "Sample",
    "Survey",
    "band_share",
    "file_hash",
    "find_labels",
    "find_panoramas",
    "fitted_ignore_mask",
    "image_size",
    "pair_predictions",
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
