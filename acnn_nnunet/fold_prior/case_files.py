"""The label maps and images of a folder, by case, named as nnU-Net names them."""

from collections.abc import Mapping
from pathlib import Path

from acnn_nnunet.casewise.cases import group_channels
from acnn_nnunet.files.folders import find_images


def list_labels(folder: Path, file_ending: str) -> Mapping[str, Path]:
    """Return the label map CASE.nii.gz of each case, sorted.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no file of that ending, or two of one case.
    """
    labels = find_images(folder, (file_ending,), may_be_none=True)
    if not labels:
        raise ValueError(f"{folder} holds no {file_ending} file, as the prior's dataset has them.")
    return labels


def list_images(folder: Path, file_ending: str) -> dict[str, tuple[Path, ...]]:
    """Return the image files CASE_0000.nii.gz, CASE_0001.nii.gz, … of each case, sorted.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder.
        ValueError: if it holds no file of that ending and name.
    """
    channels, _ = group_channels(list_labels(folder, file_ending))
    if not channels:
        raise ValueError(f"{folder} holds no image named as nnU-Net names them, CASE_0000{file_ending}.")
    return {case: tuple(channels[case].values()) for case in sorted(channels)}
