"""Cases and images of the study of plausibility."""

import json
from types import SimpleNamespace

import numpy as np

from scripts.studies.plausibility.images import (
    CALIBRATION,
    CONFIRMATION,
    CORRUPTED,
    STRANGE,
    cases_of_parts,
    choose,
    strange,
)


def place(tmp_path, name="acdc"):
    """Twenty patients of fold 0's training part: 0 is trained on, 1 and 2 are the selection; 20 to 24 are held out."""
    cases = {n: [f"p{n:02}_ED", f"p{n:02}_ES"] for n in range(25)}
    training = [case for n in range(20) for case in cases[n]]
    splits = [{"train": training, "val": [case for n in range(20, 25) for case in cases[n]]}] * 5
    splits.append({"train": cases[0], "val": cases[1] + cases[2]})
    (tmp_path / "splits_final.json").write_text(json.dumps(splits))
    return SimpleNamespace(
        name=name,
        preprocessed=tmp_path,
        study=SimpleNamespace(grouped=True),
        unit=lambda case: case.split("_")[0],
        cases=lambda part: splits[0]["val"],
    )


def test_parts_share_the_patients_that_nothing_is_trained_on(tmp_path):
    found = cases_of_parts(place(tmp_path))
    patients = {part: {case.split("_")[0] for case in cases} for part, cases in found.items()}
    assert {"p01", "p02"} <= patients[CALIBRATION]
    assert (len(patients[CALIBRATION]), len(found[CALIBRATION])) == (2 + 16, 36)  # the selection's and 16 more
    assert {f"p{n}" for n in range(20, 25)} < patients[CONFIRMATION]
    assert len(patients[CONFIRMATION]) == 5 + 1  # the held-out ones, and the one that is left
    assert not patients[CALIBRATION] & patients[CONFIRMATION]
    assert "p00" not in patients[CALIBRATION] | patients[CONFIRMATION]


def test_every_case_is_clean_and_corrupted_and_some_are_strange(tmp_path):
    chosen = list(choose(place(tmp_path)))
    assert len(set(chosen)) == len(chosen)
    own = [kind for part, _, kind in chosen if part == CONFIRMATION]
    assert own.count("clean") == sum(kind in CORRUPTED for kind in own) == 12
    assert [own.count(kind) for kind in STRANGE] == [2] * 5
    assert {kind for part, _, kind in chosen if part != CONFIRMATION} == {"clean", *CORRUPTED}


def test_strange_images_by_hand():
    values = np.arange(8, dtype=np.float32).reshape(4, 2, 1)
    assert strange(values, "contrast", 0).ravel().tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert strange(values, "missing_slices", 0).ravel().tolist() == [0, 0, 0, 0, 4, 5, 6, 7]
    assert strange(values, "upside_down", 0).ravel().tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    noisy = strange(np.zeros((50, 50, 20), np.float32) + np.tile([0, 1], 10).astype(np.float32), "strong_noise", 3)
    assert abs(noisy.std() - np.hypot(0.5, 1.0)) < 0.01  # its own .5, and twice that of noise
