"""From K-fold thick slices to thin ones: interpolation, and a transposed convolution that starts as one.

LR slice k lies at HR index K·k + (K − 1)/2, the middle of its block. Beyond the first and the last LR slice the image
goes on as there, as it does in `degradation.acquisition.degrade`.
"""

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INTERPOLATIONS = ("linear", "bspline")
_LINEAR_MODES = {3: "linear", 4: "bilinear", 5: "trilinear"}
_TRANSPOSED: dict[int, Any] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
_TRANSPOSE: dict[int, Any] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


def interpolate_slices(stack: Tensor, factor: int, *, axis: int = 0, method: str = "linear") -> Tensor:
    """Return the stack with slices K times as dense; differentiable, in the stack's own precision under autocast too.

    Args:
        stack: (B, C, Z, Y, X) or (B, C, Y, X), floating point.
        factor: K, HR slices in an LR slice.
        axis: the through-plane axis among the spatial ones.
        method: "linear", or "bspline" for the interpolating cubic B-spline.

    Raises:
        ValueError: for another method.
    """
    if method not in INTERPOLATIONS:
        raise ValueError(f"There is no interpolation {method!r}; there are {', '.join(INTERPOLATIONS)}.")
    size = list(stack.shape[2:])
    if method == "linear":
        size[axis] *= factor
        return F.interpolate(stack, size=size, mode=_LINEAR_MODES[stack.ndim], align_corners=False)
    weights = _bspline_weights(size[axis], factor).to(stack)
    with torch.autocast(stack.device.type, enabled=False):
        return (stack.movedim(2 + axis, -1) @ weights.T).movedim(-1, 2 + axis)


def linear_taps(factor: int) -> Tensor:
    """Return the 2K taps (float64) with which a transposed convolution of stride K interpolates linearly.

    Tap t reaches the HR slice t − K + 1/2 from the LR slice's centre for even K, and t − K for odd K, where tap 0 lies
    a whole LR slice away and is 0: the other 2K − 1 are centred.
    """
    return 1 - _tap_places(factor).abs()


class ThroughPlaneUpsampling(nn.Module):
    """A transposed convolution by K along one axis that starts as linear interpolation of each channel.

    Kernel 2K, stride K; padding K/2 for even K, (K + 1)/2 with output padding 1 for odd K, so that nothing is shifted.
    The outermost LR slices are repeated once beyond the ends, and what they become is cut off (K more of padding):
    otherwise the image would fade to zero there.
    """

    def __init__(self, channels: int, factor: int, *, axis: int, dimensions: int = 3):
        super().__init__()
        self.axis, self.factor, self.dimensions = axis, factor, dimensions
        along = functools.partial(_along, axis=axis, dimensions=dimensions)
        self.transposed = _TRANSPOSED[dimensions](
            channels,
            channels,
            kernel_size=along(2 * factor, 1),
            stride=along(factor, 1),
            padding=along(factor + (factor + 1) // 2, 0),
            output_padding=along(factor % 2, 0),
        )
        with torch.no_grad():
            self.transposed.weight.zero_()
            taps = linear_taps(factor).view(along(-1, 1)).to(self.transposed.weight)
            self.transposed.weight[range(channels), range(channels)] = taps
            self.transposed.bias.zero_()

    def forward(self, features: Tensor, factor: int | None = None) -> Tensor:
        """Return (B, C, …) with the axis K times as long, or as many times as `factor` says.

        The learnt kernel is a function of the distance from an LR slice, in LR spacings. For another factor it is read
        at that one's distances: linear interpolation stays exact, and what was learnt beyond it is interpolated.
        """
        dim = 2 + self.axis
        first, last = features.narrow(dim, 0, 1), features.narrow(dim, features.shape[dim] - 1, 1)
        padded = torch.cat([first, features, last], dim)
        if factor is None or factor == self.factor:
            return self.transposed(padded)
        along = functools.partial(_along, axis=self.axis, dimensions=self.dimensions)
        return _TRANSPOSE[self.dimensions](
            padded,
            self._weight_of(factor),
            self.transposed.bias,
            stride=along(factor, 1),
            padding=along(factor + (factor + 1) // 2, 0),
            output_padding=along(factor % 2, 0),
        )

    def _weight_of(self, factor: int) -> Tensor:
        weight = self.transposed.weight
        shape = _along(-1, 1, axis=self.axis, dimensions=self.dimensions)
        linear = torch.eye(len(weight), device=weight.device, dtype=weight.dtype)
        linear = linear.view(len(weight), len(weight), *(1,) * self.dimensions)
        learnt = weight - linear * linear_taps(self.factor).to(weight).view(shape)
        read = _taps_read_at(self.factor, factor).to(weight)
        learnt = (learnt.movedim(2 + self.axis, -1) @ read.T).movedim(-1, 2 + self.axis)
        return learnt + linear * linear_taps(factor).to(weight).view(shape)


def _tap_places(factor: int) -> Tensor:
    """Return where the taps lie, in LR spacings from the slice's centre, float64."""
    offset = torch.arange(2 * factor, dtype=torch.float64) - factor + (0.5 if factor % 2 == 0 else 0)
    return offset / factor


@torch.compiler.disable
@functools.lru_cache(maxsize=64)
def _taps_read_at(known: int, wanted: int) -> Tensor:
    """Return (2·wanted, 2·known), float64: linear interpolation between the taps of a factor, to 0 at ±1 spacing."""
    import numpy as np

    places = _tap_places(known).numpy()
    ends = np.array([-1.0, *places[places > -1], 1.0])
    columns = np.eye(len(places))[places > -1]
    table = np.vstack([np.zeros(len(places)), columns, np.zeros(len(places))])
    at = _tap_places(wanted).numpy()
    return _kept(np.stack([np.interp(at, ends, column) for column in table.T], axis=1))


def _along(value: int, elsewhere: int, *, axis: int, dimensions: int) -> tuple[int, ...]:
    return tuple(value if i == axis else elsewhere for i in range(dimensions))


@torch.compiler.disable
@functools.lru_cache(maxsize=16)
def _bspline_weights(num_slices: int, factor: int) -> Tensor:
    """Return (K·n, n), float64: the HR slices as sums of the LR ones."""
    import numpy as np
    from scipy.ndimage import zoom

    # grid_mode keeps the voxels' outer edges where they are, which is the block-centred phase.
    weights = zoom(np.eye(num_slices), (factor, 1), order=3, mode="nearest", grid_mode=True)
    return _kept(weights)


@torch.inference_mode(False)
def _kept(values: Any) -> Tensor:
    """Return a tensor of an array that training can use too, if a prediction was the first to ask for it."""
    return torch.from_numpy(values)
