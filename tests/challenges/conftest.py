"""nnU-Net's three folders, which every conversion asks for."""

import pytest


@pytest.fixture
def raw(tmp_path, monkeypatch):
    for name in ("raw", "preprocessed", "results"):
        monkeypatch.setenv(f"nnUNet_{name}", str(tmp_path / name))
    return tmp_path / "raw"
