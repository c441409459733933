"""Means of image scores by hand, and the pair that has no data range."""

import numpy as np
import pytest
from image_files import write_image

from acnn_nnunet.evaluation.images.pairs import ImagePair
from acnn_nnunet.evaluation.images.scores import EXCLUDED, IDENTICAL, MISSING, ImageScore, score_pair, summarise


def test_nothing_scored_has_no_means():
    summary = summarise([ImageScore("a", status=MISSING, reason="there is no prediction")])

    assert (summary["num_cases"], summary["num_scored"], summary["num_missing"]) == (1, 0, 1)
    assert summary["metrics"]["mae"] == {"mean": None, "sd": None, "median": None, "n": 0}


def test_means_are_over_the_images_to_which_a_score_applies():
    scores = [
        ImageScore("a", ssim_3d=0.5, psnr_db=20.0, mae=1.0),
        ImageScore("b", ssim_3d=1.0, mae=0.0, status=IDENTICAL, negative=True),
        ImageScore("c", ssim_3d=0.9, status=EXCLUDED, reason="it is damaged"),
    ]

    summary = summarise(scores, ["d"])

    assert summary["metrics"]["ssim_3d"] == pytest.approx({"mean": 0.75, "sd": np.sqrt(2) / 4, "median": 0.75, "n": 2})
    assert summary["metrics"]["psnr_db"] == {"mean": 20.0, "sd": None, "median": 20.0, "n": 1}
    assert (summary["num_identical"], summary["num_excluded"], summary["num_negative"]) == (1, 1, 1)
    assert summary["excluded"] == [{"case": "c", "status": "excluded", "reason": "it is damaged"}]
    assert summary["extra_predictions"] == ["d"]


def test_a_pair_by_hand(tmp_path):
    reference = np.zeros((3, 12, 12), np.float32)
    reference[1] = 10
    prediction = reference + 1
    paths = [tmp_path / name for name in ("reference.nii.gz", "prediction.nii.gz")]
    for path, image in zip(paths, (reference, prediction), strict=True):
        write_image(path, image)

    score = score_pair(ImagePair("a", *paths))

    # Every voxel is off by 1, and the data range is 10: 10 log10(100) = 20 dB. Three slices hold no 3-D window.
    assert (score.status, score.mae, score.data_range, score.ssim_3d) == ("ok", 1.0, 10.0, None)
    assert score.psnr_db == pytest.approx(20)


def test_a_constant_reference_has_no_data_range(tmp_path):
    for name in ("reference", "prediction"):
        write_image(tmp_path / f"{name}.nii.gz", np.ones((3, 12, 12), np.float32))

    with pytest.raises(ValueError, match=r"reference.nii.gz is constant, so it has no data range"):
        score_pair(ImagePair("a", tmp_path / "reference.nii.gz", tmp_path / "prediction.nii.gz"))
