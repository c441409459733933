"""Where nnU-Net leaves no straight way: each detour does what its reason asks for."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from batchgenerators.dataloading.single_threaded_augmenter import SingleThreadedAugmenter

from acnn_nnunet.nnunet.workarounds import OwnNetwork, as_dice_counts, exchange_loader, stand_in


def test_the_class_and_its_trainers_build_the_network_each_in_their_own_way():
    class Trainer:
        build_network_architecture = OwnNetwork()

        @classmethod
        def build_for_prediction(cls):
            return "for prediction"

        def build_own_network(self):
            return "for training"

    assert Trainer.build_network_architecture() == "for prediction"
    assert Trainer().build_network_architecture() == "for training"


@pytest.mark.parametrize(("explained", "missed", "share"), [(3.0, 1.0, 0.75), (0.0, 2.0, 0.0), (-1.0, 2.0, -1.0)])
def test_the_hosts_dice_of_the_counts_is_the_share(explained, missed, share):
    counts = as_dice_counts(torch.tensor([explained]), torch.tensor([missed]))

    tp, fp, fn = (counts[f"{name}_hard"] for name in ("tp", "fp", "fn"))
    np.testing.assert_allclose(2 * tp / (2 * tp + fp + fn), [share])


def test_a_stand_in_gives_the_hosts_loss_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("nnUNet_results", str(tmp_path))
    labels = SimpleNamespace(has_regions=False, ignore_label=None)

    trainer = stand_in(SimpleNamespace(batch_dice=False), labels)

    logits, target = torch.zeros(1, 2, 4, 4), torch.ones(1, 1, 4, 4)
    # Cross-entropy ln 2, minus soft Dice of the foreground 2·8 / (8 + 16), smoothed by 1e-5.
    assert trainer._build_loss()(logits, target).item() == pytest.approx(np.log(2) - 2 / 3, abs=1e-5)
    assert not list(tmp_path.iterdir())


def test_the_host_sees_the_names_of_the_arguments():
    class Trainer:
        build_network_architecture = OwnNetwork()

        def build_own_network(self, plans_manager):
            """Build."""

    assert list(inspect.signature(Trainer().build_network_architecture).parameters) == ["plans_manager"]


def test_batches_come_from_the_loader_that_was_put_in_place():
    batches = SingleThreadedAugmenter(iter("ab"), None)
    assert next(batches) == "a"

    exchange_loader(batches, lambda host: (letter.upper() for letter in host))

    assert next(batches) == "B"
