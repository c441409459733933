"""Distributions, correlation, directions, paths and splits of codes that are made to have known ones."""

import numpy as np
import pytest

from acnn_nnunet.latent.report.space import (
    correlation_matrix,
    describe_space,
    dimension_directions,
    principal_directions,
    splitting_dimensions,
    traverse,
)

RNG = np.random.default_rng(0)


def test_fewer_than_two_codes_have_no_spread():
    with pytest.raises(ValueError, match=r"needs at least two finite ones, got 1"):
        describe_space(np.zeros((1, 3)))


def test_codes_that_do_not_move_are_described_without_a_division_by_zero():
    space = describe_space(np.ones((30, 3)))

    assert space["tested_dimensions"] == 0
    assert space["correlation"]["largest_absolute"] == 0
    assert principal_directions(np.ones((30, 3)), 3) == []


def test_a_code_of_one_number_has_no_pairs():
    space = describe_space(RNG.normal(size=(40, 1)))

    assert space["correlation"]["mean_absolute"] is None
    assert space["correlation"]["strongest_pairs"] == []


def test_normal_and_two_humped_dimensions_are_told_apart():
    codes = np.stack([RNG.normal(size=400), np.sign(RNG.normal(size=400)) + 0.1 * RNG.normal(size=400)], 1)

    space = describe_space(codes)

    assert [d["looks_normal"] for d in space["dimensions"]] == [True, False]
    assert [d["looks_multimodal"] for d in space["dimensions"]] == [False, True]
    assert (space["normal_dimensions"], space["multimodal_dimensions"], space["tested_dimensions"]) == (1, 1, 2)
    assert all(sum(d["counts"]) == 400 for d in space["dimensions"])


def test_correlation_is_numpys_and_the_strongest_pair_comes_first():
    codes = RNG.normal(size=(50, 4))
    codes[:, 2] = -codes[:, 0] + 0.1 * RNG.normal(size=50)

    np.testing.assert_allclose(correlation_matrix(codes), np.corrcoef(codes.T), atol=1e-12)
    strongest = describe_space(codes)["correlation"]["strongest_pairs"][0]
    assert strongest["dimensions"] == [0, 2]
    assert strongest["correlation"] < -0.98


def test_principal_directions_are_those_of_the_covariance():
    codes = RNG.normal(size=(60, 5)) @ np.diag([1.0, 4.0, 2.0, 0.5, 0.1]) + 7

    directions = principal_directions(codes, 9)

    values, vectors = np.linalg.eigh(np.cov(codes.T))
    assert [direction.name for direction in directions] == [f"principal {n}" for n in range(1, 6)]
    for direction, value, vector in zip(directions, values[::-1], vectors.T[::-1], strict=True):
        assert np.linalg.norm(direction.vector) == pytest.approx(np.sqrt(value))
        assert abs(direction.vector @ vector) == pytest.approx(np.sqrt(value))
        assert direction.vector[np.abs(direction.vector).argmax()] > 0
    assert sum(direction.share for direction in directions) == pytest.approx(1)


def test_fewer_codes_than_numbers_have_fewer_directions():
    assert len(principal_directions(RNG.normal(size=(3, 8)), 5)) == 2


def test_a_dimensions_line_runs_from_two_deviations_below_to_two_above():
    codes = np.array([[0.0, 1.0], [2.0, 5.0], [4.0, 9.0]])  # deviations 2 and 4

    (direction,) = dimension_directions(codes, [1])

    assert traverse(codes.mean(0), direction).tolist() == [[2, -3], [2, 1], [2, 5], [2, 9], [2, 13]]
    with pytest.raises(ValueError, match=r"There is no dimension 2: the code has the dimensions 0 to 1"):
        dimension_directions(codes, [2])


def test_trees_split_where_the_groups_differ():
    groups = ["a"] * 20 + ["b"] * 20 + ["c"] + [""] * 5
    codes = RNG.normal(size=(46, 6))
    codes[20:40, 4] += 6

    splits = splitting_dimensions(codes, groups)

    assert splits.groups == {"a": 20, "b": 20, "c": 1}
    assert splits.order[0] == 4
    assert splits.importances.argmax() == 4
    assert splits.shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("groups", [[""] * 4, ["a", "a", "", "a"]])
def test_one_group_is_nothing_to_split(groups):
    with pytest.raises(ValueError, match=r"at least two groups are needed"):
        splitting_dimensions(np.zeros((4, 2)), groups)
