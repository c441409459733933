"""The page of `plausibility`: the kept slice, and captions that a table row alone can give."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.plausibility.page import KeptSlice, render_plausibility_page
from acnn_nnunet.plausibility.scores import PredictionScores
from acnn_nnunet.plausibility.table import PlausibilityRow


def stand_in(*, regions):
    names = {0: "whole", 1: "core"} if regions else {1: "LV", 2: "RV"}
    labels = SimpleNamespace(regions=regions)
    return SimpleNamespace(labels=labels, names=names, geometry=Geometry((3, 4, 4), (8.0, 2.0, 1.0)))


def scored(maps, others, image=None):
    return PredictionScores({"mahalanobis": 1.0}, {}, 0.0, maps, others, image)


def test_the_slice_that_differs_most_is_kept_and_no_view_of_the_volume():
    maps = torch.zeros(3, 3, 4, 4)
    maps[0] = 1
    others = maps.clone()
    others[0, 2, :2], others[2, 2, :2] = 0, 1  # label 2 on half of the last slice
    image = torch.arange(48.0).reshape(1, 3, 4, 4)
    kept = KeptSlice.of(scored(maps, others, image), stand_in(regions=False))
    assert kept.prediction.tolist() == np.zeros((4, 4)).tolist()
    assert kept.reconstruction.tolist() == [[2] * 4, [2] * 4, [0] * 4, [0] * 4]
    assert kept.image[0].tolist() == [32, 33, 34, 35]
    assert kept.spacing_mm == (2.0, 1.0)
    assert all(each.base is None for each in (kept.prediction, kept.reconstruction, kept.image))


def test_the_last_of_overlapping_regions_is_seen():
    maps = torch.zeros(2, 3, 4, 4)
    maps[0], maps[1, :, 0] = 1, 1
    kept = KeptSlice.of(scored(maps, maps), stand_in(regions=True))
    assert kept.prediction.tolist() == [[2] * 4, [1] * 4, [1] * 4, [1] * 4]
    assert kept.label_names == {1: "whole", 2: "core"}


def test_nothing_is_kept_of_an_empty_prediction():
    assert KeptSlice.of(scored(torch.zeros(2, 3, 4, 4), None), stand_in(regions=False)) is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_case_without_a_kept_slice_has_its_caption_alone(kept):
    row = PlausibilityRow("a", "scored", {"mahalanobis": 2.345, "missing_labels": 1.0}, {"r": 0.25, "s": 0.0})
    maps = torch.zeros(3, 3, 4, 4)
    maps[1, 1, 1] = 1
    slices = {"a": KeptSlice.of(scored(maps, maps), stand_in(regions=False))} if kept else {}
    prior = SimpleNamespace(path="p.pth", spec=SimpleNamespace(dataset="D", fold=0))
    page = render_plausibility_page(
        [row], slices, None, calibrated_here=False, score_names=["mahalanobis"], folder="F", images=None, prior=prior,
        rules=["r", "s"],
    )  # fmt: skip
    assert page.count("<img") == kept
    assert "a: distance of its code (Mahalanobis) 2.35; labels missing 1; breaks r (25.0%)" in page
