"""Splits of ACDC's 100 training patients that published numbers were measured on.

`nnunet`: the five folds of nnU-Net's own conversion (nnunetv2 2.8.1, dataset_conversion/Dataset027_ACDC.py, seed 1234).
`ssl4mis`: 7 labelled, 10 validation and 20 test patients of the benchmark SSL4MIS (its data/ACDC/*.list).
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

NUM_PATIENTS, NUM_FOLDS, SEED = 100, 5, 1234
_LABELLED = (99, 38, 50, 100, 58, 21, 49)
_VALIDATION = (28, 85, 82, 87, 19, 30, 78, 45, 2, 39)
_TEST = (11, 13, 84, 33, 93, 22, 68, 24, 83, 81, 80, 1, 7, 66, 8, 65, 75, 64, 59, 52)

Fold = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class PublishedSplit:
    """A split that others have published numbers on.

    Attributes:
        folds: training and validation patients of each fold.
        traps: what to know before comparing with the published numbers.
    """

    folds: tuple[Fold, ...]
    traps: tuple[str, ...]

    @property
    def patients(self) -> tuple[str, ...]:
        """All patients that the split names, in order."""
        return tuple(sorted({name for fold in self.folds for part in fold for name in part}))

    def absent(self, present: Collection[str]) -> list[str]:
        """Return the patients that the split names and that are not there."""
        return [name for name in self.patients if name not in set(present)]

    def of(self, cases_of: dict[str, list[str]]) -> list[dict[str, list[str]]]:
        """Return nnU-Net's `splits_final.json` of the patients that are there.

        Args:
            cases_of: the cases of each patient.

        Raises:
            ValueError: if a fold has no patient to train on, or none to validate on.
        """
        splits = []
        for number, parts in enumerate(self.folds):
            cases = [[case for name in part for case in cases_of.get(name, ())] for part in parts]
            for which, found, part in zip(("train", "validate"), cases, parts, strict=True):
                if not found:
                    some = ", ".join(part[:5])
                    raise ValueError(
                        f"fold {number} of the split has no patient to {which} on: none of {some} is there"
                    )
            splits.append({"train": sorted(cases[0]), "val": sorted(cases[1])})
        return splits


def nnunet_split() -> PublishedSplit:
    """Return nnU-Net's own five folds: the 100 names shuffled with seed 1234, then dealt out in turn."""
    names = np.array([patient_name(number) for number in range(1, NUM_PATIENTS + 1)])
    np.random.RandomState(SEED).shuffle(names)
    dealt = [tuple(map(str, names[fold::NUM_FOLDS])) for fold in range(NUM_FOLDS)]
    return PublishedSplit(
        tuple((tuple(n for other in dealt if other is not held for n in other), held) for held in dealt),
        (
            "The folds are not balanced by group; patient074 and patient076 have the same images and are in two folds.",
            "Results on them are cross-validation, not those of the challenge's 50 test patients.",
        ),
    )


def ssl4mis_split() -> PublishedSplit:
    """Return SSL4MIS's 7 labelled patients with its 10 for validation (fold 0) and its 20 for the test (fold 1)."""
    labelled, validation, test = (tuple(map(patient_name, part)) for part in (_LABELLED, _VALIDATION, _TEST))
    return PublishedSplit(
        ((labelled, validation), (labelled, test)),
        (
            "Fold 0 validates on SSL4MIS's 10 validation patients, fold 1 on its 20 test patients: choose by fold 0 "
            "alone.",
            "The 7 labelled patients hold no normal and no dilated heart (3 MINF, 2 HCM, 2 RV).",
            "SSL4MIS's distances count voxels, not mm, and an empty prediction counts as 0.",
            "Its 63 unlabelled patients are in imagesTr and in no fold.",
        ),
    )


SPLITS: dict[str, Callable[[], PublishedSplit]] = {"nnunet": nnunet_split, "ssl4mis": ssl4mis_split}


def patient_name(number: int) -> str:
    """Return the name that ACDC gives a patient, with which those of its cases begin."""
    return f"patient{number:03d}"
