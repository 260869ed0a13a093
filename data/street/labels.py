"""What the street world's labels and instances mean.

Labels are the train ids of Cityscapes. Every thing has an instance of its own, from FIRST_INSTANCE
on; the regions of the ground and the sky have those below it.
"""

ROAD, SIDEWALK, BUILDING, WALL, FENCE, POLE, LIGHT, SIGN, PLANT, TERRAIN = range(10)
SKY, PERSON, RIDER, CAR, TRUCK, BUS, TRAIN, MOTORCYCLE, BICYCLE = range(10, 19)
NO_LABEL = 255

ROAD_INSTANCE = 1
SIDEWALK_INSTANCE = 2  # to 5, by quadrant of the crossing
TERRAIN_INSTANCE = 6  # to 9
SKY_INSTANCE = 10
FIRST_INSTANCE = 11
