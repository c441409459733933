"""A patch network on a stack of any size: windows in LR space, their predictions joined on the HR grid in float32."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from tqdm import tqdm

_SIGMA_PER_LENGTH = 1 / 8  # of the Gaussian that weighs a window's middle most, as in nnU-Net
_EDGES_PER_LENGTH = 1 / 8  # of a window's LR voxels, on either side
_EDGE_WEIGHT = 1e-7  # of these, relative to the Gaussian


@torch.inference_mode()
def predict_sliding_window(
    network: nn.Module,
    stack: Tensor,
    *,
    patch_size: Sequence[int],
    factor: int,
    axis: int,
    step_size: float = 0.5,
    mirror_axes: Sequence[int] = (),
    device: torch.device | str = "cpu",
    show_progress: bool = False,
) -> Tensor:
    """Return a network's output for a whole stack on the HR grid.

    Overlapping windows are averaged with weights that fall off as a Gaussian from a window's middle. The outermost
    eighth of a window, at least one LR voxel, counts only where the stack ends, or where no other window has these
    voxels further inside: convolutions saw padding there, and slices were extrapolated. A stack smaller than the patch
    is padded with 0 on both sides, as in the host's training.

    Args:
        network: from (1, C, …) of the patch size to (1, C', …) that is K times as long along the axis.
        stack: (C, Z, Y, X), preprocessed.
        patch_size: of the LR patch.
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis among the spatial ones.
        step_size: distance of neighbouring windows as a share of the patch, at most.
        mirror_axes: spatial axes to mirror along; all combinations are averaged.
        device: where the network is and computes.
        show_progress: show a bar.

    Returns:
        (C', …) on the CPU, float32.

    Raises:
        ValueError: if the step size is out of range.
    """
    if not 0 < step_size <= 1:
        raise ValueError(f"-step_size is more than 0 and at most 1, not {step_size}.")
    padded, inside = _pad(stack, patch_size)
    starts = [_starts(n, patch, step_size) for n, patch in zip(padded.shape[1:], patch_size, strict=True)]
    zooms = [factor if i == axis else 1 for i in range(len(patch_size))]
    weights = [
        _window_weights(n, patch, begins, zoom)
        for n, patch, begins, zoom in zip(padded.shape[1:], patch_size, starts, zooms, strict=True)
    ]
    output: Tensor | None = None
    windows = list(itertools.product(*(range(len(begins)) for begins in starts)))
    for window in tqdm(windows, unit="window", leave=False, disable=None if show_progress else True):
        begin = [starts[i][k] for i, k in enumerate(window)]
        patch = padded[_box(begin, patch_size)][None].to(device)
        prediction = _predict_mirrored(network, patch, mirror_axes)[0].cpu()
        if output is None:
            output = torch.zeros((len(prediction), *(n * z for n, z in zip(padded.shape[1:], zooms, strict=True))))
        output[_box(begin, patch_size, zooms)] += prediction * _outer([weights[i][k] for i, k in enumerate(window)])
    assert output is not None
    return output[_box(inside, stack.shape[1:], zooms)]


def _predict_mirrored(network: nn.Module, patch: Tensor, mirror_axes: Sequence[int]) -> Tensor:
    """Return the mean of the outputs over all mirrorings, each mirrored back, float32."""
    axes = [2 + axis for axis in mirror_axes]
    combinations = [c for count in range(len(axes) + 1) for c in itertools.combinations(axes, count)]
    total: Tensor | None = None
    for flipped in combinations:
        with torch.autocast(patch.device.type, enabled=patch.device.type == "cuda"):
            prediction = network(torch.flip(patch, flipped))
        prediction = torch.flip(prediction.float(), flipped)
        total = prediction if total is None else total + prediction
    assert total is not None
    return total / len(combinations)


def _pad(stack: Tensor, patch_size: Sequence[int]) -> tuple[Tensor, list[int]]:
    """Return the stack with zeros around it, at least as large as the patch, and where it begins in there."""
    missing = [max(patch - n, 0) for n, patch in zip(stack.shape[1:], patch_size, strict=True)]
    begins = [n // 2 for n in missing]
    widths = [
        width for n, begin in zip(reversed(missing), reversed(begins), strict=True) for width in (begin, n - begin)
    ]
    return torch.nn.functional.pad(stack, widths), begins


def _box(begins: Sequence[int], sizes: Sequence[int], zooms: Sequence[int] | None = None) -> tuple[slice, ...]:
    """Return the index of all channels of a box, given on the LR grid, in an array that is so many times as long."""
    zooms = [1] * len(sizes) if zooms is None else zooms
    along = [slice(b * zoom, (b + n) * zoom) for b, n, zoom in zip(begins, sizes, zooms, strict=True)]
    return (slice(None), *along)


def _starts(size: int, patch: int, step_size: float) -> list[int]:
    """Return where windows begin: as few as the step size allows, evenly spread from end to end."""
    count = math.ceil((size - patch) / max(1, int(patch * step_size))) + 1
    return [round(i * (size - patch) / max(1, count - 1)) for i in range(count)]


def _window_weights(size: int, patch: int, starts: Sequence[int], zoom: int) -> list[Tensor]:
    """Return the weights of each window along one axis on the HR grid, float32; over the windows they sum to 1."""
    length = patch * zoom
    offsets = torch.arange(length, dtype=torch.float64) - (length - 1) / 2
    gaussian = torch.exp(-0.5 * (offsets / (length * _SIGMA_PER_LENGTH)) ** 2)
    edge = zoom * max(1, int(patch * _EDGES_PER_LENGTH))
    total = torch.zeros(size * zoom, dtype=torch.float64)
    weights = []
    for start in starts:
        weight = gaussian.clone()
        if start > 0:
            weight[:edge] *= _EDGE_WEIGHT
        if start + patch < size:
            weight[-edge:] *= _EDGE_WEIGHT
        total[start * zoom : start * zoom + length] += weight
        weights.append(weight)
    return [
        (weight / total[start * zoom : start * zoom + length]).float()
        for weight, start in zip(weights, starts, strict=True)
    ]


def _outer(factors: Sequence[Tensor]) -> Tensor:
    """Return the product of one vector an axis."""
    product = factors[0]
    for factor in factors[1:]:
        product = product[..., None] * factor
    return product
