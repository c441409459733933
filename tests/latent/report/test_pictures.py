"""Surfaces of shapes whose surface is known, and pictures of what has none."""

import base64

import numpy as np
import pytest
from skimage.measure import mesh_surface_area

from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.latent.report.pictures import (
    draw_histograms,
    draw_path,
    draw_splits,
    draw_spread,
    enclosing_labels,
    surfaces,
)
from acnn_nnunet.latent.report.space import Splits, describe_space

SPACING_MM = (6.0, 2.0, 2.0)


def distance_in_ball(radius_mm, shape=(20, 60, 60), spacing_mm=SPACING_MM):
    """How deep each voxel (Z, Y, X) lies in a ball in the middle, in mm."""
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    return radius_mm - np.sqrt(sum(axis**2 for axis in np.meshgrid(*axes, indexing="ij")))


def is_png(uri):
    return base64.b64decode(uri.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_a_balls_surface_is_a_sphere_in_mm():
    (mesh,) = surfaces(distance_in_ball(40.0)[None] / 100, SPACING_MM)

    vertices, triangles = mesh
    radii = np.linalg.norm(vertices - vertices.mean(0), axis=1)
    assert radii.mean() == pytest.approx(40, abs=1)
    assert radii.std() < 1
    assert mesh_surface_area(vertices, triangles) == pytest.approx(4 * np.pi * 40**2, rel=0.05)


def test_a_label_that_is_absent_has_no_surface_and_one_at_the_edge_is_closed():
    absent, everywhere = surfaces(np.stack([np.full((4, 6, 6), -0.5), np.full((4, 6, 6), 0.5)]), SPACING_MM)

    assert absent is None
    # Closed: every edge belongs to two triangles.
    edges = np.sort(everywhere[1][:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert set(counts) == {2}


def test_a_wall_encloses_its_cavity_and_a_neighbour_does_not():
    depth = distance_in_ball(30.0, spacing_mm=(8.0, 2.0, 2.0))
    cavity = depth > 12
    wall = (depth > 0) & ~cavity
    beside = np.roll(depth, 30, axis=2) > 0  # touches the wall on one side
    masks = np.stack([beside & ~wall & ~cavity, wall, cavity])[None]

    assert enclosing_labels(masks, (8.0, 2.0, 2.0)) == {1}
    assert enclosing_labels(np.zeros((2, 3, 4, 5, 5), dtype=bool), SPACING_MM) == set()


@pytest.mark.parametrize("shape", [(4, 8, 8), (8, 8)])
def test_shapes_with_nothing_to_see_are_drawn(shape):
    masks = np.zeros((2, 3, *shape), dtype=bool)
    masks[1, 2, ..., 2:5, 3:6] = True

    assert is_png(draw_path(masks - 0.5, masks, ["_a $", "b"], SPACING_MM[-len(shape) :]))
    assert is_png(draw_path(0 * masks - 0.5, 0 * masks > 0, ["a", "b"], SPACING_MM[-len(shape) :]))


def test_a_code_of_one_number_has_one_bar():
    assert is_png(draw_splits(Splits({"a": 3, "b": 4}, np.ones(1), np.ones(1))))


@pytest.mark.parametrize("codes", [np.zeros((2, 1)), np.arange(12.0).reshape(4, 3)])
def test_histograms_of_codes_that_hardly_move(codes):
    assert is_png(draw_histograms(describe_space(codes)))


def test_the_spread_of_cases_without_group_and_phase():
    codes = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
    cases = [CaseGroup(name, name, "", "") for name in "abc"]

    assert is_png(draw_spread(describe_space(codes), codes, cases))


def test_the_spread_of_groups_with_names_that_are_formulas():
    codes = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0]])
    cases = [
        CaseGroup(f"{n}", f"{n}", phase, group)
        for n, (phase, group) in enumerate([("ED", "$_"), ("ES", "b"), ("", "")])
    ]

    assert is_png(draw_spread(describe_space(codes), codes, cases))
