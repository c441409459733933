"""Which files of a folder are cases, and which belong to which case, by their names."""

import re
from collections.abc import Mapping
from pathlib import Path

from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.headers import NIFTI_ENDINGS, is_nifti

_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


def find_nifti(folder: Path, *, may_be_none: bool = False) -> tuple[Mapping[str, Path], list[Excluded]]:
    """Return the NIfTI files of a folder by name, as `find_images` does, and its images of other formats.

    Raises:
        FileNotFoundError, NotADirectoryError: if there is no such folder, or no NIfTI file in it unless there may be
            none.
        ValueError: if two files have one name.
    """
    files = find_images(folder, NIFTI_ENDINGS, may_be_none=may_be_none)
    remedy = f"is no NIfTI file: convert it to {NIFTI_ENDINGS[0]}, or remove it."
    images = find_images(folder, may_be_none=True).items()
    return files, [Excluded(name, f"{path} {remedy}") for name, path in images if not is_nifti(path)]


def group_channels(files: Mapping[str, Path]) -> tuple[dict[str, dict[int, Path]], dict[str, Path]]:
    """Return the channels of each case, and the files that are no channel.

    Args:
        files: by name without ending; nnU-Net names the first channel of a case CASE_0000.

    Returns:
        For each case its files by channel, in the order of `files`; the other files by name.
    """
    cases: dict[str, dict[int, Path]] = {}
    others = {}
    for name, path in files.items():
        if match := _CHANNEL.fullmatch(name):
            cases.setdefault(match["case"], {})[int(match["channel"])] = path
        else:
            others[name] = path
    return cases, others
