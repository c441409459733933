"""Codes of a folder of label maps by PCA on a prior's grid, with as many components as the prior's code."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.fold_prior.case_files import list_labels
from acnn_nnunet.fold_prior.coder import Coder, load_coder
from acnn_nnunet.latent.codes.command import CaseFiles, load_cases
from acnn_nnunet.latent.codes.table import CodeTable, KnownCases, collect_codes
from acnn_nnunet.shape_prior.label_maps.pca import pca_codes

FOLD = "{fold}"


def encode_by_pca(
    folder: Path,
    prior: str,
    *,
    splits: Sequence[dict[str, list[str]]] | None = None,
    groups: Sequence[CaseGroup] = (),
    align: bool = False,
) -> list[CodeTable]:
    """Return the table of a folder's label maps, or one for each fold, fitted to the cases of its train part alone.

    Args:
        folder: of label maps CASE.nii.gz.
        prior: file of the prior whose grid is used; with splits, a path with {fold} for the fold's number.
        splits: fixed folds, as in splits_final.json; None fits to all cases.
        groups: patient, phase and group of each case.
        align: shift and turn label maps to lie as the prior's mean shape does.

    Raises:
        ValueError: if the path has {fold} without splits or lacks it with them; as `load_coder` and `pca_codes`.
        FileNotFoundError: if there is no such folder or prior.
    """
    if (FOLD in prior) != (splits is not None):
        raise ValueError(
            f"--prior {prior}: with --splits it is a path with {FOLD}, such as …/fold_{FOLD}/checkpoint_final.pth; "
            "without, it is one file."
        )
    if splits is None:
        return [_encode(load_coder(Path(prior)), Path(folder), None, groups, align=align)]
    return [
        _encode(load_coder(Path(prior.replace(FOLD, str(fold)))), Path(folder), split["train"], groups, align=align)
        for fold, split in enumerate(splits)
    ]


def _encode(
    coder: Coder, folder: Path, fitted: Collection[str] | None, groups: Sequence[CaseGroup], *, align: bool
) -> CodeTable:
    names: list[str] = []
    maps: list[np.ndarray] = []
    excluded: dict[str, str] = {}
    files = {case: CaseFiles(label) for case, label in list_labels(folder, coder.file_ending).items()}
    for name, case in load_cases(coder, files, excluded):
        laid = coder.aligned(case.maps[None])[0] if align else case.maps
        maps.append(foreground_values(laid.numpy(), regions=coder.labels.regions))
        names.append(name)
    known = None if fitted is None else set(fitted)
    is_fitted = np.array([known is None or name in known for name in names], dtype=bool)
    codes = pca_codes(np.array(maps), is_fitted, components=coder.prior.spec.code_size)
    return collect_codes(list(map(KnownCases(groups).describe, names)), codes, excluded)


def foreground_values(maps: np.ndarray, *, regions: bool) -> np.ndarray:
    """Return label maps (C, …) without the background's channel, flattened."""
    return maps[0 if regions else 1 :].ravel()
