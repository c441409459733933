"""nnU-Net's sliding window over several images at once: two tiles at a time cost a CPU half as much as one and one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


@torch.inference_mode()
def predict_logits(predictor: Any, images: Sequence[Tensor], *, batch_size: int = 8) -> list[Tensor]:
    """Return the logits (classes, Z, Y, X) of images, as the predictor's own sliding window gives them one by one.

    Tiles, mirroring, padding and weights are the host's, summed in single precision (the host's half precision rounds
    logits at a tile's corners to whole numbers).

    Args:
        predictor: nnUNetPredictor of one trained model.
        images: preprocessed images (C, Z, Y, X).
        batch_size: tiles that go through the network together.
    """
    from acvl_utils.cropping_and_padding.padding import pad_nd_image
    from nnunetv2.inference.sliding_window_prediction import compute_gaussian

    patch, device = tuple(predictor.configuration_manager.patch_size), predictor.device
    predictor.network = predictor.network.to(device).eval()
    predictor.network.load_state_dict(predictor.list_of_parameters[0])
    weights = torch.ones(patch, device=device)
    if predictor.use_gaussian:
        weights = compute_gaussian(patch, value_scaling_factor=10, dtype=torch.float32, device=device)
    padded, crops = zip(
        *(pad_nd_image(image, patch, "constant", {"value": 0}, True, None) for image in images), strict=True
    )
    tiles = [
        (number, window)
        for number, image in enumerate(padded)
        for window in predictor._internal_get_sliding_window_slicers(image.shape[1:])
    ]
    classes = predictor.label_manager.num_segmentation_heads
    sums = [torch.zeros((classes, *image.shape[1:]), device=device) for image in padded]
    counts = [torch.zeros(image.shape[1:], device=device) for image in padded]
    for start in range(0, len(tiles), batch_size):
        batch = tiles[start : start + batch_size]
        with torch.autocast(device.type, enabled=device.type == "cuda"):
            stacked = torch.stack([padded[number][window] for number, window in batch]).to(device)
            logits = predictor._internal_maybe_mirror_and_predict(stacked)
        for (number, window), of_tile in zip(batch, logits.float(), strict=True):
            sums[number][window] += of_tile * weights
            counts[number][window[1:]] += weights
    return [
        (total / count)[(slice(None), *crop[1:])].cpu() for total, count, crop in zip(sums, counts, crops, strict=True)
    ]
