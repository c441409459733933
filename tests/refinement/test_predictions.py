"""The files of predictions, as nnU-Net names them."""

from types import SimpleNamespace

import pytest

from acnn_nnunet.refinement.predictions import list_predictions


@pytest.mark.parametrize("spelt", ["J\u00f6rg", "Jo\u0308rg"])
def test_probabilities_are_found_however_unicode_spells_the_case(tmp_path, spelt):
    for ending in (".nii.gz", ".npz", ".pkl"):
        (tmp_path / f"{spelt}{ending}").touch()
    spec = SimpleNamespace(labels={"background": 0, "a": 1}, dataset="Dataset001_Toy")
    coder = SimpleNamespace(file_ending=".nii.gz", prior=SimpleNamespace(spec=spec, path="prior.pth"))

    found = list_predictions(tmp_path, coder)["J\u00f6rg"]

    assert found.probabilities == tmp_path / f"{spelt}.npz"
    assert found.properties.is_file()
