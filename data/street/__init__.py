"""The embedded street world: labelled pictures of streets, rendered from a seed.

>>> from goodsam.data.street.picture import pinhole
>>> from goodsam.data.street.seeds import split_seed
>>> picture = pinhole(split_seed("source", 0), height=50, width=64)
>>> picture.image.shape, picture.labels.shape
((50, 64, 3), (50, 64))

The rooms, in the order in which a picture comes about:

- `seeds`, `look`, `plan`: which scene, in what light and colours, on what ground;
- `primitives`: the stage; `vehicles`, `people`, `furniture` and `buildings` put things on it, with
  silhouettes (`shapes`, `bodies`, `plants`, `posts`) and finishes (`finish`); `populate` says where
  and how many; `scene` is all of it;
- `cast`: what every pixel sees; `shade`: its colour, by `ground`, `painters` and `shadows`, with
  `texture`; `sensor`: what a camera makes of that;
- `picture`: one call for all of this; `tilt`: spheres of a leaning camera; `write`: whole data
  sets; `labels`: what is in a label map.

Nothing is imported here: whoever only asks whether a picture is rendered (`mark`) needs no
renderer.
"""
