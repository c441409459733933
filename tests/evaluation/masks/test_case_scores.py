"""All labels of a case: regions, unannotated voxels, counts and the clean-up, by hand."""

import numpy as np
import pytest
from label_folders import DIAGONAL_MM, SHAPE, block, heart

from acnn_nnunet.evaluation.masks.case_scores import score_case
from acnn_nnunet.evaluation.masks.scores import score_masks
from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.nnunet.label_files import LabelMap

GEOMETRY = Geometry(SHAPE, (4.0, 1.5, 1.0))


def score(reference, prediction, labels=(1, 2), **keywords):
    maps = [None if values is None else LabelMap(values, GEOMETRY) for values in (reference, prediction)]
    settings = {"ignore": keywords.get("ignore"), "tolerance_mm": keywords.get("mm", 1.0), "case": "a"}
    pairs = score_case(*maps, labels, **settings)
    return {label: scores for label, (scores, _) in zip(labels, pairs, strict=True)}


def counts(scores):
    return scores.true_positives, scores.false_positives, scores.false_negatives, scores.true_negatives


def test_each_label_for_itself():
    scores = score(heart(), heart(shift=1))

    # Label 2 fills 2 × 4 × 4 voxels and is one of four columns off: 24 in common, 8 in each alone, of 480.
    assert counts(scores[1]) == (32, 0, 0, 448)
    assert counts(scores[2]) == (24, 8, 8, 440)
    assert scores[1].dice == 1
    assert scores[2].dice == 0.75
    assert scores[2].hausdorff_mm == 1


@pytest.mark.parametrize("seed", range(4))
def test_cutting_to_a_box_changes_nothing(seed):
    reference, prediction = np.random.default_rng(seed).integers(0, 9, (2, *SHAPE)) % 3 * (np.arange(10) % 7 > 1)
    prediction[:, :4] = 0
    labels = (1, 2, (1, 2))

    scores = score(reference.astype(np.uint8), prediction.astype(np.uint8), labels, mm=2.0)

    for label in labels:
        masks = (np.isin(label_map, label) for label_map in (reference, prediction))
        assert scores[label] == score_masks(*masks, GEOMETRY, tolerance_mm=2.0, case="a", label=str(label))


def test_regions_join_labels():
    reference = block((0, 4), (0, 6), (0, 10), label=1) + block((0, 4), (6, 12), (0, 10), label=2)
    prediction = np.full(SHAPE, 2, np.uint8)

    scores = score(reference, prediction, ((1, 2), 2, 1))

    # Together they fill the image in both.
    assert counts(scores[1, 2]) == (480, 0, 0, 0)
    assert scores[1, 2].hausdorff_mm == 0
    assert counts(scores[2]) == (240, 240, 0, 0)
    assert scores[1].status == "missed"


def test_no_prediction_is_a_miss():
    scores = score(heart(), None, (1, 2, 7))

    assert (scores[1].status, scores[2].status) == ("missed", "missed")
    assert scores[1].hausdorff_mm == pytest.approx(DIAGONAL_MM)
    assert counts(scores[1]) == (0, 0, 32, 448)
    assert scores[7].status == "both_empty"  # a label that is nowhere is not missed
    assert counts(scores[7]) == (0, 0, 0, 480)


def test_a_label_in_the_prediction_only_is_spurious():
    scores = score(block((0, 1), (0, 1), (0, 1)), heart())

    assert scores[2].status == "spurious"
    assert scores[2].surface_dice == 0


def test_unannotated_voxels_count_nowhere():
    reference = heart()
    reference[:, :, 5:] = 9
    prediction = heart(shift=1)

    scores = score(reference, prediction, ignore=9)

    # Five of ten columns are left: of label 2 the reference keeps columns 2 to 4, the prediction 3 and 4.
    assert counts(scores[2]) == (16, 0, 8, 240 - 24)
    assert scores[2].dice == 2 * 16 / (16 + 24)
    assert scores[2].volume_reference_ml == pytest.approx(24 * 6 / 1000)
    assert scores[2].hausdorff_mm == 1


def test_an_image_that_is_all_unannotated():
    scores = score(np.full(SHAPE, 9, np.uint8), heart(), ignore=9)

    assert scores[1].status == "both_empty"
    assert counts(scores[1]) == (0, 0, 0, 0)


def test_the_clean_up_keeps_the_largest_piece_of_each_label():
    reference = block((1, 3), (2, 6), (1, 5))
    prediction = reference.copy()
    prediction[1, 11, 9] = 1  # an island: 5 voxels of 1 mm and 6 of 1.5 mm from the block's corner

    maps = (LabelMap(values, GEOMETRY) for values in (reference, prediction))
    [(scores, cleaned)] = score_case(*maps, (1,), ignore=None, tolerance_mm=1.0)

    assert (scores.components, cleaned.components) == (2, 1)
    assert scores.hausdorff_mm == pytest.approx(np.hypot(5 * 1.0, 6 * 1.5))
    assert cleaned.hausdorff_mm == 0
    assert counts(scores) == (32, 1, 0, 447)
    assert counts(cleaned) == (32, 0, 0, 448)


def test_one_piece_needs_no_clean_up():
    maps = (LabelMap(values, GEOMETRY) for values in (heart(), heart(1)))

    [(scores, cleaned)] = score_case(*maps, (2,), ignore=None, tolerance_mm=1.0)

    assert scores is cleaned


def test_scores_say_whose_they_are():
    scores = score(heart(), heart(shift=1), ((1, 2),))[1, 2]

    assert (scores.case, scores.label, scores.status, scores.components) == ("a", "(1, 2)", "ok", 2)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 9), (1, 1), (5, 1)])
def test_images_of_one_voxel_along_an_axis(shape):
    full = LabelMap(np.ones(shape, np.uint8), Geometry(shape, (2.0,) * len(shape)))

    (present, _), (absent, _) = score_case(full, full, (1, 2), ignore=None, tolerance_mm=0.0)

    assert (present.hausdorff_mm, present.dice, present.holes) == (0, 1, 0)
    assert absent.status == "both_empty"
