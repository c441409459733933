"""Completion: the code that a damaged segmentation would have if nothing were missing, moved or added.

A prior's encoder was trained on whole anatomies, so that the code of half of one is hardly that of the whole. Here a
ridge regression takes its place: from the encoder's code and the signed distances of damaged label maps to the codes of
the undamaged. It is fitted in closed form on the prior's training label maps, moved a little and damaged at random;
where these are not at hand, on anatomies that are drawn from the prior. No image is needed. With the prior's decoder it
is a denoising autoencoder (as Larrazabal et al., IEEE TMI 2020, put behind segmentation networks).
"""

import contextlib
import logging
import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from torch import Tensor

from acnn_nnunet.files.safe_writes import WriteError, replace_atomically
from acnn_nnunet.fold_prior.coder import Coder
from acnn_nnunet.nnunet.cases import main_pieces
from acnn_nnunet.refinement.structural_errors import draw_structural_errors
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.loss.distances import WhitenedDistance
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import SoftDistance, pool, pooled_size
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork

_log = logging.getLogger(__name__)

SAMPLES = 3000
"""Damaged anatomies that a completion is fitted on."""

COMPLETION_FILE = "completion.pth"
"""Beside the prior's file."""

# What torch.load may raise for a file that is not there, is cut off or is something else.
_OF_NO_USE = (
    *(OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError),
    pickle.UnpicklingError,
)
_VERSION = 2  # of how a completion is fitted: files of others are written again
_BATCH, _SEED = 20, 0
_MOST_DISTANCES = 8192  # signed distances that are read; more would need more samples
_CLEAN_SHARE = 0.1  # of the samples that are not damaged
_SOFT_SHARE = 0.7  # of the samples that are soft, as a network's probabilities are
_OFF_CENTRE = 0.3  # of the samples: the grid lies a voxel off
_MARGIN = 0.2  # of the grid's length on both sides, in which damage may lie too
_RIDGE = 2.0  # times the mean square of a sample's inputs; a third or five times of it was worse on held-out samples
_DISTANCES_WEIGHT = 0.3  # of a distance of one standard deviation, where a code's unit is one
_ROTATION_DEG, _LOG_SCALE, _WARP_VOXELS = 7.0, 0.06, 1.2  # standard deviations of how training label maps are moved
_WARP_GRID = 4  # points per axis that are warped
_THICK = 2.0  # an axis with voxels longer than this many times the shortest is not turned
_MOST_DEVIATIONS = 6.0  # of a code from the training codes: what is damaged may lie anywhere


@dataclass(frozen=True)
class Completion:
    """From segmentations on a prior's grid to codes of whole anatomies, linearly.

    Attributes:
        pooling: voxels per axis of a signed distance.
        centre: (N,) mean of the distances.
        scale: (N,) what a distance is divided by.
        weights: (K + N + 1, K), from whitened code, scaled distances and 1 to a whitened code.
    """

    pooling: tuple[int, ...]
    centre: Tensor
    scale: Tensor
    weights: Tensor

    @torch.no_grad()
    def codes(self, network: TLNetwork, labels: LabelSpace, maps: Tensor, spacing_mm: tuple[float, ...]) -> Tensor:
        """Return codes (B, K) of soft or hard maps (B, C, …), on the maps' device.

        Args:
            network: of the prior.
            labels: what the channels mean.
            maps: on the prior's grid.
            spacing_mm: of the grid's voxels.
        """
        whitening = WhitenedDistance(network.code_covariance).whitening.to(maps.device)
        code = _whitened(network.encoder(maps), network, whitening)
        inputs = _inputs(code, (distances(maps, labels, self.pooling, spacing_mm) - self.centre) / self.scale)
        return network.code_mean + torch.linalg.solve_triangular(whitening, (inputs @ self.weights).T, upper=False).T


def load_completion(coder: Coder) -> Completion:
    """Load the completion of a prior from the file beside it; fit and write it where there is none of this prior.

    One that was fitted on drawn anatomies is fitted again once the training label maps are at hand. Where that folder
    cannot be written, every run fits it anew, which takes a minute or two.
    """
    prior = coder.prior
    path = Path(prior.path).with_name(COMPLETION_FILE)
    files = training_files(coder)
    with contextlib.suppress(*_OF_NO_USE):
        content = torch.load(path, map_location=coder.device, weights_only=True)
        made_of = content.pop("made_of")
        if made_of == _made_of(prior.sha256) or (not files and made_of == _made_of(prior.sha256, drawn=True)):
            return Completion(**content)
    anatomies = training_anatomies(coder, files)
    on = "anatomies drawn from it" if anatomies is None else f"{len(anatomies)} training label maps"
    _log.info("fitting the completion of %s on %s", prior.path, on)
    fitted = fit_completion(prior.network, coder.labels, coder.geometry.spacing_mm, anatomies, samples=SAMPLES)
    content = {**vars(fitted), "made_of": _made_of(prior.sha256, drawn=anatomies is None)}
    try:
        replace_atomically(path, lambda partial: torch.save(content, partial))
    except WriteError as error:
        _log.warning("%s Each run fits the completion again.", error)
    return fitted


