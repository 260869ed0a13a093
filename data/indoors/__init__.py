"""The embedded world of rooms: labelled pictures of interiors, whole spheres, from a seed.

- `room`: what stands where: a room is the inside of a box, and all that is in it is boxes;
- `furnish`: doors, windows, furniture and clutter;
- `picture`: what a camera sees of it, as a sphere or as a pinhole image; `paint`: in which colours;
- `write`: a data set in the folders, names and colours of Stanford2D3D.

It shares noise, camera and sensor with the street world (`goodsam.data.street`).
"""
