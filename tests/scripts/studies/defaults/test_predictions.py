"""`scripts/studies/defaults/predictions.py`: from test images to scores, held against the host's predictions."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK
import torch
from scipy.spatial import cKDTree

from scripts.studies.defaults.arms import CONFIGURATION
from scripts.studies.defaults.images import all_test_cases, write_test_images
from scripts.studies.defaults.predictions import predict_and_score
from tests.support.tiny_model import write_tiny_model

SPACING_MM = (2.0, 1.0, 1.0)


@pytest.fixture
def place(tmp_path) -> SimpleNamespace:
    """A workplace of two cases, one of each part, of balls in 9 × 14 × 12 voxels, and an untrained model of it."""
    torch.manual_seed(1)
    write_tiny_model(tmp_path / "model")
    raw = tmp_path / "raw"
    for number, case in enumerate(("a", "b")):
        grid = np.moveaxis(np.indices((9, 14, 12)), 0, -1) * SPACING_MM - (9, 7, 6)
        label = (np.linalg.norm(grid, axis=-1) < 4).astype(np.uint8)
        image = label * 5 + np.random.default_rng(number).normal(0, 1, label.shape)
        for folder, end, values in (("imagesTr", "_0000", image.astype(np.float32)), ("labelsTr", "", label)):
            (raw / folder).mkdir(parents=True, exist_ok=True)
            written = SimpleITK.GetImageFromArray(values)
            written.SetSpacing(SPACING_MM[::-1])
            SimpleITK.WriteImage(written, str(raw / folder / f"{case}{end}.nii.gz"))
    dataset = tmp_path / "model" / "dataset.json"
    (raw / "dataset.json").write_text(dataset.read_text())
    plans = json.loads((tmp_path / "model" / "plans.json").read_text())
    plans["configurations"][CONFIGURATION] = plans["configurations"]["3d_fullres"]
    (tmp_path / "plans.json").write_text(json.dumps(plans))
    return SimpleNamespace(
        raw=raw,
        model=tmp_path / "model",
        plans_file=tmp_path / "plans.json",
        test=tmp_path / "test",
        study=SimpleNamespace(motion_mm=2.0),
        cases=lambda part: ["a"] if part == "selection" else ["b"],
        unit=lambda case: case,
    )


def host_prediction(model: Path, image: Path, *, mirrored: bool = False) -> np.ndarray:
    """Return what the host predicts of a file."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(use_mirroring=mirrored, perform_everything_on_device=False, device=torch.device("cpu"))
    predictor.initialize_from_trained_model_folder(str(model), (0,), "checkpoint_final.pth")
    predictor.allow_tqdm = False
    return predictor.predict_single_npy_array(*SimpleITKIO().read_images([str(image)]))


@pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning")
def test_scores_are_those_of_the_hosts_predictions(place):
    for case in all_test_cases(place):
        write_test_images(place, *case)
    written = {path: path.stat().st_mtime_ns for path in place.test.rglob("*.npz")}
    for case in all_test_cases(place):
        write_test_images(place, *case)  # what is there stays
    assert written == {path: path.stat().st_mtime_ns for path in place.test.rglob("*.npz")}

    scores = predict_and_score(place.model, 0, place.test, place.raw / "labelsTr", device="cpu")

    clean = scores[scores["kind"] == "clean"].set_index("case")
    assert clean["part"].to_dict() == {"a": "selection", "b": "confirmation"}
    for case in ("a", "b"):
        predicted = host_prediction(place.model, place.raw / "imagesTr" / f"{case}_0000.nii.gz") == 1
        label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(place.raw / "labelsTr" / f"{case}.nii.gz"))) == 1
        dice = 2 * (predicted & label).sum() / (predicted.sum() + label.sum())
        # The host sums logits in half precision, which can turn a voxel or two.
        assert 0 < dice < 1
        assert float(clean.loc[case, "dice"]) == pytest.approx(dice, abs=0.02)
        assert float(clean.loc[case, "hausdorff_mm"]) == pytest.approx(hausdorff_mm(predicted, label), abs=1.0)
    assert len(scores) == len(scores.drop_duplicates(["case", "kind", "label"]))
    assert not scores.isin(["None", "nan", ""]).any(axis=None)


@pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning")
def test_adjusted_logits_are_those_of_a_network_whose_last_bias_is_higher_by_the_log_shares(place):
    for case in all_test_cases(place):
        write_test_images(place, *case)
    labels, checkpoint = place.raw / "labelsTr", place.model / "fold_0" / "checkpoint_final.pth"
    content = torch.load(checkpoint, weights_only=False)
    bias = next(name for name in content["network_weights"] if name.endswith("seg_layers.0.bias"))
    # What the shift of log .09 - log .91 takes from the ball is there before, so that both labels stay.
    content["network_weights"][bias] = torch.tensor([0.0, 2.3])
    torch.save(content, checkpoint)

    adjusted = predict_and_score(place.model, 0, place.test, labels, device="cpu", adjusted_to=["a"])

    # A ball of radius 4 mm in a box of 18 x 14 x 12 mm: about 4/3 pi 64 / 3024 = 0.09 of it.
    share = np.mean(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(labels / "a.nii.gz"))))
    assert share == pytest.approx(0.09, abs=0.01)
    content["network_weights"][bias] += torch.tensor([np.log(1 - share), np.log(share)]).float()
    torch.save(content, checkpoint)
    raised = predict_and_score(place.model, 0, place.test, labels, device="cpu")
    assert (raised["dice"].astype(float) > 0).any()
    # The host sums logits in half precision, which can turn a voxel or two.
    assert adjusted["dice"].astype(float).to_numpy() == pytest.approx(raised["dice"].astype(float).to_numpy(), abs=0.02)


@pytest.mark.filterwarnings("ignore:.*:FutureWarning", "ignore:.*:DeprecationWarning")
def test_mirrored_predictions_are_the_hosts(place):
    checkpoint = place.model / "fold_0" / "checkpoint_final.pth"
    content = torch.load(checkpoint, weights_only=False)
    content["inference_allowed_mirroring_axes"] = (0, 2)
    torch.save(content, checkpoint)
    for case in all_test_cases(place):
        write_test_images(place, *case)

    plain, mirrored = (
        predict_and_score(place.model, 0, place.test, place.raw / "labelsTr", device="cpu", mirrored=each)
        for each in (False, True)
    )

    assert not plain["dice"].equals(mirrored["dice"])
    clean = mirrored[mirrored["kind"] == "clean"].set_index("case")
    predicted = host_prediction(place.model, place.raw / "imagesTr" / "a_0000.nii.gz", mirrored=True) == 1
    label = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(place.raw / "labelsTr" / "a.nii.gz"))) == 1
    dice = 2 * (predicted & label).sum() / (predicted.sum() + label.sum())
    assert float(clean.loc["a", "dice"]) == pytest.approx(dice, abs=0.02)


def hausdorff_mm(first: np.ndarray, second: np.ndarray) -> float:
    """Return the symmetric Hausdorff distance of two masks' voxel centres; surfaces lie within half a voxel of them."""
    points = [np.argwhere(mask) * SPACING_MM for mask in (first, second)]
    return max(cKDTree(points[k]).query(points[1 - k])[0].max() for k in (0, 1))