def training_files(coder: Coder) -> list[Path]:
    """Return the prior's training label maps, none where one of them is not at hand."""
    spec = coder.prior.spec
    folders = [(nnUNet_preprocessed, "gt_segmentations"), (nnUNet_raw, "labelsTr")]
    places = [Path(root.get() or "") / spec.dataset / name for root, name in folders]
    files = [
        next((file for place in places if (file := place / f"{case}{coder.file_ending}").is_file()), None)
        for case in spec.training_cases
    ]
    found = [file for file in files if file is not None]
    return found if len(found) == len(files) else []


def training_anatomies(coder: Coder, files: Sequence[Path]) -> Tensor | None:
    """Return label maps (N, C, …) on the prior's grid, None where there are none; one that cannot be used is left out.

    nnU-Net trains on label maps that lie otherwise than the rest, or that have one slice.
    """
    maps = []
    for file in files:
        try:
            case = coder.load(file)
        except ValueError as error:
            _log.warning("The completion is fitted without a training label map: %s", error)
            continue
        if not case.empty:
            maps.append(case.maps)
    return torch.stack(maps) if maps else None


def _made_of(prior_sha256: str, *, drawn: bool = False) -> str:
    return f"{_VERSION}, {SAMPLES} samples{' of drawn anatomies' if drawn else ''}, {prior_sha256}"


@torch.no_grad()
def fit_completion(
    network: TLNetwork,
    labels: LabelSpace,
    spacing_mm: tuple[float, ...],
    anatomies: Tensor | None = None,
    *,
    samples: int = SAMPLES,
) -> Completion:
    """Fit a completion on damaged anatomies, always the same for a prior and anatomies.

    Args:
        network: of the prior, of volumes.
        labels: what its channels mean.
        spacing_mm: of its grid's voxels.
        anatomies: whole ones (N, C, …) on its grid, on the CPU; None draws them from the prior.
        samples: how many are drawn; memory is 4·samples² bytes and about as much again.
    """
    device = network.code_mean.device
    whitening = WhitenedDistance(network.code_covariance).whitening.to(device)
    codes, targets, read, pooling = [], [], [], None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        for damaged, whole in _draw_pairs(network, labels, spacing_mm, anatomies, samples):
            pooling = pooling or _pooling(whole, labels)
            codes.append(_whitened(network.encoder(damaged.to(device)), network, whitening).cpu())
            targets.append(_whitened(network.encoder(whole.to(device)), network, whitening).cpu())
            read.append(distances(damaged, labels, pooling, spacing_mm))
    assert pooling is not None
    seen = torch.cat(read)
    centre, scale = seen.mean(0), seen.std(0).clamp(min=1e-2) / _DISTANCES_WEIGHT
    inputs = _inputs(torch.cat(codes), (seen - centre) / scale)
    # Fewer samples than inputs: the dual form.
    gram = inputs @ inputs.T
    gram.diagonal().add_(_RIDGE * gram.diagonal().mean())
    weights = inputs.T @ torch.cholesky_solve(torch.cat(targets), torch.linalg.cholesky(gram))
    return Completion(pooling, centre.to(device), scale.to(device), weights.to(device))


def distances(maps: Tensor, labels: LabelSpace, pooling: tuple[int, ...], spacing_mm: tuple[float, ...]) -> Tensor:
    """Return soft signed distances (B, N) to the boundary of each label in maps (B, C, …)."""
    pooled = pool(maps if labels.regions else maps[:, 1:], pooling)
    size = tuple(int(n) for n in pooled.shape[2:])
    coarse_mm = tuple(mm * factor for mm, factor in zip(spacing_mm, pooling, strict=True))
    distance = SoftDistance(size, spacing_mm=coarse_mm, finest=min(spacing_mm)).to(maps.device)
    return distance(pooled).flatten(1)


