"""The label maps and images of a folder, by case, named as nnU-Net names them."""

import re
from pathlib import Path


def list_labels(folder: Path, file_ending: str) -> dict[str, Path]:
    """Return the label map CASE.nii.gz of each case, sorted.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no file of that ending.
    """
    found = {path.name.removesuffix(file_ending): path for path in _files(folder, file_ending)}
    if not found:
        raise ValueError(f"{folder} holds no {file_ending} file, as the prior's dataset has them.")
    return found


def list_images(folder: Path, file_ending: str) -> dict[str, tuple[Path, ...]]:
    """Return the image files CASE_0000.nii.gz, CASE_0001.nii.gz, … of each case, sorted.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for path in _files(folder, file_ending):
        if named := re.fullmatch(r"(.+)_\d{4}", path.name.removesuffix(file_ending)):
            found[named[1]] = (*found.get(named[1], ()), path)
    return dict(sorted(found.items()))


def existing_folder(folder: Path) -> Path:
    """Return the folder.

    Raises:
        FileNotFoundError, NotADirectoryError: if it is none.
    """
    if Path(folder).is_file():
        raise NotADirectoryError(f"{folder} is a file: name a folder.")
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"The folder {folder} does not exist.")
    return Path(folder)


def _files(folder: Path, file_ending: str) -> list[Path]:
    """Return the files of an ending, sorted, but for hidden ones such as macOS's `._CASE.nii.gz`."""
    files = sorted(existing_folder(folder).iterdir())
    return [path for path in files if path.name.endswith(file_ending) and not path.name.startswith(".")]
