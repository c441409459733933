"""A raw dataset of small phantom hearts and a prior trained on them for a moment, with its plans beside it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet.demo.phantom import write_dataset
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.fold_prior.loading import describe_prior
from acnn_nnunet.shape_prior.code_statistics import code_statistics
from acnn_nnunet.shape_prior.grids.roi_box import RoiBox
from acnn_nnunet.shape_prior.label_maps.defects import DEFECTS
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork
from acnn_nnunet.shape_prior.prior_file import SPEC_KEY, PriorSpec, load_prior

SHAPE, SPACING_MM = (8, 20, 20), (15.0, 6.8, 6.8)
PATCH = (8, 16, 16)
CODE_SIZE = 6


def write_raw(root: Path, *, cases: int = 12) -> Path:
    """Write phantoms of three groups in turn; return the dataset's folder."""
    return write_dataset(root, 99, num_train=cases, num_test=0, seed=0, shape=SHAPE, spacing_mm=SPACING_MM)


def write_phantom_prior(
    raw: Path,
    results: Path,
    *,
    steps: int = 20,
    patch: tuple[int, ...] = PATCH,
    spacing_mm: tuple[float, ...] = SPACING_MM,
    transpose: tuple[int, int, int] = (0, 1, 2),
    box: RoiBox | None = None,
    stage: Stage = Stage.JOINT,
    **changes,
) -> Path:
    """Train a prior on a raw dataset's labels and write it as nnUNetv2_train does; return the file."""
    folder = results / raw.name / "ShapePriorTrainer__nnUNetPlans__quick"
    path = folder / "fold_0" / "checkpoint_final.pth"
    path.parent.mkdir(parents=True)
    dataset_json = json.loads((raw / "dataset.json").read_text())
    plans = phantom_plans(raw.name, patch, spacing_mm, transpose, grid="patch" if box is None else "roi")
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset_json))
    manager = PlansManager(plans)
    files = sorted((raw / "labelsTr").glob("*.nii.gz"))
    boxed = {} if box is None else {"grid_size": box.size, "spacing_mm": box.spacing_mm}
    spec = replace(
        describe_prior(manager, "quick", dataset_json, 0), stage=stage.value, complete=True,
        training_cases=tuple(file.name.removesuffix(".nii.gz") for file in files), **boxed,
    )  # fmt: skip
    torch.manual_seed(0)
    network = spec.make_network()
    _save(path, spec, network)
    if steps:
        _train(load_coder(path), files, raw / "imagesTr", network, steps=steps)
    _save(path, replace(spec, **changes), network)
    return path


def misshapen(values: np.ndarray, *, seed: int) -> np.ndarray:
    """Return a phantom's label map with one defect, another kind for each of the first seeds."""
    channels = np.stack([values == label for label in range(4)]).astype(np.float32)
    kind = list(DEFECTS)[seed % len(DEFECTS)]
    return DEFECTS[kind](channels, np.array([1.0, 0, 0, 0]), 0.5, seed).argmax(0).astype(values.dtype)


def _train(coder: Coder, files: list[Path], images: Path, network: TLNetwork, *, steps: int) -> None:
    cases = [coder.load(file, image_files=[images / file.name.replace(".nii", "_0000.nii")]) for file in files]
    maps, image = torch.stack([case.maps for case in cases]), torch.stack([case.image for case in cases])
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(steps):
        drawn = torch.arange(4).add(4 * step) % len(maps)
        code = network.encoder(maps[drawn])
        loss = coder.labels.cross_entropy(network.decoder(code), maps[drawn], torch.ones_like(maps[drawn, :1]))
        loss = loss + 0.01 * (network.predictor(image[drawn]) - code.detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        mean, covariance = code_statistics(network.encoder(maps))
    network.code_mean.copy_(mean)
    network.code_covariance.copy_(covariance)


def _save(path: Path, spec: PriorSpec, network: TLNetwork) -> None:
    torch.save({SPEC_KEY: spec.as_plain(), "network_weights": network.state_dict()}, path)
    load_prior(path)  # what a test reads can be read


def phantom_plans(name: str, patch, spacing_mm, transpose, *, grid: str) -> dict:
    """Return plans with one configuration, quick, as nnU-Net would write them for the phantoms."""
    image = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    label = {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": name,
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "label_manager": "LabelManager",
        "transpose_forward": list(transpose),
        "transpose_backward": [transpose.index(axis) for axis in range(3)],
        "original_median_spacing_after_transp": [SPACING_MM[axis] for axis in transpose],
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {
            "quick": {
                "data_identifier": "nnUNetPlans_quick",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": list(patch),
                "spacing": list(spacing_mm),
                "normalization_schemes": ["ZScoreNormalization"],
                "use_mask_for_norm": [False],
                "batch_dice": False,
                "architecture": {},
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": image,
                "resampling_fn_seg_kwargs": label,
                "resampling_fn_probabilities_kwargs": image,
                "acnn": {"code_size": CODE_SIZE, "grid": grid},
            }
        },
    }
