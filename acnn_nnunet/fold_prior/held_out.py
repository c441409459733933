"""How well a prior knows cases that it never saw: reconstructions and codes of a fold's validation labels."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform
from torch import Tensor

from acnn_nnunet.fold_prior.loading import channel_names
from acnn_nnunet.nnunet.cases import centred_patch, load_preprocessed
from acnn_nnunet.shape_prior.code_statistics import mean_distance_between
from acnn_nnunet.shape_prior.grids.views import Grid, View
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork


def held_out_report(
    network: TLNetwork,
    dataset: Any,
    labels: LabelSpace,
    names: dict[str, Any],
    *,
    grid: Grid,
    device: torch.device | str,
) -> dict[str, Any]:
    """Reconstruct the label maps of a host dataset and compare codes of labels with codes of images.

    Args:
        network: the T-L network.
        dataset: a host dataset, limited to the cases in question.
        labels: what the network's channels mean.
        names: the labels entry of dataset.json.
        grid: where the prior looks; images are laid into it by the labels' anatomy.
        device: where the network is.

    Returns:
        Dice per label and case (None where a label is in neither map), their means, squared whitened code distances
        between prediction and label and between different cases, the number of cases that the grid cuts off, and the
        share of the anatomy that lies beyond it.
    """
    channels = channel_names(names, labels)
    network.eval()
    whitened = WhitenedDistance(network.code_covariance).to(device)
    cases, codes, distances, cut_off, outside = {}, [], [], 0, []
    for identifier in dataset.identifiers:
        image, maps, view = load_on_grid(dataset, identifier, names, labels, grid, device=device)
        with torch.no_grad():
            code = network.encoder(maps)
            decisions = labels.decisions(network.decoder(code))
            distances.append(whitened(network.predictor(image), code).item())
        codes.append(code[0])
        outside.append(view.outside_share.item())
        cut_off += int(view.cut_off.item() or outside[-1] > 0)
        truth = labels.hardened(maps)
        cases[identifier] = {name: dice_of(decisions[0, i], truth[0, i]) for i, name in channels.items()}
    per_label = {name: mean_of_known(case[name] for case in cases.values()) for name in channels.values()}
    return {
        "mean_reconstruction_dice": mean_of_known(per_label.values()),
        "reconstruction_dice": per_label,
        "predictor_distance": float(np.mean(distances)),
        "between_cases_distance": mean_distance_between(torch.stack(codes), distance=whitened),
        "cut_off_cases": cut_off,
        "outside_share": float(np.mean(outside)),
        "cases": {
            identifier: {"reconstruction_dice": dice, "predictor_distance": distance}
            for (identifier, dice), distance in zip(cases.items(), distances, strict=True)
        },
    }


def describe_cases(training_cases: Sequence[str], validation_cases: Sequence[str]) -> str:
    """Return what validation cases are: held out, or trained on, as all of them are in fold all."""
    seen = set(training_cases) & set(validation_cases)
    if not seen:
        return "Held-out cases"
    return f"Not held out: {len(seen)} of {len(validation_cases)} validation cases were trained on"


def load_on_grid(
    dataset: Any,
    identifier: str,
    names: dict[str, Any],
    labels: LabelSpace,
    grid: Grid,
    *,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor, View]:
    """Return image (1, C', …) and label maps (1, C, …) of a case on a prior's grid, and the view that laid them there.

    Unannotated voxels are background.
    """
    image, target = load_patch(dataset, identifier, names, labels, grid.reach)
    maps = labels.target_maps(target.to(device))
    view = grid.around(labels.foreground(maps))
    return view(image.to(device)), view(maps, beyond=labels.background), view


def load_patch(
    dataset: Any, identifier: str, names: dict[str, Any], labels: LabelSpace, size: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return image (1, C', …) and target (1, 1, …), or (1, R[+1], …) with regions, around a case's anatomy."""
    data, segmentation, _, _ = load_preprocessed(dataset, identifier)
    values = np.maximum(np.asarray(segmentation[:]), 0).astype(np.int16)
    # What is not annotated is no anatomy, and may fill the image.
    anatomy = values if labels.ignore_label is None else np.where(values == labels.ignore_label, 0, values)
    layers, _ = centred_patch(np.concatenate([values, data[:]]), anatomy, size)
    target = as_target(layers[:1].astype(np.int16), names, labels)
    return torch.from_numpy(layers[1:]).float()[None], target[None]


def as_target(segmentation: np.ndarray, names: dict[str, Any], labels: LabelSpace) -> Tensor:
    """Return the target (1, …), or (R[+1], …) with regions, of a label map (1, …), as the host makes it in training."""
    target = torch.from_numpy(segmentation)
    if not labels.regions:
        return target
    regions = [value for name, value in names.items() if name not in ("background", "ignore")]
    if labels.ignore_label is not None:
        regions.append(labels.ignore_label)
    return ConvertSegmentationToRegionsTransform(regions, channel_in_seg=0)(segmentation=target)["segmentation"]


def dice_of(first: Tensor, second: Tensor) -> float | None:
    """Return the Dice of two hard masks of one shape; None where both are empty."""
    size = (first.sum() + second.sum()).item()
    return 2 * (first * second).sum().item() / size if size else None


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None where all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
