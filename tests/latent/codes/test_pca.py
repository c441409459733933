"""PCA of a folder's label maps on a prior's grid: one fit for all, or one for each fold."""

import numpy as np
import pytest
from phantom_prior import CODE_SIZE, write_phantom_prior, write_raw

from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.latent.codes.pca import encode_by_pca, foreground_values


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=10)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=0)


def case(number):
    return f"phantom_tr{number:03d}"


def test_one_fit_for_all_keeps_distances_within_its_components(raw, prior):
    (table,) = encode_by_pca(raw / "labelsTr", str(prior))

    assert table.codes.shape == (10, CODE_SIZE)
    coder = load_coder(prior)
    maps = np.stack([coder.load(file).maps[1:].numpy().ravel() for file in sorted((raw / "labelsTr").iterdir())])
    centred = maps - maps.mean(0)
    variances = np.linalg.svd(centred, compute_uv=False)[:CODE_SIZE] ** 2
    np.testing.assert_allclose((table.codes**2).sum(0), variances, rtol=1e-3)


def test_a_fold_is_fitted_to_its_training_cases_alone(raw, prior):
    splits = [
        {"train": [case(n) for n in range(4)], "val": [case(9)]},
        {"train": [case(n) for n in range(4, 9)], "val": [case(9)]},
    ]
    pattern = str(prior).replace("fold_0", "fold_{fold}")
    second = prior.parents[1] / "fold_1" / prior.name
    second.parent.mkdir(exist_ok=True)
    second.write_bytes(prior.read_bytes())

    first, other = encode_by_pca(raw / "labelsTr", pattern, splits=splits)

    # Codes of the fitted cases are centred, those of the others are not; four cases have three directions.
    assert first.codes.shape == (10, 3)
    np.testing.assert_allclose(first.codes[:4].mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(other.codes[4:9].mean(0), 0, atol=1e-3)
    assert np.abs(first.codes[4:].mean(0)).max() > 0.1


@pytest.mark.parametrize(("pattern", "splits"), [("prior.pth", [{"train": [], "val": []}]), ("fold_{fold}.pth", None)])
def test_one_prior_a_fold_or_one_for_all(pattern, splits, raw):
    with pytest.raises(ValueError, match=r"with --splits it is a path with \{fold\}, .* without, it is one file"):
        encode_by_pca(raw / "labelsTr", pattern, splits=splits)


def test_the_backgrounds_channel_is_no_value():
    maps = np.array([[[1, 0]], [[0, 1]], [[0, 0]]])  # (C, 1, 2)

    assert foreground_values(maps, regions=False).tolist() == [0, 1, 0, 0]
    assert foreground_values(maps, regions=True).tolist() == [1, 0, 0, 1, 0, 0]
