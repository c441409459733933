"""The linear start: the PCA that scikit-learn finds, at the decoder's output before any training."""

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from sklearn.decomposition import PCA

from acnn_nnunet.shape_prior.grids.samples import samples_on_grid
from acnn_nnunet.shape_prior.grids.views import PatchGrid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.label_maps.pca import distance_maps
from acnn_nnunet.shape_prior.networks.hybrid_autoencoder import pool
from acnn_nnunet.shape_prior.networks.tl_network import TLNetwork
from acnn_nnunet.shape_prior.training.linear_start import SHARPNESS, maps_for_linear_start, start_linearly

SIZE, CODE_SIZE, MAPS = (12, 16, 16), 6, 40
SPACING = (1.0, 1.0, 1.0)


def ellipsoids(*, count: int, seed: int, size=SIZE) -> torch.Tensor:
    """Integer targets (count, 1, …): an ellipsoid, one half of label 1, the other of label 2."""
    rng = np.random.default_rng(seed)
    axes = np.indices(size).astype(float)
    targets = []
    for _ in range(count):
        centre = (np.array(size) - 1) / 2 + rng.uniform(-0.5, 0.5, len(size))
        radii = rng.uniform(0.3, 0.45, len(size)) * np.array(size)
        distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii, strict=True))
        targets.append((distance < 1) * (1 + (axes[-1] > centre[-1])))
    return torch.from_numpy(np.stack(targets))[:, None]


def regions_of(target: torch.Tensor) -> torch.Tensor:
    return torch.cat([target > 0, target == 2], 1).long()


def started(labels: LabelSpace, target: torch.Tensor, *, spacing_mm=SPACING, size=SIZE, code_size=CODE_SIZE):
    torch.manual_seed(0)
    network = TLNetwork(
        size,
        num_classes=labels.num_channels,
        image_channels=1,
        code_size=code_size,
        architecture="hybrid",
        spacing_mm=spacing_mm,
    )
    grid = PatchGrid(size)
    batches = [
        samples_on_grid(torch.zeros_like(part, dtype=torch.float32), part, grid=grid, labels=labels)
        for part in target.split(8)
    ]
    components = start_linearly(network, batches, labels=labels, spacing_mm=spacing_mm)
    return network.eval(), components


