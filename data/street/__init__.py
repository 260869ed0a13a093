"""The embedded street world: labelled pictures of streets, rendered from a seed.

>>> from goodsam.data.street.picture import pinhole
>>> from goodsam.data.street.seeds import split_seed
>>> picture = pinhole(split_seed("source", 0), height=50, width=64)
>>> picture.image.shape, picture.labels.shape
((50, 64, 3), (50, 64))

Nothing is imported here: whoever only asks whether a picture is rendered (`mark`) needs no
renderer.
"""
