"""A preprocessed dataset of balls and a prior of it, made in a second without nnU-Net's commands."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from nnunetv2.training.dataloading.nnunet_dataset import nnUNetDatasetBlosc2
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet.fold_prior.held_out import load_on_grid
from acnn_nnunet.fold_prior.loading import describe_prior
from acnn_nnunet.shape_prior.code_statistics import code_statistics
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.networks.tl_network import Stage
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY

DATASET = "Dataset099_Balls"
CLASSES = {"background": 0, "shell": 1, "core": 2}
REGIONS = {"background": 0, "whole": [1, 2], "core": 2}
SIZE = 16


def write_fold(root: Path, *, settings: dict, labels: dict | None = None, flat: bool = False, cases: int = 10) -> Path:
    """Write plans, splits of one fold with the last three cases held out, and cases; return the dataset's folder."""
    folder = root / DATASET
    (folder / "nnUNetPlans_3d").mkdir(parents=True)
    axes = 2 if flat else 3
    configuration = {
        "data_identifier": "nnUNetPlans_3d",
        "batch_size": 2,
        "patch_size": [SIZE] * axes,
        "spacing": [2.0, 1.0, 1.0][-axes:],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": False,
        "architecture": {"arch_kwargs": {"strides": [[1] * axes, *[[2] * axes] * 3]}},
        "acnn": {"code_size": 4, **settings},
    }
    plans = {
        "dataset_name": DATASET,
        "plans_name": "nnUNetPlans",
        "label_manager": "LabelManager",
        "configurations": {"quick": configuration},
    }
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    names = {f"ball_{index:02}" for index in range(cases)}
    train, val = sorted(names)[:-3], sorted(names)[-3:]
    (folder / "splits_final.json").write_text(json.dumps([{"train": train, "val": val}]))
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels or CLASSES, "numTraining": cases, "file_ending": ".nii"}
    if labels == REGIONS:
        dataset["regions_class_order"] = [1, 2]
    (folder / "dataset.json").write_text(json.dumps(dataset))
    for index, name in enumerate(sorted(names)):
        _write_case(folder / "nnUNetPlans_3d" / name, radius=3 + 0.3 * index, seed=index, labels=labels or CLASSES)
    return folder


def write_prior(folder: Path, results: Path, *, box: RoiBox | None = None, steps: int = 6, **changes) -> Path:
    """Train a prior on the fold's labels for some steps and write it where it is looked for."""
    plans = PlansManager(json.loads((folder / "nnUNetPlans.json").read_text()))
    configuration = plans.get_configuration("quick")
    split = json.loads((folder / "splits_final.json").read_text())[0]
    dataset_json = json.loads((folder / "dataset.json").read_text())
    boxed = {} if box is None else {"grid_size": box.size, "spacing_mm": box.spacing_mm}
    spec = replace(
        describe_prior(plans, "quick", dataset_json, 0), stage=Stage.JOINT.value, complete=True,
        training_cases=tuple(split["train"]), **boxed,
    )  # fmt: skip
    torch.manual_seed(0)
    network = spec.make_network()
    dataset = nnUNetDatasetBlosc2(str(folder / "nnUNetPlans_3d"), split["train"])
    grid, labels = spec.make_grid(configuration.spacing), spec.label_space
    cases = [load_on_grid(dataset, case, dataset_json["labels"], labels, grid)[:2] for case in split["train"]]
    images, maps = (torch.cat(tensors) for tensors in zip(*cases, strict=True))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(steps):
        # A moment of training: batch statistics other than the initial ones.
        loss = labels.cross_entropy(network.reconstruct(maps), maps, torch.ones_like(maps[:, :1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        network.predictor(images)
        network.eval()
        mean, covariance = code_statistics(network.encoder(maps))
    network.code_mean.copy_(mean)
    network.code_covariance.copy_(covariance)
    path = results / DATASET / "ShapePriorTrainer__nnUNetPlans__quick" / "fold_0" / "checkpoint_final.pth"
    path.parent.mkdir(parents=True)
    torch.save({SPEC_KEY: replace(spec, **changes).as_plain(), "network_weights": network.state_dict()}, path)
    return path


def _write_case(path: Path, *, radius: float, seed: int, labels: dict) -> None:
    rng = np.random.default_rng(seed)
    centre = SIZE / 2 + rng.uniform(-1, 1, 3)
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices((SIZE,) * 3), centre, strict=True)))
    segmentation = ((distance < radius).astype(np.int16) + (distance < radius / 2))[None]
    image = segmentation + 0.3 * rng.standard_normal(segmentation.shape)
    values = [tuple(value) if isinstance(value, list) else value for value in labels.values() if value != 0]
    locations = {value: np.argwhere(np.isin(segmentation, value)) for value in values}
    whole = (1, *[SIZE] * 3)
    chunks = dict.fromkeys(("chunks", "blocks", "chunks_seg", "blocks_seg"), whole)
    properties = {"class_locations": locations}
    nnUNetDatasetBlosc2.save_case(image.astype(np.float32), segmentation, properties, str(path), **chunks)
