import numpy as np

from goodsam.data.windows import Windows
from goodsam.stages.sam.windows_to_masks import panorama_masks
from tests.stages.sam.conftest import HEIGHT, WIDTH, Thresholds, picture


def test_windows_are_given_as_images():
    seen = []

    def generator(images):
        seen.extend(images)
        return Thresholds().masks(images)

    image, geometry = picture(0), Windows(HEIGHT, WIDTH, 14, 12)  # the last overlap is wider
    panorama_masks(image, geometry, "overlap", generator)
    assert [crop.shape[1] for crop in seen] == [14] * 4 + [2] * 3 + [10]
    np.testing.assert_array_equal(seen[3], image[:, np.arange(36, 50) % WIDTH])
