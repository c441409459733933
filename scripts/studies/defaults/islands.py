"""What a trained prior sees of an island: how far a piece of wrong foreground moves the code, and what pulls at it.

    python -m scripts.studies.defaults.islands NAME=PRIOR.pth … --labels FOLDER --cases CASE … -o islands.json

A cube of foreground is put beside the anatomy of held-out label maps, at several distances from it. The distance of
the codes that follows is compared with that of the same number of voxels added to the anatomy's own surface: 1 means
that the prior minds both alike. So is the gradient that each of these voxels receives.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.shape_prior.loss.distances import make_code_distance

EDGE = 3  # voxels of the island's cube
DISTANCES = (3, 6, 9)  # voxels from the anatomy to the cube's middle
PLACES = 8  # islands of each case and distance
SEED = 0


def main() -> None:
    """Measure the priors that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("priors", nargs="+", metavar="NAME=PRIOR.pth")
    parser.add_argument("--labels", type=Path, required=True, help="label maps")
    parser.add_argument("--cases", nargs="+", required=True, help="held out from the priors' training")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    found = {}
    for each in arguments.priors:
        name, _, file = each.partition("=")
        coder = load_coder(Path(file))
        files = [arguments.labels / f"{case}{coder.file_ending}" for case in arguments.cases]
        found[name] = measure(coder, files)
        print(name, json.dumps(found[name]), flush=True)
    write_json(arguments.output, {"edge": EDGE, "cases": arguments.cases, "priors": found})


def measure(coder: Coder, files: Sequence[Path]) -> dict[str, dict[str, float]]:
    """Return, by distance, the means over cases and islands of both ratios: of code distance, and of gradient.

    Args:
        coder: of a trained prior.
        files: label maps.
    """
    kind = "decoded" if coder.prior.spec.architecture == "hybrid" else "l2"
    compare = make_code_distance(kind, coder.prior.network)
    generator = np.random.default_rng(SEED)
    ratios: dict[str, list[tuple[float, float]]] = {str(distance): [] for distance in DISTANCES}
    for file in files:
        maps = coder.load(file).maps
        foreground = coder.labels.foreground(maps[None])[0, 0].numpy()
        away = distance_transform_edt(~foreground)
        channel = int(maps.flatten(1).sum(1)[1:].argmax()) + 1
        layer = np.argwhere((away > 0) & (away <= 1))
        for distance in DISTANCES:
            inside = [slice(EDGE // 2, size - EDGE // 2) for size in away.shape]
            margin = np.zeros_like(foreground)
            margin[tuple(inside)] = True
            middles = np.argwhere((np.abs(away - distance) < 0.5) & margin)
            for middle in generator.permutation(middles)[:PLACES]:
                cube = tuple(slice(at - EDGE // 2, at + EDGE // 2 + 1) for at in middle)
                island = np.zeros_like(foreground)
                island[cube] = True
                nearest = generator.choice(len(layer), int(island.sum()), replace=False)
                surface = np.zeros_like(foreground)
                surface[tuple(layer[nearest].T)] = True
                seen = [_seen(coder, compare, maps, mask & ~foreground, channel) for mask in (island, surface)]
                ratios[str(distance)].append((seen[0][0] / seen[1][0], seen[0][1] / seen[1][1]))
    return {
        distance: {
            "islands": len(values),
            "code_distance": round(float(np.median([value for value, _ in values])), 3),
            "gradient": round(float(np.median([value for _, value in values])), 3),
        }
        for distance, values in ratios.items()
        if values
    }


def _seen(coder: Coder, compare: torch.nn.Module, maps: Tensor, wrong: np.ndarray, channel: int) -> tuple[float, float]:
    """Return the code distance that wrong voxels cause, and the mean gradient towards background that they receive."""
    at = torch.from_numpy(wrong)
    spoilt = maps.clone()
    spoilt[:, at] = 0
    spoilt[channel, at] = 1
    spoilt = spoilt[None].requires_grad_()
    with torch.no_grad():
        truth = coder.prior.network.encoder(maps[None])
    distance = compare(coder.prior.network.encoder(spoilt), truth).sum()
    (gradient,) = torch.autograd.grad(distance, spoilt)
    pull = gradient[0, channel][at] - gradient[0, 0][at]
    return distance.item(), max(pull.mean().item(), 0.0)


if __name__ == "__main__":
    main()
