"""The same labels in neighbouring slices that nnU-Net's way back to a stack makes by itself, whatever the network.

    python -m scripts.studies.thick_slices.resampled_repeats --raw ../shared/data/nnUNet_raw

True labels on a grid of planned slices stand for a network without a mistake. nnU-Net's own resampling takes them to a
stack whose slices are closer (nnUNet#2731, #2951). `report --protocol converged` shows the JSON that this writes.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.headers import NIFTI_ENDINGS
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.files.volumes import read_volume
from acnn_nnunet.sr.degradation.acquisition import pad_slices
from scripts.studies.thick_slices.arms import HR_ID
from scripts.studies.thick_slices.converged import CONVERGED_RESULTS
from scripts.studies.thick_slices.repeats import Repeats, count_repeats
from scripts.studies.thick_slices.workplace import NAMES

STACK_SLICES, PLANNED_SLICES = 4, 5  # HR slices in one of a stack, and in a planned one
FILE = "resampling.json"


def main() -> None:
    """Count, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, required=True, help="nnUNet_raw that holds the hippocampi")
    parser.add_argument("--results", type=Path, default=CONVERGED_RESULTS)
    arguments = parser.parse_args()
    arguments.results.mkdir(parents=True, exist_ok=True)
    folder = arguments.raw / NAMES[HR_ID] / "labelsTr"
    write_json(arguments.results / FILE, measure([read_volume(path).values for path in find_label_maps(folder)]))


def find_label_maps(folder: Path) -> list[Path]:
    """Return the label maps of a folder."""
    return [path for _, path in sorted(find_images(folder, NIFTI_ENDINGS).items())]


def measure(label_maps: list[np.ndarray]) -> dict[str, Any]:
    """Return repeats and Dice of label maps (Z, Y, X) with slices along the first axis."""
    counted = {"true": Repeats(), "planned": Repeats()}
    dice = []
    for labels in label_maps:
        true, planned = slices_of(labels)
        counted["true"] += count_repeats(true, axis=0)
        counted["planned"] += count_repeats(planned, axis=0)
        present = [label for label in np.unique(true) if label]
        dice += [2 * ((planned == n) & (true == n)).sum() / ((planned == n).sum() + (true == n).sum()) for n in present]
    repeats = {name: [each.neighbours, each.same] for name, each in counted.items()}
    return {"cases": len(label_maps), **repeats, "dice": round(float(np.mean(dice)), 4)}


def slices_of(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a stack's true labels, and those that nnU-Net makes of the true ones on the planned grid."""
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape

    padded = pad_slices(labels[None], STACK_SLICES, axis=0)[0]
    true = padded[(STACK_SLICES - 1) // 2 :: STACK_SLICES]
    count = round(len(padded) / PLANNED_SLICES)
    centres = (np.arange(count) + 0.5) * len(padded) / count - 0.5
    on_plan = padded[np.round(centres).astype(int)]
    shares = np.stack([on_plan == label for label in range(int(padded.max()) + 1)]).astype(np.float32)
    spacing_mm = [len(padded) / count, 1.0, 1.0], [float(STACK_SLICES), 1.0, 1.0]
    how = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}  # as nnU-Net plans it for probabilities
    back = resample_data_or_seg_to_shape(shares, true.shape, *spacing_mm, **how)
    return true, np.asarray(back).argmax(0)


if __name__ == "__main__":
    main()
