"""What a trained prior sees of an island: how far a piece of wrong foreground moves the code, and what pulls at it.

    python -m scripts.studies.defaults.islands NAME=PRIOR.pth … --labels FOLDER --cases CASE … -o islands.json
    python -m scripts.studies.defaults.islands paper20=PRIOR.pth --model FOLDER --test FOLDER …

A cube of foreground is put beside the anatomy of held-out label maps, at several distances from it. The distance of
the codes that follows is compared with that of the same number of voxels added to the anatomy's own surface: 1 means
that the prior minds both alike. So is the gradient that each of these voxels receives.

With `--model`, the islands are those that a network trained with the prior leaves on clean selection images: the
distance of the codes of prediction and truth as it is, and with the islands turned into background.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from acnn_nnunet.evaluation.masks.scores import largest_component
from acnn_nnunet.files.safe_writes import write_json
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.shape_prior.loss.distances import make_code_distance
from scripts.studies.defaults.arms import CLEAN, FEW_FOLD
from scripts.studies.defaults.images import SELECTION, read_test_images
from scripts.studies.defaults.tiles import predict_logits

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
    parser.add_argument("--model", type=Path, help="folder of a network trained with the first prior")
    parser.add_argument("--fold", type=int, default=FEW_FOLD, help="of the network")
    parser.add_argument("--test", type=Path, help="test images of the study's workplace")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    found, left = {}, None
    for each in arguments.priors:
        name, _, file = each.partition("=")
        coder = load_coder(Path(file))
        files = [arguments.labels / f"{case}{coder.file_ending}" for case in arguments.cases]
        found[name] = measure(coder, files)
        print(name, json.dumps(found[name]), flush=True)
    if arguments.model:
        prior = Path(arguments.priors[0].partition("=")[2])
        files = {case: arguments.labels / f"{case}{coder.file_ending}" for case in arguments.cases}
        left = measure_left(load_coder(prior), arguments.model, arguments.fold, arguments.test, files)
        print(json.dumps(left))
    write_json(arguments.output, {"edge": EDGE, "cases": arguments.cases, "priors": found, "left": left})


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


def measure_left(coder: Coder, model: Path, fold: int, test: Path, files: dict[str, Path]) -> dict[str, float]:
    """Return how many islands a network leaves on clean images, and what they are to the code; means over cases.

    Args:
        coder: of the prior that the network was trained with, on the whole patch.
        model: folder of the trained network.
        fold: its fold.
        test: folder of test images.
        files: label maps by case.
    """
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        use_mirroring=False, perform_everything_on_device=False, device=torch.device("cpu"), allow_tqdm=False
    )
    predictor.initialize_from_trained_model_folder(str(model), (fold,), "checkpoint_final.pth")
    compare, encoder = make_code_distance("l2", coder.prior.network), coder.prior.network.encoder
    rows = []
    for image in read_test_images(test):
        if (image.part, image.kind) != (SELECTION, CLEAN) or image.case not in files:
            continue
        probabilities = predict_logits(predictor, [torch.from_numpy(image.data)])[0].float().softmax(0)
        foreground = (probabilities.argmax(0) > 0).numpy()
        main = largest_component(foreground)
        islands = foreground & ~main
        without = probabilities.clone()
        if islands.any():
            beside = torch.from_numpy((distance_transform_edt(~islands) <= 1.5) & ~main)
            without[:, beside] = 0
            without[0, beside] = 1
        with torch.no_grad():
            truth = encoder(coder.load(files[image.case]).maps[None])
            maps = [_in_middle(each, coder.grid.size)[None] for each in (probabilities, without)]
            distances = [compare(encoder(each), truth).item() for each in maps]
        rows.append([int(islands.sum()), int(main.sum()), *distances])
    names = ("island_voxels", "other_voxels", "distance", "distance_without_islands")
    return {"cases": len(rows), **dict(zip(names, np.mean(rows, axis=0).round(1).tolist(), strict=True))}


def _in_middle(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps (C, …) cut or padded with background to a size, about the middle."""
    result = torch.zeros((len(maps), *size))
    result[0] = 1
    pairs = list(zip(maps.shape[1:], size, strict=True))
    source = tuple(slice(max(0, a - b) // 2, max(0, a - b) // 2 + min(a, b)) for a, b in pairs)
    target = tuple(slice(max(0, b - a) // 2, max(0, b - a) // 2 + min(a, b)) for a, b in pairs)
    result[(slice(None), *target)] = maps[(slice(None), *source)]
    return result


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
