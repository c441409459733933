"""Pairs and cases in one data set: shares, boxes between the slices, and what augmentation leaves of a slice."""

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from real_pairs import DATASET, FACTOR, PairPlace

from acnn_nnunet.sr.degradation.acquisition import degrade
from acnn_nnunet.sr.pairs.command import PairOptions, prepare_pairs
from acnn_nnunet.sr.pairs.dataset import PairedDataset, PairLoader, case_of_pair, is_pair

PATCH = (16, 12, 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    made = PairPlace(tmp_path_factory.mktemp("pairs"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
            patch.setenv(name, str(made.root / name))
        made.write_plans()
        yield made


@pytest.fixture(scope="module")
def folders(place):
    """Preprocessed cases a and b, and pairs of them."""
    cases = place.preprocessed / "cases"
    cases.mkdir()
    for case in "ab":
        place.add(case, seed=ord(case))
    pairs = place.preprocessed / "pairs"
    assert prepare_pairs(DATASET, pairs, PairOptions("3d_hr")).complete
    for case in "ab":
        data, labels, _, properties = nnUNetDatasetBlosc2(str(pairs), [case]).load_case(case)
        whole = {"chunks": (1, 24, 20, 18), "blocks": (1, 24, 20, 18)}
        whole |= {"chunks_seg": (1, 24, 20, 18), "blocks_seg": (1, 24, 20, 18)}
        nnUNetDatasetBlosc2.save_case(
            np.asarray(data[:1]), np.asarray(labels[:]), properties, str(cases / case), **whole
        )
    return cases, pairs


def dataset_of(folders, *, pair_share=0.5, pairs=("a", "b"), change_intensities=False):
    cases = nnUNetDatasetBlosc2(str(folders[0]), ["a", "b"])
    options = {"factor": FACTOR, "axis": 0, "num_channels": 1, "change_intensities": change_intensities}
    return PairedDataset(cases, folders[1], pairs, pair_share=pair_share, **options)


def transforms(*, mirror_axes=(0, 1, 2)):
    return nnUNetTrainer.get_training_transforms(PATCH, (-3.0, 3.0), None, mirror_axes, False, [False])


def loader_of(dataset, place, *, initial=(22, 18, 18), batch_size=8, host=None):
    labels = place.model().bundle.labels
    return PairLoader(
        dataset,
        batch_size,
        initial,
        PATCH,
        labels,
        oversample_foreground_percent=0.33,
        sampling_probabilities=None,
        pad_sides=None,
        transforms=host or transforms(),
        probabilistic_oversampling=False,
    )


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_pairs(folders, place, share):
    dataset = dataset_of(folders, pair_share=share)
    assert dataset.identifiers == ["a", "b", "a:lr", "b:lr"]
    assert dataset.sampling_probabilities == [(1 - share) / 2] * 2 + [share / 2] * 2
    np.random.seed(0)
    drawn = [key for _ in range(100) for key in loader_of(dataset, place).get_indices()]
    assert np.mean([is_pair(key) for key in drawn]) == pytest.approx(share, abs=0.05)
    assert {case_of_pair(key) for key in drawn} == {"a", "b"}


def test_without_pairs_of_these_cases_all_is_simulated(folders):
    assert dataset_of(folders, pairs=()).sampling_probabilities == [0.5, 0.5]


def test_the_hosts_own_data_sets_are_left_alone(folders, place):
    np.random.seed(0)
    cases, host = nnUNetDatasetBlosc2(str(folders[0]), ["a", "b"]), transforms()
    loader = loader_of(cases, place, host=host)
    assert loader.transforms is host
    assert loader.sampling_probabilities is None
    assert {loader.get_bbox(np.array((24, 20, 18)), False, None)[0][0] % FACTOR for _ in range(40)} == set(range(4))


def test_boxes_begin_where_a_slice_does(folders, place):
    np.random.seed(0)
    loader = loader_of(dataset_of(folders), place)
    for _ in range(40):
        lows, highs = loader.get_bbox(np.array((24, 20, 18)), False, None)
        assert lows[0] % FACTOR == 0
        assert [high - low for low, high in zip(lows, highs, strict=True)] == [22, 18, 18]


def test_after_augmentation_a_slice_is_still_what_its_hr_slices_make(folders, place):
    """Averaging across slices and turning in their plane may be exchanged, so the stack follows from the image."""
    torch.manual_seed(0)
    np.random.seed(0)
    batch = loader_of(dataset_of(folders, pair_share=1.0), place, batch_size=24).generate_train_batch()
    image, stack = batch["data"].split(1, 1)
    assert image.shape == (24, 1, *PATCH)
    assert all(is_pair(key) for key in batch["keys"])
    blocks = stack.reshape(24, PATCH[0] // FACTOR, FACTOR, -1)
    assert torch.equal(blocks, blocks[:, :, :1].expand_as(blocks))
    changed = 0
    simulated = degrade(image, FACTOR)
    for mine, theirs in zip(stack[:, :, ::FACTOR], simulated, strict=True):
        # The stack is in its own unit, and the outermost slices reach beyond the patch.
        first, second = (each[0, 1:-1].flatten().double() for each in (mine, theirs))
        correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
        changed += correlation < 0.999
    assert changed <= 4  # patches that padding reaches into: zeros there are no average of HR slices
    assert {tuple(target.unique().tolist()) for target in batch["target"]} <= {(0,), (0, 1), (0, 1, 2)}


def test_intensities_change_in_the_stack_alone(folders, place):
    def batch(change):
        torch.manual_seed(1)
        np.random.seed(1)
        dataset = dataset_of(folders, pair_share=1.0, change_intensities=change)
        host = transforms(mirror_axes=None)
        host.transforms[0].p_rotation = host.transforms[0].p_scaling = 0.0
        for each in host.transforms[1:-1]:
            each.apply_probability = 1.0
        return loader_of(dataset, place, host=host).generate_train_batch()["data"]

    still, changed = batch(False), batch(True)
    assert torch.equal(still[:1, :1], changed[:1, :1])  # later samples' boxes are drawn from other numbers
    assert not torch.allclose(still[:1, 1:], changed[:1, 1:], atol=0.05)


def test_cases_get_an_empty_stack(folders, place):
    np.random.seed(0)
    batch = loader_of(dataset_of(folders, pair_share=0.5), place).generate_train_batch()
    for key, sample in zip(batch["keys"], batch["data"], strict=True):
        assert (sample[1] != 0).any() == is_pair(key)


def test_mirroring_is_the_hosts(folders, place):
    host = transforms(mirror_axes=(0,))
    loader = loader_of(dataset_of(folders), place, host=host)
    (mirror,) = (each for each in host.transforms if isinstance(each, MirrorTransform))
    assert mirror in loader.transforms.pairs.transforms


def test_validation_touches_labels_alone(folders, place):
    np.random.seed(0)
    host = nnUNetTrainer.get_validation_transforms(None)
    loader = loader_of(dataset_of(folders, pair_share=1.0), place, initial=PATCH, host=host)
    batch = loader.generate_train_batch()
    assert batch["data"].shape == (8, 2, *PATCH)


def test_pairs_are_not_saved_through_it(folders):
    with pytest.raises(NotImplementedError, match="plan-hr"):
        PairedDataset.save_case(np.zeros(1), np.zeros(1), {}, "x")
    with pytest.raises(NotImplementedError, match="two folders"):
        PairedDataset.get_identifiers("x")
