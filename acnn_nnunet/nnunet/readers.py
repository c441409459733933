"""Which of the host's readers reads a file."""

from collections.abc import Iterable, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from acnn_nnunet.files.volumes import quiet


def choose_reader(
    file_ending: str,
    *,
    asked_for: str | None = None,
    asked_in: Path | str = "dataset.json",
    examples: Iterable[Path] = (),
) -> str:
    """Return the name of the host's reader for files, chosen as the host does.

    Args:
        file_ending: ".nii.gz" and the like.
        asked_for: `overwrite_image_reader_writer` of the dataset.json, if it has one.
        asked_in: the file that says so, for errors.
        examples: files to try the readers on, where several know the ending; the first that can be read decides.

    Raises:
        ValueError: if the host has no reader for the ending or of that name; lists the endings that it reads.
    """
    if asked_for and asked_for != "None":
        return reader_class(asked_for, asked_in).__name__
    examples = iter(examples)
    if file_ending.lower() in (usual := _usual_reader()).supported_file_endings:
        example = next(examples, None)
        if example is None or _can_read(usual, example):
            return usual.__name__
        examples = chain([example], examples)
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

    readers = [reader for reader in LIST_OF_IO_CLASSES if file_ending.lower() in reader.supported_file_endings]
    if not readers:
        raise ValueError(f"nnU-Net reads no {file_ending}; it reads {', '.join(_known_endings())}.")
    if len(readers) == 1:
        return readers[0].__name__
    able = (reader for example in examples for reader in readers if _can_read(reader, example))
    return next(able, readers[0]).__name__


def find_file_ending(files: Sequence[Path], folder: Path) -> str:
    """Return the ending, of those that the host reads, that the files of a folder have in common.

    Raises:
        ValueError: if there is none, or several; lists what was found.
    """
    endings = sorted({ending for path in files if (ending := _known_ending(path.name))})
    if len(endings) == 1:
        return endings[0]
    known = ", ".join(_known_endings())
    if endings:
        raise ValueError(
            f"{folder} holds files of several formats ({', '.join(endings)}): give a dataset.json that says which one."
        )
    raise ValueError(f"{folder} holds no file that nnU-Net reads: convert its label maps to one of {known}.")


@cache
def reader_class(name: str, named_in: Path | str = "dataset.json") -> Any:
    """Return one of the host's reader-writers by its name.

    Raises:
        ValueError: if there is none of that name, as `named_in` says; lists the names.
    """
    if name == (usual := _usual_reader()).__name__:
        return usual
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES, recursive_find_reader_writer_by_name

    try:
        return recursive_find_reader_writer_by_name(name)
    except RuntimeError as error:
        known = ", ".join(reader.__name__ for reader in LIST_OF_IO_CLASSES)
        raise ValueError(f"{named_in} names the reader {name}, which nnU-Net does not have: it has {known}.") from error


def _usual_reader() -> Any:
    """Return the reader that is the host's first for all of its endings; the host's list imports scikit-image too."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

    return SimpleITKIO


@cache
def _known_endings() -> list[str]:
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

    return sorted({ending for reader in LIST_OF_IO_CLASSES for ending in reader.supported_file_endings})


def _known_ending(name: str) -> str | None:
    usual = _ending_among(_usual_reader().supported_file_endings, name)
    return usual or _ending_among(_known_endings(), name)


def _ending_among(endings: Iterable[str], name: str) -> str | None:
    return next((ending for ending in endings if name.lower().endswith(ending)), None)


def _can_read(reader: Any, example: Path) -> bool:
    try:
        with quiet():
            values, _ = reader().read_seg(str(example))
    except Exception:  # as in `read_image`
        return False
    return len(values) == 1  # a .tif of three or four slices passes for colours
