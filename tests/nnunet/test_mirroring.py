"""Which axes are mirrored, and which labels change places there."""

import pytest

from acnn_nnunet.nnunet.mirroring import Mirroring, file_axis, plan_mirroring, read_axes, read_pairs, swapped_values

KIDNEYS = {"background": 0, "left": 1, "right": 2, "spine": 3, "ignore": 4}
# A tumour of the left kidney is 2, of the right one 4; both organs are regions with their tumours.
TUMOURS = {
    "background": 0,
    "kidneys": [1, 2, 3, 4],
    "left": [1, 2],
    "right": [3, 4],
    "left tumour": [2],
    "right tumour": [4],
    "spine": 5,
}


def plan(wanted, pairs=None, swap_axis=None, num_axes=3, labels=KIDNEYS):
    return plan_mirroring(wanted, pairs=pairs, swap_axis=swap_axis, num_axes=num_axes, labels=labels)


@pytest.mark.parametrize(
    ("value", "axes"), [(0, (0,)), ("0,1", (0, 1)), (" 2 , 0", (2, 0)), ([1], (1,)), ((0, 2), (0, 2))]
)
def test_axes_in_every_way_of_writing(value, axes):
    assert read_axes(value) == axes


@pytest.mark.parametrize("value", ["", "x", "0,", "-1", -1, 1.0, True, None, [], [True], [0.0], {}, "1,1", "²"])
def test_what_is_no_axes(value):
    with pytest.raises(ValueError):  # noqa: PT011 (the rule of the setting says what is wanted)
        read_axes(value)


def test_pairs_of_names_and_values():
    assert read_pairs("left kidney : right kidney,3:4") == [("left kidney", "right kidney"), ("3", "4")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left", "'left' is no pair"),
        ("a:b:c", "'a:b:c' is no pair"),
        ("a:b,", "'' is no pair"),
        ("a:", "'a:' is no pair"),
        ("a:a", "'a' comes twice in mirrored_labels"),
        ("a:b,c:b", "'b' comes twice in mirrored_labels"),
        (5, "^$"),
    ],
)
def test_what_is_no_pair(text, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(text)


def test_labels_change_places_along_the_one_mirrored_axis_which_prediction_leaves_out():
    assert plan(2, "left:right") == Mirroring((2,), 2, {1: 2, 2: 1})
    assert plan(2, "left:right").prediction_axes == ()
    several = plan("0,2", "1:2", swap_axis=2)
    assert (several.axes, several.prediction_axes, several.swaps_in_words) == ((0, 2), (0,), "1:2")
    assert plan(True, "left:right", swap_axis=1).prediction_axes == (0, 2)
    assert plan(False) == Mirroring()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wanted": 2, "num_axes": 2}, "^mirroring names axis 2, and a patch of this configuration has 0, 1 only$"),
        ({"wanted": "0,3"}, "^mirroring names axis 3, and a patch of this configuration has 0, 1, 2 only$"),
        (
            {"wanted": False, "pairs": "left:right"},
            "^mirrored_labels=left:right needs mirroring along an axis: add mirroring=AXIS, with one of 0, 1, 2$",
        ),
        (
            {"wanted": True, "pairs": "left:right"},
            "^mirrored_labels=left:right needs to know which of the mirrored axes 0, 1, 2 .*mirrored_labels_axis=AXIS",
        ),
        (
            {"wanted": "0,1", "pairs": "1:2", "swap_axis": 2},
            "^mirrored_labels_axis=2 is none of the axes .* \\(0, 1\\)$",
        ),
        ({"wanted": "0,1", "swap_axis": 1}, "^mirrored_labels_axis=1 goes with mirrored_labels alone: name the pairs"),
    ],
)
def test_settings_that_do_not_go_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan(**arguments)


def test_regions_become_their_partners_with_all_that_they_hold():
    # Organ without tumour 1 ↔ 3, tumour 2 ↔ 4; the region of both kidneys and the spine stay what they are.
    assert swapped_values("left:right,left tumour:right tumour", TUMOURS) == {1: 3, 3: 1, 2: 4, 4: 2}
    assert swapped_values("left:right,2:4", TUMOURS) == {1: 3, 3: 1, 2: 4, 4: 2}
    # Values in the same regions look alike to a training with regions: they are paired in their order.
    assert swapped_values("a:b", {"background": 0, "a": [5, 1], "b": [2, 7]}) == {1: 2, 2: 1, 5: 7, 7: 5}


@pytest.mark.parametrize(
    ("text", "labels", "message"),
    [
        (
            "left:rigth",
            KIDNEYS,
            r"^mirrored_labels names 'rigth', which the dataset lacks; it has left \(1\), right \(2\), spine \(3\)$",
        ),
        ("0:1", KIDNEYS, "names '0', which has no side and changes places with nothing$"),  # background
        ("background:left", KIDNEYS, "names 'background', which has no side"),
        ("ignore:left", KIDNEYS, "names 'ignore', which has no side"),
        ("4:1", KIDNEYS, "names '4', which"),
        ("left:right,1:3", KIDNEYS, "^'left' comes twice in mirrored_labels$"),
        (
            "left:right tumour",
            TUMOURS,
            "^mirrored_labels pairs unequal kinds: left is a region of 2 labels, and right tumour is one label$",
        ),
        ("left:kidneys", TUMOURS, "left is a region of 2 labels, and kidneys is a region of 4 labels$"),
        (
            "left:right",
            TUMOURS,
            r"^mirrored_labels=left:right leaves label 2 \(in kidneys, left, left tumour\) without a counterpart: ",
        ),
        ("left tumour:right tumour", TUMOURS, "without a counterpart"),
        ("2:3", TUMOURS, "names '3', which"),  # no region is this value alone
    ],
)
def test_pairs_that_are_no_mirror_images(text, labels, message):
    with pytest.raises(ValueError, match=message):
        swapped_values(text, labels)


@pytest.mark.parametrize(
    ("transpose_forward", "num_axes", "names"),
    [
        # The host reads (z, y, x), and the plans put the axis with the largest spacing first.
        ([0, 1, 2], 3, "zyx"),
        ([2, 0, 1], 3, "xzy"),  # sagittal slices
        ([2, 0, 1], 2, "zy"),  # in two dimensions the first axis is gone
        ([0, 1, 2], 2, "yx"),
    ],
)
def test_axes_of_the_files(transpose_forward, num_axes, names):
    assert "".join(file_axis(axis, transpose_forward, num_axes=num_axes) for axis in range(num_axes)) == names


def test_the_sentence_for_the_log():
    assert Mirroring().describe([0, 1, 2], num_axes=3) == "Nothing is mirrored."
    axes = Mirroring((0, 1)).describe([1, 0, 2], num_axes=3)
    assert axes == "Mirrors along axes 0 (y of the files), 1 (z of the files)."
    assert Mirroring((2,), 2, {1: 2, 2: 1, 3: 5, 5: 3}).describe([0, 1, 2], num_axes=3) == (
        "Mirrors along axis 2 (x of the files); labels 1:2, 3:5 change places along axis 2, which prediction does not "
        "mirror."
    )
