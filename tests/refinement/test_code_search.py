"""The search on a decoder whose best code is known by hand."""

import pytest
import torch
from torch import nn

from acnn_nnunet.refinement.code_search import CodeSearch
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace

LABELS = LabelSpace(2)


class Bars(nn.Module):
    """A network whose code is the logit of one label in each half of eight voxels."""

    def __init__(self, covariance=(1.0, 1.0)):
        super().__init__()
        self.code_mean, self.code_covariance = torch.zeros(2), torch.diag(torch.tensor(covariance))

    def decoder(self, code):
        logit = code.repeat_interleave(4, dim=1)
        return torch.stack([torch.zeros_like(logit), logit], 1)


def maps(*values):
    foreground = torch.tensor([values])
    return torch.stack([1 - foreground, foreground], 1)


def search(**options):
    return CodeSearch(**{"steps": 200, "rate": 0.1, "mahalanobis_weight": 0.0, "scale": 1e6, **options})


def test_without_steps_the_guess_stays():
    start = torch.tensor([[0.3, -2.0]])

    assert search(steps=0).run(Bars(), LABELS, maps(*[1.0] * 8), start) is start


def test_without_bounds_it_is_maximum_likelihood():
    # Three quarters of certain voxels: the logit of the best probability .75 is log 3.
    found = search().run(Bars(), LABELS, maps(1.0, 1, 1, 0, 0, 0, 0, 1), torch.zeros(1, 2))

    torch.testing.assert_close(found, torch.tensor([[1.0986, -1.0986]]), atol=0.01, rtol=0)


def test_undecided_voxels_do_not_count():
    found = search().run(Bars(), LABELS, maps(0.5, 0.5, 0.5, 0.5, 1, 1, 1, 0), torch.zeros(1, 2))

    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0986]]), atol=0.01, rtol=0)


def test_what_no_anatomy_explains_counts_less():
    odd = maps(1.0, 1, 1, 0, 0, 0, 0, 0)

    plain, robust = (
        search(scale=s, mahalanobis_weight=0.05).run(Bars(), LABELS, odd, torch.zeros(1, 2)) for s in (1e6, 1.0)
    )

    assert robust[0, 0] > plain[0, 0] + 0.5  # the one voxel that is missing is given up


def test_the_mahalanobis_term_draws_to_the_mean_where_codes_hardly_vary():
    full = maps(*[1.0] * 8)

    found = search(mahalanobis_weight=0.5).run(Bars((4.0, 0.04)), LABELS, full, torch.zeros(1, 2))[0]

    assert found[0] > 1 > 0.2 > found[1] > 0


def test_weights_and_maps_stay_as_they_are():
    decoder = nn.Linear(2, 16)
    network = Bars()
    network.decoder = lambda code: decoder(code).view(1, 2, 8)
    before = decoder.weight.clone()

    search(steps=3).run(network, LABELS, maps(*[1.0] * 8), torch.zeros(1, 2))

    assert torch.equal(decoder.weight, before)
    assert decoder.weight.grad is None


@pytest.mark.parametrize("steps", [1, 5])
def test_regions(steps):
    labels = LabelSpace(2, regions=True)

    found = search(steps=steps).run(Bars(), labels, maps(*[1.0] * 8), torch.zeros(1, 2))

    assert found.isfinite().all()
