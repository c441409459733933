"""Panels of a code's dimensions, and the spectrum."""

import numpy as np
import pytest

from acnn_nnunet.pages.page import new_figure
from acnn_nnunet.pages.plots import code_panels, draw_spectrum


@pytest.mark.parametrize(
    ("variances", "order"),
    [([2.0], [0]), ([1.0, 3.0, 2.0], [1, 2, 0]), (np.arange(31), list(range(30, -1, -2)))],
)
def test_panels_go_evenly_from_the_most_to_the_least_varied(variances, order):
    figure, panels = code_panels(variances)

    assert [index for index, _ in panels] == order
    assert [axis.get_title() for _, axis in panels] == [f"code_{index}" for index in order]
    assert sum(axis.get_visible() for axis in figure.axes) == len(order)


def test_the_spectrum_adds_up():
    axis = new_figure(2, 2).subplots()

    draw_spectrum(axis, [0.5, 0.25, 0.25], 2.0, of=" of codes")

    shares, rank = axis.get_lines()
    assert shares.get_xydata().tolist() == [[1, 0.5], [2, 0.75], [3, 1.0]]
    assert set(rank.get_xdata()) == {2.0}
    assert axis.get_xlabel() == "principal directions of codes"
