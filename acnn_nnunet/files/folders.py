"""The images of a folder, by name: hidden files are none, and a name is one however Unicode or case spell it."""

import os
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from acnn_nnunet.files.headers import NIFTI_ENDINGS
from acnn_nnunet.files.on_demand import OnDemand

IMAGE_ENDINGS = (*NIFTI_ENDINGS, ".mha", ".mhd", ".nrrd", ".tif", ".tiff")


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


def find_images(
    folder: Path, endings: Sequence[str] = IMAGE_ENDINGS, *, may_be_none: bool = False
) -> Mapping[str, Path]:
    """Return the images of a folder by their names without ending, in composed Unicode, sorted.

    Hidden files, macOS's `._` files among them, are no images.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder, or no image in it unless there may be none.
        ValueError: if two files have one name.
    """
    folder = existing_folder(folder)
    files: dict[str, str] = {}
    for file in sorted(os.listdir(folder)):
        if file.startswith(".") or not (ending := image_ending(Path(file), endings)):
            continue
        if not os.path.isfile(folder / file):
            continue
        name = sys.intern(image_name(Path(file), endings))
        if name in files:
            raise ValueError(f"{folder} holds {name} twice, {_file_of(name, files[name])} and {file}: remove one.")
        # Of tens of thousands of files, the ending alone is kept, and one name for all folders.
        files[name] = sys.intern(f"/{ending}") if file == name + ending else file
    if not files and not may_be_none:
        kind = "NIfTI file" if tuple(endings) == NIFTI_ENDINGS else "image"
        raise FileNotFoundError(f"{folder} holds no {kind}; the endings known are {', '.join(endings)}.")
    return OnDemand(files, lambda name: folder / _file_of(name, files[name]))


def image_path(folder: Path, name: str, ending: str) -> Path:
    """Return where an image lies, however its file spells name and ending, or where it should lie."""
    usual = Path(folder) / f"{name}{ending}"
    if usual.is_file():
        return usual
    names, endings = (name, unicodedata.normalize("NFD", name)), (ending, ending.upper())
    paths = (Path(folder) / f"{each}{end}" for each in names for end in endings)
    return next((path for path in paths if path.is_file()), usual)


def image_ending(path: Path, endings: Sequence[str] = IMAGE_ENDINGS) -> str:
    """Return the ending that a file's name has, as it is spelt there; empty for any other."""
    ending = next((ending for ending in endings if path.name.lower().endswith(ending.lower())), "")
    return path.name[len(path.name) - len(ending) :]


def image_name(path: Path, endings: Sequence[str] = IMAGE_ENDINGS) -> str:
    """Return a file's name without its ending, in composed Unicode."""
    return composed(path.name.removesuffix(image_ending(path, endings)))


def _file_of(name: str, kept: str) -> str:
    """Return a file's name, of which /ENDING is kept, or all of it where Unicode spells the image's name otherwise."""
    return f"{name}{kept[1:]}" if kept.startswith("/") else kept


def composed(name: str) -> str:
    """Return a name in composed Unicode: macOS and others spell the same name in two ways."""
    return unicodedata.normalize("NFC", name)
