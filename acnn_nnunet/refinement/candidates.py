"""Plausible label maps near a prediction: what codes on the way from its own to the training mean decode to."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from acnn_nnunet.refinement.anatomy_refiner import AnatomyRefiner
from acnn_nnunet.refinement.predictions import Prediction, decided

SHARES = (0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
"""Of the way to the mean: the first candidate is the prediction's own reconstruction, the last the mean shape."""


@torch.no_grad()
def plausible_candidates(
    refiner: AnatomyRefiner, prediction: Prediction, *, shares: Sequence[float] = SHARES
) -> Iterator[np.ndarray]:
    """Yield label maps (Z, Y, X) on the image's grid, the nearest to the prediction's code first.

    Each is a whole decoded anatomy, without anything of the prediction, laid where the prediction's main part lies.
    Nothing is yielded where the prior's grid cannot be laid: an empty prediction, one larger than the grid.

    Args:
        refiner: of the prior.
        prediction: whose label map is to be replaced; its probabilities are used where there are some.
        shares: of the way from its code to the mean of the training codes, rising.
    """
    laid = refiner.lay(prediction)
    if isinstance(laid, str):
        return
    coder, network = refiner.coder, refiner.coder.prior.network
    maps, placement = laid
    code, mean = network.encoder(maps.to(coder.device)), network.code_mean
    for share in shares:
        anatomy = coder.labels.probabilities(network.decoder(code + share * (mean - code)).float()).cpu()
        in_box = placement.onto_box(anatomy, beyond=coder.labels.background)
        turned = np.zeros_like(prediction.values.transpose(refiner.order))
        turned[placement.box] = decided(in_box[0].numpy(), coder)
        yield turned.transpose(np.argsort(refiner.order))
