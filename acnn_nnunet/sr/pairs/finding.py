"""The pairs of a raw dataset: stacks in `imagesTr_lr/` beside images in `imagesTr/` and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunetv2.paths import nnUNet_raw

from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.headers import NIFTI_ENDINGS
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
    """
    folder = Path(nnUNet_raw.require()) / dataset / STACKS_FOLDER if nnUNet_raw.is_set() else Path()
    return folder if nnUNet_raw.is_set() and folder.is_dir() else None


def find_pairs(
    dataset: str, dataset_json: Mapping[str, Any], references: Path, *, num_channels: int
) -> tuple[dict[str, PairFiles], list[Excluded]]:
    """Return the pairs of a dataset by case, and the stacks that have no other half, each with its sentence.

    Args:
        dataset: full name.
        dataset_json: its dataset.json.
        references: `gt_segmentations` of the preprocessed dataset, which holds the labels.
        num_channels: of an image.
    """
    folder = stacks_folder(dataset)
    files = {} if folder is None else find_images(folder, NIFTI_ENDINGS, may_be_none=True)
    stacks, excluded = whole_stacks(files, num_channels)
    pairs = {}
    for case, stack in stacks.items():
        labels = references / f"{case}{dataset_json['file_ending']}"
        try:
            image = raw_images(dataset, dataset_json, [case])[case]
        except FileNotFoundError:
            excluded.append(_half(case, stack[0], "imagesTr holds no image of it"))
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
