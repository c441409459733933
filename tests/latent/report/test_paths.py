"""Paths through a space of codes: where they lead, and what changes on the way."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.codes.table import CodeTable
from acnn_nnunet.latent.report.paths import change_of, labels_seen_through, plan_paths
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

TABLE = CodeTable(
    tuple(CaseGroup(case, case, "", "") for case in "abc"),
    np.array([[0.0, 0, 1], [2, 0, 1], [4, 0, 1]]),
    {"d": "holds no label"},
)


def paths_of(*, dimensions=(), num_directions=0, between=None):
    return plan_paths(TABLE, dimensions=dimensions, num_directions=num_directions, between=between)


def test_nothing_asked_for_is_no_path():
    assert paths_of() == []


def test_a_dimension_is_traversed_in_its_standard_deviations():
    # Mean 2, standard deviation √((4 + 0 + 4) / 2) = 2.
    (path,) = paths_of(dimensions=[0])

    assert (path.name, path.picture, path.share) == ("code_0", "code_0.png", None)
    assert path.titles == ("-2 SD", "-1 SD", "mean", "+1 SD", "+2 SD")
    np.testing.assert_allclose(path.codes, [[-2, 0, 1], [0, 0, 1], [2, 0, 1], [4, 0, 1], [6, 0, 1]])


def test_directions_without_variance_are_left_out():
    (path,) = paths_of(num_directions=3)

    assert (path.name, path.picture) == ("principal 1", "principal_1.png")
    assert path.share == pytest.approx(1)


def test_five_steps_from_one_case_to_the_other():
    (path,) = paths_of(between=("a", "c"))

    assert path.titles == ("a", "25 %", "50 %", "75 %", "c")
    np.testing.assert_allclose(path.codes[:, 0], [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    ("between", "message"),
    [(("a", "x"), r"there is no code of x\."), (("d", "a"), r"there is no code of d \(holds no label\)\.")],
)
def test_a_case_without_a_code_is_refused(between, message):
    with pytest.raises(ValueError, match=message):
        paths_of(between=between)


def test_changes_are_the_last_value_minus_the_first():
    def step(thickness, volume):
        thickness = {"name": "MYO thickness", "unit": "mm", "value": thickness}
        return {"measures": [{"name": "LV volume", "unit": "ml", "value": volume}, thickness]}

    volume, thickness = change_of([step(None, 10.0), step(8.0, 20.0), step(9.0, 45.0)])

    assert (volume["values"], volume["change"]) == ([10.0, 20.0, 45.0], 35.0)
    assert (thickness["values"], thickness["change"]) == ([None, 8.0, 9.0], None)


def coder_of(shape):
    """Decodes every code to a ring of label 1 around label 2, in each slice."""
    labels = torch.zeros(shape, dtype=torch.long)
    labels[..., 1:6, 1:6] = 1
    labels[..., 2:5, 2:5] = 2
    maps = torch.nn.functional.one_hot(labels, 3).movedim(-1, 0).float()
    return SimpleNamespace(
        grid=SimpleNamespace(size=shape),
        names={1: "MYO", 2: "LV"},
        labels=LabelSpace(3),
        geometry=Geometry(shape, (8.0, 1.0, 1.0)[-len(shape) :]),
        decode=lambda codes: maps.expand(len(codes), *maps.shape),
    )


def test_a_wall_around_a_cavity_is_seen_through():
    assert labels_seen_through(TABLE, coder_of((3, 7, 7))) == {0}


def test_nothing_is_hidden_in_two_dimensions():
    assert labels_seen_through(TABLE, coder_of((7, 7))) == set()


def test_one_code_is_enough_to_see_what_surrounds_what():
    one = CodeTable(TABLE.cases[:1], TABLE.codes[:1])

    assert labels_seen_through(one, coder_of((3, 7, 7))) == {0}
