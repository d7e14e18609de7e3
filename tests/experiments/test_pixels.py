"""Images as sequences: what is done to them in training."""

import numpy as np

from experiments.tasks.pixels import moved


def test_moved_images_are_windows_of_the_padded_image():
    images = np.arange(1, 7 * 5 * 4 + 1, dtype=np.uint8).reshape(7, 5, 4)
    found = moved(images, 1, [0, 3])
    shifts = set()
    for image, new in zip(images, found):
        fits = [(d, r) for d in range(3) for r in range(3) if (np.pad(image, 1)[d : d + 5, r : r + 4] == new).all()]
        assert len(fits) == 1
        shifts.update(fits)
    assert len(shifts) > 1
    np.testing.assert_array_equal(found, moved(images, 1, [0, 3]))
    assert (found != moved(images, 1, [0, 4])).any()
    assert moved(images, 0, [0, 3]) is images
