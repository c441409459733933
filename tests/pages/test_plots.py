"""Panels of a code's dimensions."""

import numpy as np
import pytest

from acnn_nnunet.pages.plots import code_panels


@pytest.mark.parametrize(
    ("variances", "order"),
    [([2.0], [0]), ([1.0, 3.0, 2.0], [1, 2, 0]), (np.arange(31), list(range(30, -1, -2)))],
)
def test_panels_go_evenly_from_the_most_to_the_least_varied(variances, order):
    figure, panels = code_panels(variances)

    assert [index for index, _ in panels] == order
    assert [axis.get_title() for _, axis in panels] == [f"code_{index}" for index in order]
    assert sum(axis.get_visible() for axis in figure.axes) == len(order)
