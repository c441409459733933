"""A toy dataset with pairs."""

import pytest
from real_pairs import PairPlace


@pytest.fixture
def place(tmp_path, monkeypatch) -> PairPlace:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    made = PairPlace(tmp_path)
    made.write_plans()
    return made
