"""Image data sets as arrays: IDX files in a folder, prepared TFDS data sets, or the embedded digits."""

from __future__ import annotations

import gzip
import importlib.util
import socket
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.errors import UsageError, unknown

DATASETS = ("mnist", "fashion_mnist", "digits")
DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
LABELS = {"mnist": DIGITS, "fashion_mnist": CLOTHES, "digits": DIGITS}
FIRST_LABELS = {  # of the training images: files do not say which data set they are of
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7),
    "fashion_mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9),
}
MAX_BYTES = 1 << 30  # no file of these data sets is larger; a header that says so is not believed


class Images(NamedTuple):
    """Images ``(N, height, width)`` as uint8 and labels ``(N,)`` in 0..classes-1."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int


def load_images(dataset: str, data_dir: str | None, download: bool = False) -> Images:
    """Loads a data set from where it lies.

    Looks for IDX files in the subfolder of `data_dir` named after the data set and in `data_dir` itself, then for a
    prepared TFDS data set in `data_dir` (or TFDS's own folder).

    Raises:
      UsageError: unknown data set, nothing found (says what to put where), damaged files or those of another set.
    """
    if dataset not in DATASETS:
        raise unknown("--dataset", dataset, DATASETS)
    if dataset == "digits":
        if data_dir is not None:
            raise UsageError(f"--data-dir {data_dir}: digits are embedded; name another --dataset, or give no folder.")
        return _check(_digits(), "digits")
    if data_dir is not None:
        if not Path(data_dir).expanduser().is_dir():
            raise UsageError(f"--data-dir {data_dir}: no such folder.")
        for folder in (Path(data_dir).expanduser() / dataset, Path(data_dir).expanduser()):
            if _idx_file(folder, "train", "images"):
                images = _check(_idx_images(folder), str(folder))
                first = tuple(images.train_labels[:16])
                for name in [name for name, labels in FIRST_LABELS.items() if labels == first and name != dataset]:
                    raise UsageError(f"--dataset {dataset}: the files in {folder} are {name}; give --dataset {name}.")
                return images
    images = _tfds(dataset, data_dir, download)
    if images is None:
        raise UsageError(
            f"--dataset {dataset}: no data found. Put train-images-idx3-ubyte, train-labels-idx1-ubyte, "
            "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (.gz or not) into a folder and pass it as --data-dir; "
            f"or pass a folder with {dataset} prepared by TFDS; or --download (needs network and the extra 'prepare'); "
            "or take --dataset digits, which is embedded."
        )
    return _check(images, f"TFDS {dataset}")


def _digits() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError as e:
        raise UsageError("--dataset digits: needs scikit-learn; install the extra 'experiments'.") from e
    pixels, labels = load_digits(return_X_y=True)
    images = np.round(pixels.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = np.asarray(labels, np.int32)
    order = np.random.RandomState(0).permutation(len(labels))
    train, test = order[:-360], order[-360:]
    return Images(images[train], labels[train], images[test], labels[test], 10)


# ------------------------------------------------------------------------------------------------- IDX


def _idx_file(folder: Path, split: str, kind: str) -> Path | None:
    stem = f"{'t10k' if split == 'test' else 'train'}-{kind}"
    suffix = "idx3-ubyte" if kind == "images" else "idx1-ubyte"
    for name in (f"{stem}-{suffix}", f"{stem}.{suffix}"):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def read_idx(path: Path, axes: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes with `axes` axes, gzipped or not.

    Raises:
      UsageError: not such a file, or shorter or longer than its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 * (axes + 1))
            if len(header) < 4 * (axes + 1) or header[:4] != bytes([0, 0, 8, axes]):
                raise UsageError(f"{path} is not an IDX file of unsigned bytes with {axes} axes: get it again.")
            shape = [int.from_bytes(header[4 * i : 4 * i + 4], "big") for i in range(1, axes + 1)]
            size = int(np.prod(shape, dtype=object))
            if size > MAX_BYTES:
                raise UsageError(f"{path} claims to hold {size} bytes, more than any file of its kind: get it again.")
            data = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as e:
        raise UsageError(f"{path} cannot be read ({e}): get it again.") from e
    if len(data) != size:
        found = f"only {len(data)}" if len(data) < size else "more"
        raise UsageError(f"{path} is damaged: its header announces {size} bytes, there are {found}. Get it again.")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _idx_images(folder: Path) -> Images:
    arrays = []
    for split in ("train", "test"):
        for kind in ("images", "labels"):
            path = _idx_file(folder, split, kind)
            if path is None:
                raise UsageError(f"--data-dir {folder}: the {split} {kind} are missing; all four IDX files are needed.")
            arrays.append(read_idx(path, 3 if kind == "images" else 1))
    train_images, train_labels, test_images, test_labels = arrays
    return Images(train_images, train_labels.astype(np.int32), test_images, test_labels.astype(np.int32), 10)


def _check(images: Images, where: str) -> Images:
    for split in ("train", "test"):
        x, y = getattr(images, f"{split}_images"), getattr(images, f"{split}_labels")
        if len(x) != len(y) or len(x) == 0:
            raise UsageError(f"{where}: {len(x)} {split} images but {len(y)} labels; the files do not belong together.")
        if y.min() < 0 or y.max() >= images.classes:
            raise UsageError(f"{where}: {split} labels range over [{y.min()}, {y.max()}], not 0..{images.classes - 1}.")
    if images.train_images.shape[1:] != images.test_images.shape[1:]:
        raise UsageError(
            f"{where}: train images are {images.train_images.shape[1:]}, test {images.test_images.shape[1:]}."
        )
    return images


# ------------------------------------------------------------------------------------------------ TFDS


def _tfds(dataset: str, data_dir: str | None, download: bool) -> Images | None:
    """From a prepared folder ``data_dir/<dataset>/<version>``; TFDS itself is only imported once there is one."""
    root = Path(data_dir or "~/tensorflow_datasets").expanduser()
    if not any(root.glob(f"{dataset}/*/dataset_info.json")):
        if not download:
            return None
        _download(dataset, root)
    try:
        import tensorflow_datasets as tfds
    except ImportError as e:
        raise UsageError(f"{root / dataset} is a TFDS data set: install the extra 'experiments' to read it.") from e
    version = max(root.glob(f"{dataset}/*/dataset_info.json")).parent
    try:
        source: Any = tfds.builder_from_directory(version).as_data_source()
        arrays = [array for split in ("train", "test") for array in _decode(source[split])]
    except Exception as e:  # TFDS raises many kinds for a damaged or wrongly prepared folder
        raise UsageError(
            f"{version} cannot be read by TFDS ({e}): prepare it again with file_format='array_record'."
        ) from e
    train_images, train_labels, test_images, test_labels = arrays
    return Images(train_images, train_labels.astype(np.int32), test_images, test_labels.astype(np.int32), 10)


def _decode(source: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images ``(N, height, width)`` and labels ``(N,)``, each record read once."""
    records = [source[i] for i in range(len(source))]
    images = np.stack([np.asarray(record["image"]) for record in records])
    labels = np.array([record["label"] for record in records])
    return images[..., 0] if images.ndim == 4 else images, labels


def _download(dataset: str, root: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError("--download: TFDS needs TensorFlow to prepare images; install the extra 'prepare'.")
    try:
        socket.create_connection(("storage.googleapis.com", 443), timeout=3).close()
    except OSError as e:
        raise UsageError(f"--download: no network ({e}); put the IDX files into a folder and pass --data-dir.") from e
    import tensorflow_datasets as tfds

    tfds.data_source(dataset, data_dir=root, builder_kwargs={"file_format": "array_record"})
