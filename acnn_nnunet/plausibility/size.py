"""How large and how thin each structure of a prediction is: known of every prediction, whatever else scores it."""

from collections.abc import Mapping

import numpy as np

from acnn_nnunet.evaluation.masks.case_scores import masks_in_box
from acnn_nnunet.nnunet.label_files import LabelMap

VOLUME, THINNESS = "volume_ml", "thinness_per_mm"


def size_of(prediction: LabelMap, label_values: Mapping[str, tuple[int, ...]]) -> dict[str, dict[str, float]]:
    """Return volume and thinness of each label that a prediction holds.

    Thinness is the area of the voxel faces between the structure and the rest, over its volume. The same error of a
    border costs a thin structure more Dice than a thick one.

    A slice of unknown thickness counts as 1 mm thick.

    Args:
        prediction: a label map.
        label_values: the values of each label or region.

    Returns:
        By label, `volume_ml` and `thinness_per_mm`.
    """
    found = {}
    spacing_mm = np.array(prediction.geometry.spacing_mm, dtype=np.float64)
    voxel_ml = prediction.geometry.voxel_ml or spacing_mm.prod() / 1000
    for label, values in label_values.items():
        (mask,) = masks_in_box([prediction.values], values, [prediction.boxes])
        if count := np.count_nonzero(mask):
            around = np.pad(mask, 1)
            faces = [np.count_nonzero(np.diff(around, axis=axis)) for axis in range(mask.ndim)]
            # Over the volume, a face across an axis counts one over the voxel's length along it.
            thinness = sum(number / (mm * count) for number, mm in zip(faces, spacing_mm, strict=True))
            found[label] = {VOLUME: float(count * voxel_ml), THINNESS: float(thinness)}
    return found
