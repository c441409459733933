"""Test images and predictions as files, for studies that read folders: CASE__KIND.nii.gz, the study's own kinds."""

import shutil
from typing import TYPE_CHECKING

import numpy as np

from scripts.studies.defaults.arms import CLEAN, STUDY_KINDS
from scripts.studies.defaults.corruptions import corrupt, seed_of
from scripts.studies.defaults.images import PARTS

if TYPE_CHECKING:
    from scripts.studies.defaults.workplace import Workplace

# With `_mean`, what is hidden is filled with the image's mean, which shifts no z-score.
FILE_KINDS = (CLEAN, *STUDY_KINDS, "slab_mean", "dropped_mean")


def write_predictions(place: "Workplace", arm: str, seed: int) -> None:
    """Write the test images, their labels and one network's predictions of them as files."""
    for part in PARTS:
        for case in place.cases(part):
            write_test_files(place, case)
    configuration, fold = place.configuration_of(arm, seed), place.fold_of(arm)
    model, output = place.folder_of(arm, seed).parent, place.folder / "predictions" / configuration
    where = {"images": str(place.test / "images"), "output": str(output)}
    place.child("predict", {"model": str(model), "fold": fold, **where}, configuration)
    print(output)


def write_test_files(place: "Workplace", case: str) -> None:
    """Write the clean and the corrupted images of a case, and the label of each, as cases <case>__<kind>."""
    import SimpleITK

    label_file = place.raw / "labelsTr" / f"{case}.nii.gz"
    images, labels = place.test / "images", place.test / "labels"
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.ReadImage(str(place.raw / "imagesTr" / f"{case}_0000.nii.gz"))
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(label_file)))
    for kind in FILE_KINDS:
        target = labels / f"{case}__{kind}.nii.gz"
        if target.exists():
            continue
        values = corrupt(
            SimpleITK.GetArrayFromImage(image).astype(np.float32),
            label,
            kind,
            spacing_mm=image.GetSpacing()[::-1],
            motion_mm=place.study.motion_mm,
            seed=seed_of(case, kind),
        )
        corrupted = SimpleITK.GetImageFromArray(values)
        corrupted.CopyInformation(image)
        SimpleITK.WriteImage(corrupted, str(images / f"{case}__{kind}_0000.nii.gz"), True)
        shutil.copyfile(label_file, target)