def pooled_distances(masks: np.ndarray) -> np.ndarray:
    """Return (N, V) of masks (N, K, …): half a voxel beyond the boundary's centres, at most 6, averaged by 2×2×2."""
    distances = [
        [np.clip(distance_transform_edt(m) - distance_transform_edt(~m) - (m - 0.5), -6, 6) for m in sample]
        for sample in masks
    ]
    d, h, w = (n // 2 for n in SIZE)
    return np.array(distances).reshape(len(masks), -1, d, 2, h, 2, w, 2).mean((3, 5, 7)).reshape(len(masks), -1)


def dice(first: torch.Tensor, second: torch.Tensor) -> float:
    return (2 * (first * second).sum() / (first + second).sum()).item()


@pytest.mark.parametrize("regions", [False, True])
def test_the_linear_branches_are_scikit_learns_pca(regions):
    labels = LabelSpace(2 if regions else 3, regions)
    target = ellipsoids(count=MAPS, seed=0)
    target = regions_of(target) if regions else target
    network, components = started(labels, target)
    assert components == CODE_SIZE
    masks = labels.target_maps(target).numpy()[:, 0 if regions else 1 :] > 0.5
    distances = pooled_distances(masks)
    pca = PCA(CODE_SIZE, svd_solver="full").fit(distances)
    scores = pca.transform(distances)
    rebuilt = pca.inverse_transform(scores)
    with torch.no_grad():
        # Codes of unit variance, up to the sign of each axis.
        axes = network.decoder.linear.weight / SHARPNESS
        values = axes.view(labels.num_channels, -1, CODE_SIZE)[0 if regions else 1 :].reshape(-1, CODE_SIZE).numpy()
        scale = scores.std(0)
        signs = np.sign((values * (pca.components_.T * scale)).sum(0))
        np.testing.assert_allclose(values * signs, pca.components_.T * scale, atol=2e-3)
        logits = network.decoder.linear(torch.from_numpy(scores / scale * signs).float())
        logits = logits.view(MAPS, labels.num_channels, -1) / SHARPNESS
        if not regions:
            assert (logits[:, 0] == 0).all()  # the background's
            logits = logits[:, 1:]
        np.testing.assert_allclose(logits.reshape(MAPS, -1).numpy(), rebuilt, atol=5e-3)


@pytest.mark.parametrize("regions", [False, True])
def test_at_initialisation_it_reconstructs_as_pca_does(regions):
    labels = LabelSpace(2 if regions else 3, regions)
    prepare = regions_of if regions else (lambda target: target)
    network, _ = started(labels, prepare(ellipsoids(count=120, seed=0)))
    maps = labels.target_maps(prepare(ellipsoids(count=16, seed=1)))
    first = 0 if regions else 1
    fitted = labels.target_maps(prepare(ellipsoids(count=120, seed=0)))
    pca = PCA(CODE_SIZE, svd_solver="full").fit(pooled_distances(fitted.numpy()[:, first:] > 0.5))
    rebuilt = pca.inverse_transform(pca.transform(pooled_distances(maps.numpy()[:, first:] > 0.5)))
    coarse = torch.from_numpy(rebuilt).float().view(16, -1, *(n // 2 for n in SIZE))
    distances = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="trilinear")
    if not regions:
        distances = torch.cat([torch.zeros_like(distances[:, :1]), distances], 1)
    with torch.no_grad():
        mine, pcas = labels.decisions(network.reconstruct(maps)), labels.decisions(distances)
    for channel in range(first, labels.num_channels):
        wanted = dice(pcas[:, channel], maps[:, channel])
        assert wanted > 0.85
        assert dice(mine[:, channel], maps[:, channel]) > wanted - 0.03


def test_fewer_maps_than_the_code_is_long():
    labels = LabelSpace(3)
    target = ellipsoids(count=5, seed=0)
    network, components = started(labels, target, code_size=12)
    assert components == 4  # five points have four directions
    columns = network.decoder.linear.weight.norm(dim=0)
    assert (columns > 0).all()
    assert columns[4:].max() < columns[:4].min()
    maps = labels.target_maps(target)
    with torch.no_grad():
        decisions = labels.decisions(network.reconstruct(maps))
    # Averages of 2×2×2 distances alone make it 0.896.
    assert dice(decisions[:, 1:], maps[:, 1:]) > 0.88


def test_a_step_of_all_weights_moves_no_code_far():
    labels, target = LabelSpace(3), ellipsoids(count=MAPS, seed=0)
    network, _ = started(labels, target)
    maps = labels.target_maps(target)
    with torch.no_grad():
        before = network.encoder(maps)
        network.encoder.linear.weight += 1e-3 * network.encoder.linear.weight.sign()
        # 200 · 1e-3 on average over the maps the start was fitted to, all signs alike.
        assert (network.encoder(maps) - before).abs().mean() < 0.2


def test_without_a_sample_nothing_changes():
    labels = LabelSpace(3)
    torch.manual_seed(0)
    network = TLNetwork(SIZE, num_classes=3, image_channels=1, code_size=4, architecture="hybrid")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert start_linearly(network, [], labels=labels, spacing_mm=SPACING) == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("size", "spacing_mm"), [((16, 18), (1.0, 1.0)), ((5, 18, 15), (8.0, 1.0, 1.0))])
def test_two_dimensions_odd_sizes_and_thick_slices(size, spacing_mm):
    labels = LabelSpace(3)
    target = ellipsoids(count=40, seed=0, size=size)
    network, _ = started(labels, target, spacing_mm=spacing_mm, size=size, code_size=10)
    maps = labels.target_maps(target)
    with torch.no_grad():
        decisions = labels.decisions(network.reconstruct(maps))
    assert dice(decisions[:, 1:], maps[:, 1:]) > 0.85


def test_distances_by_hand():
    maps = LabelSpace(2).target_maps(torch.tensor([[0, 0, 0, 1, 1], [0, 0, 0, 1, 1]])[None, None])
    (background, label) = distance_maps(maps, LabelSpace(2), (3.0, 1.5))[0]
    assert (background == 0).all()
    # Voxels of 1.5 mm, the boundary halfway between two of them.
    assert label[0].tolist() == [-2.5, -1.5, -0.5, 0.5, 1.5]
    # A column is two of the finest axis's voxels long.
    column = distance_maps(maps.transpose(2, 3), LabelSpace(2), (3.0, 1.5))[0, 1]
    assert column[:, 0].tolist() == [-5.5, -3.5, -1.5, 1.5, 3.5]


def test_gradients_of_a_far_off_prediction_after_the_start():
    network, _ = started(LabelSpace(3), ellipsoids(count=MAPS, seed=0))
    maps = torch.full((1, 3, *SIZE), 1 / 3, requires_grad=True)
    truth = LabelSpace(3).target_maps(ellipsoids(count=1, seed=5))
    # The linear branches know no background channel; regions have none.
    assert network.decoder.foreground.tolist() == [0, 1, 1]
    assert (network.encoder.gain != 0).tolist() == [False, True, True]
    (network.encoder(maps) - network.encoder(truth).detach()).square().sum().backward()
    assert (maps.grad[:, 1:] != 0).float().mean() > 0.999
    assert pool(maps.grad, (2, 2, 2))[:, 1:].abs().min() > 0


def test_longer_codes_need_more_maps():
    assert maps_for_linear_start(10) == 300
    assert maps_for_linear_start(256) == 1024
