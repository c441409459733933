"""Repeats that nnU-Net's resampling makes, counted by hand."""

import numpy as np

from scripts.studies.thick_slices import resampled_repeats


def test_one_in_five_slices_is_repeated():
    """Twenty HR slices, each with another row of foreground: five slices of 4, four planned ones of 5."""
    labels = np.zeros((20, 24, 6), np.uint8)
    labels[np.arange(20), np.arange(20)] = 1
    true, planned = resampled_repeats.slices_of(labels)
    assert true.argmax(1)[:, 0].tolist() == [1, 5, 9, 13, 17]
    # Planned slices see 2, 7, 12 and 17. The stack's centres, in planned slices: 0.4·2 − … = 0, 0.8−, 1.5, 2.3, 3.1.
    assert planned.argmax(1)[:, 0].tolist() in ([2, 7, 7, 12, 17], [2, 7, 12, 12, 17])
    found = resampled_repeats.measure([labels])
    assert found == {"cases": 1, "true": [4, 0], "planned": [4, 1], "dice": found["dice"]}
    assert found["dice"] == 6 / 30  # of five rows one lies where it should
