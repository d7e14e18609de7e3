"""Prepares a tiny data set named mnist with TFDS itself and reads it back with ours.

python -c "from tests.references.make_tfds import main; main('FOLDER')"

TFDS looks for the package of the builder's module, so this one must be imported, not run.
"""

import numpy as np
import tensorflow_datasets as tfds

from experiments.data.images import load_images


class Mnist(tfds.core.GeneratorBasedBuilder):
    """Features that TFDS writes without TensorFlow."""

    VERSION = tfds.core.Version("3.0.1")

    def _info(self):
        features = {
            "image": tfds.features.Tensor(shape=(6, 5, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples("train"), "test": self._generate_examples("t10k")}

    def _generate_examples(self, split):
        made = np.load(f"{self._data_dir_root}/arrays.npz")
        images, labels = made[f"{split}-images-idx3-ubyte"], made[f"{split}-labels-idx1-ubyte"]
        for i, (x, y) in enumerate(zip(images, labels)):
            yield i, {"image": x[..., None], "label": int(y)}


def main(folder: str) -> None:
    """Needs FOLDER/arrays.npz, writes FOLDER/read.npz."""
    Mnist(data_dir=folder, file_format="array_record").download_and_prepare()
    np.savez(f"{folder}/read.npz", *load_images("mnist", folder)[:4])
