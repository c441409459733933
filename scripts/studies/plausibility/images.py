"""Test images of the study: which cases, clean, corrupted, and unlike anything that the networks were trained on."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from acnn_nnunet.files.safe_writes import write_json
from scripts.studies.defaults.arms import ALL_FOLD, FEW_FOLD, STUDY_KINDS
from scripts.studies.defaults.corruptions import corrupt, seed_of
from scripts.studies.defaults.workplace import Workplace

CALIBRATION, CONFIRMATION = "calibration", "confirmation"
CLEAN, CORRUPTED = "clean", STUDY_KINDS
STRANGE = ("contrast", "strong_noise", "missing_slices", "other_organ", "upside_down")
MORE_PATIENTS = {"acdc": 16, "hippocampus": 40}
"""Calibration patients besides the study's selection. Nothing trains on them; the rest of their kind is measured on."""
_STRANGE_EVERY = {"acdc": 6, "hippocampus": 4}  # case of the confirmation part
_OTHER_ORGAN_MM = 60  # of another organ's image, around its centre
CHOSEN_FILE, IMAGES, LABELS = "chosen.json", "images", "labels"


def write_images(place: Workplace, folder: Path, *, other_images: Path) -> None:
    """Choose the cases of both parts and write their images, named CASE__KIND, and links to their labels.

    Args:
        place: of the study of defaults, prepared.
        folder: of this study and dataset.
        other_images: folder of images of another organ.
    """
    chosen = {f"{case}__{kind}": [part, case, kind] for part, case, kind in choose(place)}
    for name in (IMAGES, LABELS):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for key, (_, case, kind) in chosen.items():
        _write_image(place, folder / IMAGES / f"{key}_0000.nii.gz", case, kind, other_images=other_images)
        link = folder / LABELS / f"{key}.nii.gz"
        if kind in (CLEAN, *CORRUPTED) and not link.exists():
            link.symlink_to(place.raw / "labelsTr" / f"{case}.nii.gz")
    write_json(folder / CHOSEN_FILE, chosen)


def choose(place: Workplace) -> Iterator[tuple[str, str, str]]:
    """Yield part, case and kind of each image: every case clean and corrupted in a kind that takes turns."""
    for part, cases in cases_of_parts(place).items():
        for index, case in enumerate(cases):
            turn = index + index // len(CORRUPTED)
            kinds = [CLEAN, CORRUPTED[turn % len(CORRUPTED)]]
            if part == CONFIRMATION and index % _STRANGE_EVERY[place.name] == 0:
                kinds += STRANGE
            yield from ((part, case, kind) for kind in kinds)


def cases_of_parts(place: Workplace) -> dict[str, list[str]]:
    """Return the cases to calibrate on and those to measure on; no network and no prior was trained on either.

    Calibration: the study's selection and some more patients of fold 0's training part. Confirmation: the others, and
    fold 0's held-out cases.
    """
    splits = json.loads((place.preprocessed / "splits_final.json").read_text())
    selection = {place.unit(case) for case in splits[FEW_FOLD]["val"]}
    trained_on = {place.unit(case) for case in splits[FEW_FOLD]["train"]}
    rest = sorted({place.unit(case) for case in splits[ALL_FOLD]["train"]} - selection - trained_on)
    drawn = {rest[index] for index in np.random.default_rng(1).permutation(len(rest))[: MORE_PATIENTS[place.name]]}
    calibrated = selection | drawn
    unseen = [case for case in splits[ALL_FOLD]["train"] if place.unit(case) not in trained_on]
    return {
        CALIBRATION: sorted(case for case in unseen if place.unit(case) in calibrated),
        CONFIRMATION: sorted(
            [case for case in unseen if place.unit(case) not in calibrated] + place.cases(CONFIRMATION)
        ),
    }


def strange(values: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Return an image (Z, Y, X) unlike the training's, on the same grid.

    `contrast`: inverted, bright becomes dark. `strong_noise`: of twice the image's standard deviation.
    `missing_slices`: half of the stack is as dark as the darkest voxel. `upside_down`: turned by 180° in the Z-Y plane.
    """
    if kind == "contrast":
        return values.max() + values.min() - values
    if kind == "strong_noise":
        noise = np.random.default_rng(seed).normal(0, 2 * values.std(), values.shape)
        return values + noise.astype(np.float32)
    if kind == "missing_slices":
        spoilt = values.copy()
        spoilt[: len(values) // 2] = values.min()
        return spoilt
    return np.ascontiguousarray(values[::-1, ::-1])


def _write_image(place: Workplace, path: Path, case: str, kind: str, *, other_images: Path) -> None:
    import SimpleITK

    if path.is_file():
        return
    source = place.raw / "imagesTr" / f"{case}_0000.nii.gz"
    if kind == "other_organ":
        files = sorted(other_images.glob("*_0000.nii.gz"))
        SimpleITK.WriteImage(_middle(SimpleITK.ReadImage(str(files[sum(case.encode()) % len(files)]))), str(path), True)
        return
    image = SimpleITK.ReadImage(str(source))
    values = SimpleITK.GetArrayFromImage(image).astype(np.float32)
    if kind in STRANGE:
        values = strange(values, kind, seed_of(case, kind))
    else:
        label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(place.raw / "labelsTr" / f"{case}.nii.gz")))
        spacing_mm, motion_mm = image.GetSpacing()[::-1], place.study.motion_mm
        seed = seed_of(case, kind)
        values = corrupt(values, label, kind, spacing_mm=spacing_mm, motion_mm=motion_mm, seed=seed)
    written = SimpleITK.GetImageFromArray(values)
    written.CopyInformation(image)
    SimpleITK.WriteImage(written, str(path), True)


def _middle(image):
    """Return the middle of an image, at most 60 mm wide along each axis."""
    import SimpleITK

    size = [
        min(length, max(2, round(_OTHER_ORGAN_MM / mm)))
        for length, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    start = [(length - own) // 2 for length, own in zip(image.GetSize(), size, strict=True)]
    return SimpleITK.RegionOfInterest(image, size, start)
