"""Label maps from a prior's code space, for a repair to take slices from."""

from collections.abc import Iterator

import numpy as np
import torch

from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.refinement.placement import place_grid
from acnn_nnunet.refinement.predictions import decided

_STEPS = (0.0, 0.25, 0.5, 0.75, 1.0)


def decoded_label_maps(coder: Coder, values: np.ndarray, spacing_mm: tuple[float, ...]) -> Iterator[np.ndarray]:
    """Yield what codes decode to, from a label map's own code to the mean code of the training labels.

    Nothing is yielded where the anatomy does not fit the prior's grid.

    Args:
        coder: of the prior.
        values: label map (Z, Y, X), axes as the host's reader gives them; stays as it is beyond the prior's grid.
        spacing_mm: in the same order.
    """
    labels, order = coder.labels, coder.layout.transpose
    turned = values.transpose(order)
    if not (turned > 0).any():
        return
    size, grid_mm = coder.geometry.size, coder.geometry.spacing_mm
    turned_mm = [spacing_mm[axis] for axis in order]
    placement = place_grid(main_pieces(turned > 0), turned_mm, kind=coder.grid.kind, size=size, grid_spacing_mm=grid_mm)
    if not placement.fits:
        return
    target = as_target(turned[placement.box][None].astype(np.int16), coder.prior.spec.labels, labels)
    network = coder.prior.network
    with torch.no_grad():
        maps = placement.onto_grid(labels.target_maps(target[None]), beyond=labels.background)
        own = network.encoder(maps.to(coder.device))
        codes = torch.cat([torch.lerp(own, network.code_mean[None].to(own), step) for step in _STEPS])
        for anatomy in labels.probabilities(network.decoder(codes)).cpu().split(1):
            decoded = turned.astype(np.int32)
            on_box = placement.onto_box(anatomy, beyond=labels.background)
            decoded[placement.box] = decided(on_box[0].numpy(), coder)
            yield decoded.transpose(np.argsort(order)).astype(values.dtype)
