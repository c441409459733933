"""Patients' folders as ACDC has them."""

import numpy as np
import SimpleITK

SIZE = (6, 5, 3)
FRAMES = {"ED": 1, "ES": 4}


def acdc_image(seed, size=SIZE):
    image = SimpleITK.GetImageFromArray(np.random.default_rng(seed).integers(0, 999, size[::-1]).astype(np.int16))
    image.SetSpacing((1.5, 1.25, 10.0))
    image.SetOrigin((-7.0, 3.0, 11.0))
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


def acdc_label(image, dtype=np.uint8):
    array = np.zeros(image.GetSize()[::-1], dtype)
    array[1, 1:4, 1:5] = [1, 2, 3, 0]
    label = SimpleITK.GetImageFromArray(array)
    label.CopyInformation(image)
    return label


def write_acdc_patient(part, number, *, group="DCM", labels=True, series=False):
    """A patient's folder as ACDC has it; with `series`, frames are only in the _4d file."""
    name = f"patient{number:03d}"
    folder = part / name
    folder.mkdir(parents=True)
    group_line = f"Group: {group}\n" if group else ""
    (folder / "Info.cfg").write_text(f"ED: 1\nES: 4\n{group_line}Height: 170.0\nNbFrame: 5\nWeight: 70.0\n")
    frames = [acdc_image((number, frame)) for frame in range(1, 6)]
    if series:
        SimpleITK.WriteImage(SimpleITK.JoinSeries(frames), str(folder / f"{name}_4d.nii.gz"))
    for frame in FRAMES.values():
        stem = folder / f"{name}_frame{frame:02d}"
        if not series:
            SimpleITK.WriteImage(frames[frame - 1], f"{stem}.nii.gz")
        if labels:
            SimpleITK.WriteImage(acdc_label(frames[frame - 1]), f"{stem}_gt.nii.gz")
    return folder


def write_acdc(source):
    """Write ten training patients of two groups and two test patients, all good, and return the folder."""
    for number in range(1, 11):
        write_acdc_patient(source / "training", number, group="DCM" if number % 2 else "NOR")
    for number in (101, 102):
        write_acdc_patient(source / "testing", number, group="", labels=False)
    return source
