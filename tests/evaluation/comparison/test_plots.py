"""The plots: which labels have a panel, and where a pair stands that only one arm found."""

import pytest
from compared_folders import missed, score, write_evaluation

from acnn_nnunet.evaluation.comparison import plots
from acnn_nnunet.evaluation.comparison.comparisons import compare_scores
from acnn_nnunet.evaluation.comparison.plots import LOSS_COLOUR, MOST_PANELS, TIE_COLOUR, WIN_COLOUR, draw_pairs
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores


@pytest.fixture
def figure_of(tmp_path, monkeypatch):
    """Return a function that draws the Dice of two arms and returns the figure."""
    monkeypatch.setattr(plots, "figure_data_uri", lambda figure: figure)

    def draw(a, b):
        arms = {"a": a, "b": b}
        scores = read_paired_scores({name: write_evaluation(tmp_path / name, rows) for name, rows in arms.items()})
        return draw_pairs(scores, compare_scores(scores, resamples=10), "b", "dice")

    return draw


def panels(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_visible() and axis.get_title()]


def test_few_labels_have_a_panel_each(figure_of):
    rows = [score("c", label) for label in "12"]

    assert panels(figure_of(rows, rows)) == ["1", "2", "foreground"]


def test_of_many_labels_those_that_differ_most_have_a_panel(figure_of):
    labels = [str(number) for number in range(40)]

    figure = figure_of([score("c", k, 0.5) for k in labels], [score("c", k, 0.5 + int(k) / 100) for k in labels])

    assert panels(figure) == [*(str(number) for number in range(29, 40)), "foreground"]
    assert MOST_PANELS == 12


def test_wins_losses_ties_and_a_miss_at_the_edge(figure_of):
    a = [score("c", dice=0.5), score("d", dice=0.6), score("e", dice=0.7), score("f", dice=0.9)]
    b = [score("c", dice=0.6), score("d", dice=0.5), score("e", dice=0.7), missed("f")]

    scatter, differences = (axis for axis in figure_of(a, b).axes if axis.get_visible())

    colours = {tuple(colour[:3]) for collection in scatter.collections for colour in collection.get_facecolors()}
    expected = {
        tuple(int(hexed[k : k + 2], 16) / 255 for k in (1, 3, 5)) for hexed in (WIN_COLOUR, LOSS_COLOUR, TIE_COLOUR)
    }
    assert colours == expected
    inside, edge = scatter.collections
    assert (len(inside.get_offsets()), len(edge.get_offsets())) == (3, 1)
    # Of the pairs that both found, Dice goes from 0.5 to 0.7, and 6 % of that lie around: a Dice of 0 is far below.
    assert scatter.get_ylim() == pytest.approx((0.5 - 0.012, 0.7 + 0.012))
    assert edge.get_offsets()[0].tolist() == pytest.approx([0.712, 0.488])
    assert differences.get_xlim()[1] == pytest.approx(0.1 + 0.06 * (0.1 - differences.get_xlim()[0]) / 1.06)
