"""A configuration's fold: its cases, their raw images, and patches and loss as the host's trainer has them."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.paths import nnUNet_raw
from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

from acnn_nnunet.nnunet.mirroring import Mirroring
from acnn_nnunet.nnunet.models import ModelBundle, planned_bundle
from acnn_nnunet.nnunet.plans import HR_KEY, read_splits
from acnn_nnunet.nnunet.settings import Settings
from acnn_nnunet.nnunet.workarounds import stand_in

# The host's, which it sets in its trainer's constructor.
_OVERSAMPLED_FOREGROUND = 0.33


@dataclass(frozen=True)
class FoldView:
    """A fold of a dataset and configuration that has held-out cases.

    Attributes:
        bundle: plans and dataset.json.
        fold: its number.
        settings: the configuration's `acnn` block.
        folder: of the preprocessed cases.
        training_cases, validation_cases: their identifiers.
    """

    bundle: ModelBundle
    fold: int
    settings: Settings
    folder: Path
    training_cases: tuple[str, ...]
    validation_cases: tuple[str, ...]

    @property
    def label_names(self) -> dict[str, Any]:
        """The labels entry of dataset.json."""
        return self.bundle.dataset_json["labels"]

    def dataset(self, cases: tuple[str, ...]):
        """Return the host's dataset, limited to some cases."""
        return infer_dataset_class(str(self.folder))(str(self.folder), list(cases))

    @property
    def mirroring(self) -> Mirroring:
        """How a prior's training mirrors."""
        num_axes = len(self.bundle.configuration.patch_size)
        return self.settings.plan_mirroring(with_prior=True, num_axes=num_axes, labels=self.label_names)

    def training_targets(
        self, num_batches: int, *, seed: int, adapt: Callable[[Any], None] | None = None
    ) -> Iterator[torch.Tensor]:
        """Yield targets (B, 1, …), or (B, R[+1], …) with regions, cropped and augmented as a prior trains on them.

        Args:
            num_batches: how many.
            seed: of what is drawn.
            adapt: changes the host's transforms in place, for what its own options do not offer.
        """
        host = stand_in(self.bundle.configuration, self.bundle.labels)
        rotation, dummy_2d, initial_size, _ = host.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
        if self.settings.rotation_deg is not None:
            rotation = (-math.radians(self.settings.rotation_deg), math.radians(self.settings.rotation_deg))
        labels, configuration = self.bundle.labels, self.bundle.configuration
        transforms = host.get_training_transforms(
            configuration.patch_size,
            rotation,
            None,
            self.mirroring.axes or None,
            dummy_2d,
            use_mask_for_norm=configuration.use_mask_for_norm,
            is_cascaded=False,
            foreground_labels=labels.foreground_labels,
            regions=labels.foreground_regions if labels.has_regions else None,
            ignore_label=labels.ignore_label,
        )
        if adapt:
            adapt(transforms)
        loader = nnUNetDataLoader(
            self.dataset(self.training_cases),
            configuration.batch_size,
            initial_size,
            configuration.patch_size,
            labels,
            oversample_foreground_percent=_OVERSAMPLED_FOREGROUND,
            transforms=transforms,
        )
        for batch in range(num_batches):
            # Seeded batch by batch: what is drawn does not depend on what the caller draws in between.
            with _seeded(seed + batch):
                target = next(loader)["target"]
            yield target

    def segmentation_loss(self) -> torch.nn.Module:
        """Return the host's loss of lists of logits and targets, the full resolution first and, here, alone.

        With deep supervision that is one of several terms, and has its weight.
        """
        host = stand_in(self.bundle.configuration, self.bundle.labels)
        if self.settings.deep_supervision and HR_KEY not in self.bundle.configuration.configuration:
            host.enable_deep_supervision = True
            return host._build_loss()
        return DeepSupervisionWrapper(host._build_loss(), [1.0])


def view_fold(dataset: str, configuration: str, fold: int | str, *, plans_identifier: str) -> FoldView:
    """Return the view of a dataset (id or name), configuration and fold that has held-out cases.

    Raises:
        ValueError: for an unknown dataset, configuration or fold, and for fold all.
        FileNotFoundError: if there are no plans, splits or preprocessed cases.
    """
    bundle = planned_bundle(dataset, configuration, plans_identifier=plans_identifier)
    base = bundle.source.parent
    folder = base / bundle.configuration.data_identifier
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There are no preprocessed cases in {folder}: make them with nnUNetv2_plan_and_preprocess -d {dataset}."
        )
    number, training, validation = _split(base / "splits_final.json", fold)
    where = f"{bundle.source}, {configuration}"
    settings = Settings.from_configuration(bundle.configuration.configuration, where=where)
    return FoldView(bundle, number, settings, folder, training, validation)


def raw_images(dataset: str, dataset_json: Mapping[str, Any], cases: Sequence[str]) -> dict[str, list[Path]]:
    """Return the files of each case in the order of its channels.

    Args:
        dataset: full name.
        dataset_json: its dataset.json.
        cases: identifiers.

    Raises:
        FileNotFoundError: if nnUNet_raw is not set or has not all of them; names the remedy.
    """
    remedy = "set nnUNet_raw to the folder that the dataset was preprocessed from"
    if not nnUNet_raw.is_set():
        raise FileNotFoundError(f"The raw images of {dataset} are needed, and nnUNet_raw is not set: {remedy}.")
    folder = Path(nnUNet_raw.require()) / dataset
    if "dataset" in dataset_json:
        # The host writes absolute paths into what it is given.
        listed = get_filenames_of_train_images_and_targets(str(folder), deepcopy(dict(dataset_json)))
        files = {case: [Path(path) for path in listed[case]["images"]] for case in cases if case in listed}
    else:
        # As the host names them; its own search starts a dozen processes.
        channels = len(dataset_json.get("channel_names", dataset_json.get("modality", {})))
        ending = dataset_json["file_ending"]
        files = {case: [folder / "imagesTr" / f"{case}_{c:04d}{ending}" for c in range(channels)] for case in cases}
    missing = [case for case in cases if not all(path.is_file() for path in files.get(case, [Path("")]))]
    if missing:
        raise FileNotFoundError(
            f"{folder} lacks images of {len(missing)} of {len(cases)} cases (for one {missing[0]}): {remedy}."
        )
    return files


def _split(splits_file: Path, fold: int | str) -> tuple[int, tuple[str, ...], tuple[str, ...]]:
    """Return the fold's number, training and validation cases."""
    if str(fold) == "all":
        raise ValueError("Fold all has no held-out cases to judge a prior on: train and report a numbered fold.")
    if not splits_file.is_file():
        raise FileNotFoundError(f"There is no {splits_file}: nnUNetv2_train writes it when it trains the first fold.")
    splits = read_splits(splits_file)
    if not str(fold).isdigit() or int(fold) >= len(splits):
        raise ValueError(f"There is no fold {fold}: {splits_file} has folds 0 to {len(splits) - 1}.")
    training, validation = splits[int(fold)]
    if not validation:
        raise ValueError(f"Fold {fold} of {splits_file} has no held-out cases to judge a prior on: add some to it.")
    if not training:
        raise ValueError(f"Fold {fold} of {splits_file} has no training cases: add some to it.")
    return int(fold), training, validation


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed all three generators that the host's augmentation draws from, and put them back."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
