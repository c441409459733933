"""The share of the voxels that each label has: what adjusts the logits of a loss that weighs labels alike."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def log_shares(labels: Sequence[Path], num_labels: int) -> list[float]:
    """Return the log of each label's share of the voxels of label maps, background first.

    Args:
        labels: files of label maps.
        num_labels: background included; labels are 0 to num_labels - 1.
    """
    from acnn_nnunet.nnunet.label_files import LabelFileReader

    reader = LabelFileReader("SimpleITKIO")
    counts = np.sum([np.bincount(reader.read(path).values.ravel(), minlength=num_labels) for path in labels], axis=0)
    return np.log(counts / counts.sum()).tolist()
