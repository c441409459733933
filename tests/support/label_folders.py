"""Small folders of label maps to evaluate, and stand-ins for what happens in a worker process."""

import json
import os
from pathlib import Path

import numpy as np
import SimpleITK

SHAPE = (4, 12, 10)
SPACING = (1.0, 1.5, 4.0)  # x, y, z, as files have it
DIAGONAL_MM = float(np.sqrt(10.0**2 + 18.0**2 + 16.0**2))  # 10 × 1, 12 × 1.5 and 4 × 4 mm
LABELS = {"background": 0, "RV": 1, "LV": 2}


def block(*ranges, label=1, shape=SHAPE):
    """Return a label map with one block of a label."""
    values = np.zeros(shape, np.uint8)
    values[tuple(slice(*each) for each in ranges)] = label
    return values


def heart(shift=0):
    """Return a label map with both labels, the second `shift` voxels off along x."""
    values = block((1, 3), (2, 6), (1, 5))
    values[1:3, 7:11, 2 + shift : 6 + shift] = 2
    return values


def write_labels(path, values, *, spacing=SPACING, origin=None, direction=None):
    """Write a label map and return its path."""
    image = SimpleITK.GetImageFromArray(values)
    image.SetSpacing(spacing[: image.GetDimension()])
    if origin:
        image.SetOrigin(origin)
    if direction:
        image.SetDirection(direction)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path), True)
    return Path(path)


def write_dataset(folder, labels=None, **content):
    """Write a dataset.json and return its path."""
    path = Path(folder) / "dataset.json"
    path.write_text(json.dumps({"labels": labels or LABELS, "file_ending": ".nii.gz", **content}))
    return path


def make_folders(root, num_cases=4):
    """Write references and predictions, of which that of case `i` is `i` voxels off, and return both folders."""
    reference, prediction = Path(root) / "labelsTs", Path(root) / "predicted"
    for index in range(num_cases):
        write_labels(reference / f"case_{index}.nii.gz", heart())
        write_labels(prediction / f"case_{index}.nii.gz", heart(index % 4))
    write_dataset(root)
    return reference, prediction


def evaluated(plan, folder):
    """Evaluate every case of a plan with a journal in a folder, and return its entries."""
    from acnn_nnunet.casewise.journal import Journal
    from acnn_nnunet.evaluation.cases import evaluate_cases

    journal = Journal.of_part(folder, num_parts=1, part_id=0)
    journal.start(plan.header())
    evaluate_cases(plan, journal, list(plan.cases))
    return journal.entries_of(list(plan.cases))


def die_at_case_2(plan, case):
    """Stand in for `evaluate_case` in a worker that the system kills at the third case."""
    from acnn_nnunet.evaluation.cases import evaluate_case

    if case == "case_2":
        os._exit(9)
    return evaluate_case(plan, case)
