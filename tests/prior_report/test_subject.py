"""Which cases are looked at, where there are more than needed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acnn_nnunet.prior_report.subject import Subject, evenly_spaced
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


def test_evenly_spaced_keeps_both_ends():
    assert evenly_spaced(tuple("abcdefg"), 3) == ("a", "d", "g")
    assert evenly_spaced(tuple("ab"), 3) == ("a", "b")
    assert evenly_spaced((), 3) == ()


CLASSES = LabelSpace(3)


def subject_of(*, labels=CLASSES, architecture="cnn", network=None):
    """A prior on a grid of 2 × 3 voxels, of a fold whose patches are twice as coarse."""
    spec = SimpleNamespace(
        architecture=architecture,
        spacing_mm=(2, 1.5),
        make_grid=lambda spacing: SimpleNamespace(size=(2, 3), patch_spacing=spacing),
    )
    configuration = SimpleNamespace(spacing=(4, 3), batch_size=5)
    bundle = SimpleNamespace(configuration=configuration)
    view = SimpleNamespace(bundle=bundle, label_names={"background": 0, "LV": 1, "RV": 2})
    return Subject(view, SimpleNamespace(spec=spec, network=network), labels, "cpu")


def test_one_of_several_items_is_the_first():
    assert evenly_spaced(tuple("abc"), 1) == ("a",)


def test_grid_and_geometry_are_the_priors():
    subject = subject_of()

    assert (subject.grid.patch_spacing, subject.batch_size) == ((4, 3), 5)
    assert (subject.geometry.size, subject.geometry.spacing_mm) == ((2, 3), (2.0, 1.5))


def test_labels_are_named_by_channel():
    assert subject_of().names == {1: "LV", 2: "RV"}


def test_masks_leave_out_the_background_of_classes():
    maps = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])

    masks = subject_of().masks(maps)

    assert masks.dtype == bool
    assert masks.tolist() == [[False, True, False], [False, False, True]]


def test_masks_of_regions_are_all_channels():
    maps = torch.tensor([[[1.0, 0], [1.0, 1]]])

    assert subject_of(labels=LabelSpace(2, regions=True)).masks(maps).tolist() == [[True, False], [True, True]]


def test_a_code_is_decoded_to_the_most_likely_class():
    logits = torch.tensor([[[3.0, 0], [0, 1], [1, 2]]])
    subject = subject_of(network=SimpleNamespace(decoder=lambda code: logits * code))

    assert subject.decoded(torch.ones(1, 1)).tolist() == [[False, False], [False, True]]


@pytest.mark.parametrize(("architecture", "kinds"), [("cnn", "l2 whitened"), ("hybrid", "l2 whitened decoded")])
def test_a_hybrid_has_a_distance_more(architecture, kinds):
    network = TLNetwork((8, 8), num_classes=3, image_channels=1, code_size=2, architecture=architecture)

    assert list(subject_of(architecture=architecture, network=network).distances) == kinds.split()


def test_cases_are_read_from_the_dataset_of_the_cases_given(monkeypatch):
    subject = subject_of()
    subject.view.dataset = lambda cases: f"dataset of {', '.join(cases)}"
    monkeypatch.setattr(
        "acnn_nnunet.prior_report.subject.load_on_grid",
        lambda dataset, identifier, *_, device: (dataset, (identifier, device), np.nan),
    )

    assert subject.load("b", ("a", "b")) == ("dataset of a, b", ("b", "cpu"))
