"""The completion around an anatomy, with networks that are known by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.refinement.completion import FEATURES, Completion, load_completion, plan_completion
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

HOST = {"strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2], [2, 2, 2]], "kernel_sizes": [[1, 3, 3], *[[3, 3, 3]] * 3]}


def test_the_network_has_the_hosts_first_scales():
    network = plan_completion(4, HOST)

    assert network(torch.rand(1, 4, 6, 16, 12)).shape == (1, 4, 6, 16, 12)
    assert len(network.encoder.stages) == len(FEATURES)
    assert sum(p.numel() for p in network.parameters()) < 600_000


def test_it_is_run_twice_on_probabilities():
    seen = []

    def network(maps):
        seen.append(maps)
        return 4 * maps

    configuration = SimpleNamespace(patch_size=(4, 8, 8), spacing=(2.0, 1.0, 1.0))
    bundle = SimpleNamespace(network=network, configuration=configuration)
    completion = Completion(bundle, LabelSpace(2), "cpu")
    anatomy = np.zeros((10, 20, 20), dtype=bool)
    anatomy[4:6, 8:12, 8:12] = True

    placement = completion.place(anatomy, (1.0, 1.0, 1.0))
    completed = completion.complete(torch.full((1, 2, 4, 8, 8), 0.5))

    assert placement.fits
    assert [weights.shape[1] for weights in placement.to_grid] == [4, 8, 8]
    assert len(seen) == 2
    torch.testing.assert_close(seen[1], torch.full((1, 2, 4, 8, 8), 0.5))
    torch.testing.assert_close(completed.sum(1), torch.ones(1, 4, 8, 8))


def test_one_that_is_not_trained_is_none_or_named(monkeypatch):
    def nothing(*words, **options):
        raise FileNotFoundError(f"train it with nnUNetv2_train -tr {options['trainer']}")

    monkeypatch.setattr("acnn_nnunet.refinement.completion.trained_bundle", nothing)
    spec = SimpleNamespace(dataset="D", configuration="c", plans="p", fold=0)
    coder = SimpleNamespace(prior=SimpleNamespace(spec=spec), device="cpu", labels=LabelSpace(2))

    assert load_completion(coder, required=False) is None
    with pytest.raises(FileNotFoundError, match="nnUNetv2_train -tr ShapeCompletionTrainer"):
        load_completion(coder, required=True)
