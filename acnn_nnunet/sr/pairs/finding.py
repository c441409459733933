"""The pairs of a raw dataset: stacks in `imagesTr_lr/` beside images in `imagesTr/` and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_raw

from acnn_nnunet.casewise.cases import find_nifti
from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.files.headers import NIFTI_ENDINGS, is_nifti
from acnn_nnunet.nnunet.folds import raw_images
from acnn_nnunet.sr.inference.command import whole_stacks

STACKS_FOLDER = "imagesTr_lr"


@dataclass(frozen=True)
class PairFiles:
    """The files of a pair.

    Attributes:
        stack: the LR stack, one file per channel.
        image: the HR image, one file per channel.
        labels: of the HR image.
    """

    stack: tuple[Path, ...]
    image: tuple[Path, ...]
    labels: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file."""
        return (*self.stack, *self.image, self.labels)


def stacks_folder(dataset: str) -> Path | None:
    """Return the folder of a dataset's real stacks, if it has one.

    Args:
        dataset: full name.

    Raises:
        ValueError: if there is something else of its name.
    """
    if not nnUNet_raw.is_set():
        return None
    folder = Path(nnUNet_raw.require()) / dataset / STACKS_FOLDER
    if folder.is_dir():
        return folder
    if folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder} is no folder, or a link to none: mend or remove it.")
    return None


def find_pairs(
    dataset: str, dataset_json: Mapping[str, Any], references: Path, *, num_channels: int
) -> tuple[dict[str, PairFiles], list[Excluded]]:
    """Return the pairs of a dataset by case, and the stacks that have no other half, each with its sentence.

    Args:
        dataset: full name.
        dataset_json: its dataset.json.
        references: `gt_segmentations` of the preprocessed dataset, which holds the labels.
        num_channels: of an image.

    Raises:
        ValueError: if the folder of stacks holds none, or two of one name.
    """
    folder = stacks_folder(dataset)
    files, others = ({}, []) if folder is None else find_nifti(folder, may_be_none=True)
    if folder is not None and not files and not others:
        raise ValueError(f"{folder} holds no stack: add CASE_0000{NIFTI_ENDINGS[0]}, or remove the folder.")
    stacks, excluded = whole_stacks(files, num_channels)
    excluded += others
    pairs = {}
    for case, stack in stacks.items():
        labels = references / f"{case}{dataset_json['file_ending']}"
        try:
            image = raw_images(dataset, dataset_json, [case])[case]
        except FileNotFoundError:
            excluded.append(_half(case, stack[0], "imagesTr holds no image of it"))
            continue
        if not is_nifti(image[0]):
            remedy = f"pairs need a dataset of {NIFTI_ENDINGS[0]} files, or remove the stack"
            excluded.append(Excluded(case, f"{image[0]}, the HR image of {stack[0]}, is no NIfTI file: {remedy}."))
            continue
        if labels.is_file():
            pairs[case] = PairFiles(tuple(stack), tuple(image), labels)
        else:
            excluded.append(_half(case, stack[0], f"there are no labels {labels}"))
    return pairs, excluded


def _half(case: str, stack: Path, what: str) -> Excluded:
    return Excluded(
        case,
        f"{stack} lacks its other half: {what}. Add the thin-slice image and its labels and preprocess again, or "
        "remove the stack.",
    )
