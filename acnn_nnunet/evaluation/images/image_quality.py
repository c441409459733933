"""How close a reconstructed image is to its reference: SSIM and PSNR, on arrays.

SSIM is that of Wang et al. (IEEE TIP 13(4), 2004), which the paper cites as [47]: means, variances and covariance under
a Gaussian window of 11 taps and σ = 1.5 voxels per axis, normalised to sum 1 and without the n − 1 correction;
K1 = 0.01, K2 = 0.03. Only windows that lie in the image as a whole count: none is centred on the outer 5 voxels.

Both images are `(Z, Y, X)` arrays of real numbers, taken as they are: nothing is rescaled. The formula supposes
intensities from 0 to the data range; where they are negative, its first factor (likeness of the means) says little.
"""

import numpy as np

WINDOW_TAPS = 11
WINDOW_SIGMA = 1.5
K1, K2 = 0.01, 0.03

_BORDER = WINDOW_TAPS // 2


def intensity_range(reference: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Return maximum − minimum of the reference, inside the mask if there is one."""
    values = np.asarray(reference if mask is None else reference[mask], dtype=float)
    return float(values.max() - values.min())


def ssim(
    reference: np.ndarray, prediction: np.ndarray, *, data_range: float, mask: np.ndarray | None = None
) -> float | None:
    """Return the mean SSIM under windows that span every axis.

    Args:
        reference: an image of any number of axes.
        prediction: the same shape.
        data_range: the L of the formula's constants (K1·L)² and (K2·L)², positive.
        mask: bool, the same shape; the mean is over windows centred inside. A window sees what lies around the mask.

    Returns:
        −1 to 1, or None where an axis is shorter than the window or no window is centred inside the mask.
    """
    if min(reference.shape) < WINDOW_TAPS:
        return None
    interior = (slice(_BORDER, -_BORDER),) * reference.ndim
    if mask is not None and not mask[interior].any():
        return None
    from skimage.metrics import structural_similarity

    # float64: variances are small differences of large numbers.
    _, ssim_map = structural_similarity(
        reference.astype(np.float64),
        prediction.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=WINDOW_SIGMA,
        use_sample_covariance=False,
        K1=K1,
        K2=K2,
        full=True,
    )
    ssim_map = ssim_map[interior]
    return float(ssim_map.mean() if mask is None else ssim_map[mask[interior]].mean())


def slice_ssims(
    reference: np.ndarray, prediction: np.ndarray, *, axis: int, data_range: float, mask: np.ndarray | None = None
) -> list[float | None]:
    """Return the mean SSIM of each slice across an axis, under windows that stay in their slice.

    Arguments as in `ssim`; the data range is the same for all slices. None where `ssim` of the slice would be.
    """
    reference, prediction = np.moveaxis(reference, axis, 0), np.moveaxis(prediction, axis, 0)
    masks = [None] * len(reference) if mask is None else np.moveaxis(mask, axis, 0)
    return [
        ssim(expected, found, data_range=data_range, mask=inside)
        for expected, found, inside in zip(reference, prediction, masks, strict=True)
    ]


def mean_absolute_error(reference: np.ndarray, prediction: np.ndarray, *, mask: np.ndarray | None = None) -> float:
    """Return the mean absolute difference, inside the mask if there is one."""
    return float(np.abs(_difference(reference, prediction, mask)).mean())


def psnr_db(
    reference: np.ndarray, prediction: np.ndarray, *, data_range: float, mask: np.ndarray | None = None
) -> float | None:
    """Return 10·log10(data_range² / mean squared difference), in the mask if there is one; None for no difference."""
    mean_square = float(np.square(_difference(reference, prediction, mask)).mean())
    return None if mean_square == 0 else float(10 * np.log10(data_range**2 / mean_square))


def _difference(reference: np.ndarray, prediction: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    if mask is not None:
        reference, prediction = reference[mask], prediction[mask]
    return prediction.astype(np.float64) - reference.astype(np.float64)
