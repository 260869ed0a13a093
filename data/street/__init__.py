"""The embedded street world: labelled pictures of streets, rendered from a seed.

>>> from data.street import pinhole, split_seed
>>> picture = pinhole(split_seed("source", 0), height=50, width=64)
>>> picture.image.shape, picture.labels.shape
((50, 64, 3), (50, 64))
"""

from data.street.picture import DEFAULT_GAP, Picture, panorama, pinhole
from data.street.seeds import split_seed
from data.street.write import truth_path, write_world

__all__ = [
    "DEFAULT_GAP",
    "Picture",
    "panorama",
    "pinhole",
    "split_seed",
    "truth_path",
    "write_world",
]
