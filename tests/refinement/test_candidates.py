"""Candidates from the code space of a phantom's prior."""

import numpy as np
import pytest
from phantom_prior import SPACING_MM, write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.refinement.anatomy_refiner import AnatomyRefiner
from acnn_nnunet.refinement.candidates import plausible_candidates
from acnn_nnunet.refinement.predictions import Prediction
from acnn_nnunet.refinement.recipe import Recipe


@pytest.fixture(scope="module")
def refiner(tmp_path_factory):
    raw = write_raw(tmp_path_factory.mktemp("raw"), cases=6)
    coder = load_coder(write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=40))
    values = LabelFileReader("SimpleITKIO").read(sorted((raw / "labelsTr").glob("*.nii.gz"))[0]).values
    return AnatomyRefiner(coder, Recipe.careful("project")), values


def test_an_empty_prediction_has_none(refiner):
    refiner, values = refiner

    assert list(plausible_candidates(refiner, Prediction(np.zeros_like(values), SPACING_MM))) == []


def test_they_lead_from_the_reconstruction_to_the_mean_shape(refiner):
    refiner, values = refiner
    coder = refiner.coder

    first, middle, last = plausible_candidates(refiner, Prediction(values, SPACING_MM), shares=(0, 0.5, 1))

    assert first.shape == values.shape
    assert first.dtype == values.dtype
    maps, placement = refiner.lay(Prediction(values, SPACING_MM))
    mean = placement.onto_box(coder.mean_shape[None], beyond=coder.labels.background)[0].argmax(0).numpy()
    np.testing.assert_array_equal(last[placement.box] > 0, mean > 0)
    to_mean = [np.count_nonzero(each != last) for each in (first, middle)]
    assert to_mean[0] >= to_mean[1]
    reconstructed = coder.reconstruct(maps)[0].argmax(0).numpy()
    assert np.count_nonzero(first) == np.count_nonzero(reconstructed)
