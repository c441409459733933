"""Count the same label map in neighbouring slices, which stock networks put out on stacks of mixed spacing.

    python -m scripts.studies.thick_slices.repeats PREDICTIONS [--reference LABELS] [--axis 2]

nnUNet#2731 and #2951 report it. A repeat is two neighbouring slices, both with foreground, with the very same labels.
A reference of the same grid tells how many of them are real: with thin slices some anatomy does not change.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.headers import NIFTI_ENDINGS
from acnn_nnunet.files.volumes import read_volume
from acnn_nnunet.sr.stack_geometry import find_slice_axis


@dataclass(frozen=True)
class Repeats:
    """Neighbouring slices of a label map.

    Attributes:
        neighbours: pairs of neighbours that both have foreground.
        same: of these, pairs with the very same labels.
    """

    neighbours: int = 0
    same: int = 0

    def __add__(self, other: "Repeats") -> "Repeats":
        return Repeats(self.neighbours + other.neighbours, self.same + other.same)

    @property
    def share(self) -> float:
        """Share of the same among all; NaN where there are none."""
        return self.same / self.neighbours if self.neighbours else float("nan")


def count_repeats(labels: np.ndarray, *, axis: int) -> Repeats:
    """Return the repeats of a label map (Z, Y, X) along an axis."""
    slices = np.moveaxis(labels, axis, 0)
    filled = slices.any(axis=(1, 2))
    both = filled[1:] & filled[:-1]
    same = (slices[1:] == slices[:-1]).all(axis=(1, 2))
    return Repeats(int(both.sum()), int((both & same).sum()))


def count_folder(folder: Path, *, nifti_axis: int | None = None) -> dict[str, Repeats]:
    """Return the repeats of each label map of a folder by case."""
    found = {}
    for case, path in find_images(folder, NIFTI_ENDINGS).items():
        volume = read_volume(path)
        found[case] = count_repeats(volume.values, axis=find_slice_axis(volume.geometry.spacing_mm, nifti_axis))
    return found


def count_all(folder: Path) -> list[int]:
    """Return how many neighbouring slices of a folder's label maps both have foreground, and how many are the same."""
    total = sum(count_folder(folder).values(), Repeats())
    return [total.neighbours, total.same]


def main() -> None:
    """Print the repeats of each case, and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("--reference", type=Path, help="label maps of the same cases")
    parser.add_argument("--axis", type=int, choices=[0, 1, 2], help="slice direction as a NIfTI axis")
    arguments = parser.parse_args()
    for folder in filter(None, (arguments.predictions, arguments.reference)):
        counted = count_folder(folder, nifti_axis=arguments.axis)
        for case, each in counted.items():
            print(f"{case}: {each.same} of {each.neighbours} neighbouring slices are the same")
        total = sum(counted.values(), Repeats())
        print(f"{folder}: {total.same} of {total.neighbours} ({100 * total.share:.1f} %)")


if __name__ == "__main__":
    main()
