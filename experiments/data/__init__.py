"""Images, recordings and streams made of them, as arrays."""

from pathlib import Path


def inside(data_dir: str, *subfolders: str) -> Path:
    """The first of these subfolders of --data-dir that is there, else the folder itself."""
    folder = Path(data_dir).expanduser()
    return next((folder / name for name in subfolders if (folder / name).is_dir()), folder)