def _draw_pairs(
    network: TLNetwork, labels: LabelSpace, spacing_mm: tuple[float, ...], anatomies: Tensor | None, samples: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield damaged anatomies and the whole ones (B, C, …), on a grid that lies around what is damaged."""
    for _ in range(math.ceil(samples / _BATCH)):
        if anatomies is None:
            drawn = _draw_anatomies(network, labels)
        else:
            drawn = anatomies[torch.randint(len(anatomies), (_BATCH,))]
        canvas = _padded(drawn, labels)
        canvas = canvas if anatomies is None else _moved(canvas, spacing_mm)
        damaged = draw_structural_errors(canvas, labels)
        clean = (torch.rand(_BATCH) < _CLEAN_SHARE).view(-1, *(1,) * (canvas.ndim - 1))
        damaged = torch.where(clean, labels.hardened(canvas), damaged)
        pairs = []
        for whole, spoilt in zip(canvas, damaged, strict=True):
            window = _window(spoilt, labels, tuple(drawn.shape[2:]))
            if window is not None:
                pairs.append((spoilt[window], whole[window]))
        if pairs:
            first, second = (torch.stack(list(each)) for each in zip(*pairs, strict=True))
            soft = (torch.rand(len(first)) < _SOFT_SHARE).view(-1, *(1,) * (first.ndim - 1))
            yield torch.where(soft, softened(first), first), second


def _draw_anatomies(network: TLNetwork, labels: LabelSpace) -> Tensor:
    """Return soft maps (B, C, …), on the CPU, of codes that are distributed as the training codes."""
    factor = torch.linalg.cholesky(network.code_covariance.cpu())
    codes = network.code_mean.cpu() + torch.randn(_BATCH, len(factor)) @ factor.T
    return labels.probabilities(network.decoder(codes.to(network.code_mean.device)).float()).cpu()


def _moved(maps: Tensor, spacing_mm: tuple[float, ...]) -> Tensor:
    """Return maps (B, C, Z, Y, X) turned, scaled and warped at random; an axis of thick slices is not turned."""
    count, size = len(maps), torch.tensor(maps.shape[2:])
    half_mm = torch.tensor(spacing_mm) * size / 2
    matrix = torch.eye(3).expand(count, 3, 3)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        if max(spacing_mm[first], spacing_mm[second]) < _THICK * min(spacing_mm):
            angle = math.radians(_ROTATION_DEG) * torch.randn(count)
            turn = torch.eye(3).repeat(count, 1, 1)
            turn[:, first, first] = turn[:, second, second] = angle.cos()
            turn[:, first, second], turn[:, second, first] = -angle.sin(), angle.sin()
            matrix = matrix @ turn
    matrix = matrix @ torch.diag_embed((_LOG_SCALE * torch.randn(count, 3)).exp())
    normalised = matrix * half_mm / half_mm[:, None]
    # F.affine_grid counts axes from the last.
    theta = torch.cat([normalised.flip(1, 2), torch.zeros(count, 3, 1)], dim=2)
    warp = F.interpolate(
        torch.randn(count, 3, _WARP_GRID, _WARP_GRID, _WARP_GRID),
        size=maps.shape[2:],
        mode="trilinear",
        align_corners=True,
    )
    reach = _WARP_VOXELS * min(spacing_mm) * torch.rand(count, 1) / half_mm.flip(0)
    places = F.affine_grid(theta, list(maps.shape), align_corners=False)
    places = places + (warp * reach.view(count, 3, 1, 1, 1)).movedim(1, -1)
    return F.grid_sample(maps, places, padding_mode="border", align_corners=False)


def softened(maps: Tensor) -> Tensor:
    """Return what hard maps (B, C, Z, Y, X) say of probabilities: half of it themselves, half their neighbourhood."""
    return 0.5 * (maps + F.avg_pool3d(maps, 3, stride=1, padding=1, count_include_pad=False))


def _padded(maps: Tensor, labels: LabelSpace) -> Tensor:
    """Return maps (B, C, …) with background around them."""
    margins = [math.ceil(_MARGIN * n) for n in maps.shape[2:]]
    inside = tuple(slice(margin, margin + n) for n, margin in zip(maps.shape[2:], margins, strict=True))
    around = [each for margin in reversed(margins) for each in (margin, margin)]  # F.pad begins with the last axis
    padded = F.pad(maps, around)
    empty = torch.ones_like(padded[:1, :1], dtype=torch.bool)
    of_maps = (slice(None), slice(None), *inside)
    empty[of_maps] = False
    background = maps.new_tensor(labels.background).view(1, -1, *(1,) * (maps.ndim - 2))
    return torch.where(empty, background, padded)


def _window(spoilt: Tensor, labels: LabelSpace, size: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Return the grid's place in maps (C, …), around the anatomy that is left; None where nothing is."""
    anatomy = labels.foreground(spoilt[None])[0, 0].numpy()
    if not anatomy.any():
        return None
    found = torch.from_numpy(main_pieces(anatomy)).nonzero()
    middle = (found.min(0).values + found.max(0).values) / 2
    window = [slice(None)]
    off = torch.randint(-1, 2, (len(size),)) * (torch.rand(()) < _OFF_CENTRE)
    for axis, n in enumerate(size):
        start = math.floor(float(middle[axis]) - (n - 1) / 2 + 0.5) + int(off[axis])
        start = min(max(start, 0), spoilt.shape[1 + axis] - n)
        window.append(slice(start, start + n))
    return tuple(window)


def _pooling(maps: Tensor, labels: LabelSpace) -> tuple[int, ...]:
    """Return the voxels per axis of a distance: 2, 1 along axes of few voxels, and more until there are few enough."""
    channels, size = maps.shape[1] - (not labels.regions), tuple(int(n) for n in maps.shape[2:])
    pooling = [2 if n > max(size) / 4 else 1 for n in size]
    while channels * math.prod(pooled_size(size, tuple(pooling))) > _MOST_DISTANCES:
        longest = max(range(len(size)), key=lambda axis: size[axis] / pooling[axis])
        pooling[longest] *= 2
    return tuple(pooling)


def _whitened(code: Tensor, network: TLNetwork, whitening: Tensor) -> Tensor:
    return ((code.float() - network.code_mean) @ whitening.T).clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def _inputs(code: Tensor, distances: Tensor) -> Tensor:
    return torch.cat([code, distances, torch.ones_like(code[:, :1])], dim=1)
