"""Both challenges under the names that the command line knows."""

import pytest

from acnn_nnunet.challenges.command import CHALLENGES, convert, submit


def test_each_challenge_has_a_dataset_of_its_name_with_a_background():
    assert {key: challenge.name for key, challenge in CHALLENGES.items()} == {"acdc": "ACDC", "cetus": "CETUS"}
    assert all(challenge.labels["background"] == 0 for challenge in CHALLENGES.values())


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_a_source_without_patients_and_a_missing_dataset(challenge, tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"There are no folders .*: give the folder that holds"):
        convert(challenge, tmp_path / "empty", 1)
    with pytest.raises(FileNotFoundError, match=f"`acnn-nnunet convert {challenge} SRC ID` makes it"):
        submit(challenge, tmp_path, tmp_path / "a.zip")
