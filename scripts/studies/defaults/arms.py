"""The arms of the study of defaults: datasets, priors and settings, by name."""

from dataclasses import dataclass

# The study's own fold of few training cases, and the host's, for the prior of all label maps. That prior has seen the
# first one's validation cases, which ACNNTrainer refuses: its arms train in a fold of the same few cases and others.
FEW_FOLD, ALL_FOLD, FEW_FOLD_OF_ALL = 5, 0, 6


@dataclass(frozen=True)
class Study:
    """One dataset: how few cases are trained on, how many are tested, and a network that two cores can train.

    Attributes:
        dataset_id: the host's.
        num_train: cases (patients, where `grouped`) of the few-cases fold.
        num_selection: cases (patients) that arms are chosen on.
        overrides: entries of the study's configuration, which derives from 3d_fullres, besides halved widths.
        motion_mm: limit of in-plane slice translation in corrupted images; rotation is up to 5°.
        grouped: whether cases are named <patient>_<phase>.
        num_epochs: of segmentation, of 50 iterations each.
    """

    dataset_id: int
    num_train: int
    num_selection: int
    overrides: dict
    motion_mm: float
    grouped: bool
    num_epochs: int


# Coarse voxels, so that the whole anatomy fits into a patch that two cores can train often enough.
STUDIES = {
    "hippocampus": Study(
        4, 20, 40, {"batch_size": 2, "spacing": [1.5, 1.5, 1.5], "patch_size": [28, 40, 28]}, 2.0, False, 30
    ),
    "acdc": Study(27, 16, 8, {"batch_size": 2, "spacing": [10.0, 2.5, 2.5], "patch_size": [12, 80, 80]}, 5.0, True, 20),
}

_HYBRID = {"architecture": "hybrid", "code_size": 128, "prior_num_epochs": 16, "train_predictor": False}
_MIRRORED, _UNMIRRORED = {"mirroring": True}, {"mirroring": False}
# The priors that arms use: the fold of their training cases and their settings; 50 iterations an epoch.
PRIORS: dict[str, tuple[int, dict]] = {
    "paper20": (FEW_FOLD, {"preset": "paper", **_MIRRORED, "prior_num_epochs": 16}),
    "patch20": (FEW_FOLD, {"grid": "patch", **_MIRRORED, **_HYBRID}),
    "roi20": (FEW_FOLD, {"grid": "roi", **_MIRRORED, **_HYBRID}),
    "roi_all": (ALL_FOLD, {"grid": "roi", **_MIRRORED, **_HYBRID, "prior_num_epochs": 32}),
    "patch20_unmirrored": (FEW_FOLD, {"grid": "patch", **_UNMIRRORED, **_HYBRID}),
    "roi20_unmirrored": (FEW_FOLD, {"grid": "roi", **_UNMIRRORED, **_HYBRID}),
    "roi_all_unmirrored": (ALL_FOLD, {"grid": "roi", **_UNMIRRORED, **_HYBRID, "prior_num_epochs": 32}),
    # As long as it takes: after paper20's 450 steps the autoencoder had not learnt the second label.
    "paper20_unmirrored": (
        FEW_FOLD,
        {"preset": "paper", **_UNMIRRORED, "prior_num_epochs": 40, "train_predictor": False},
    ),
    # Not for an arm: the study of plausibility scores predictions with it.
    "plausibility": (ALL_FOLD, {"grid": "roi", **_UNMIRRORED, "rotation_deg": 15, "prior_num_epochs": 26}),
}
_WHITENED, _DECODED = {"prior_distance": "whitened"}, {"prior_distance": "decoded"}
_HIDDEN = {"hidden_parts": 0.5}
_FEATURES, _RECONSTRUCTION = {"feature_weight": 1.0, **_WHITENED}, {"reconstruction_weight": 1.0, **_WHITENED}


def _arm(prior: str, weight: float, settings: dict) -> dict:
    mirroring = {"mirroring": PRIORS[prior][1]["mirroring"]}
    return {"prior_weight": weight, **settings, **mirroring, "prior_of": prior}


# Settings of every arm; `prior_of` names its prior.
ARMS: dict[str, dict] = {
    "none": {"prior_weight": 0},
    "paper": {"preset": "paper", **_MIRRORED, "prior_of": "paper20"},
    "patch_0.1_decoded": _arm("patch20", 0.1, _DECODED),
    "patch_0.3": _arm("patch20", 0.3, _WHITENED),
    "patch_0.3_decoded": _arm("patch20", 0.3, _DECODED),
    "patch_0.3_features": _arm("patch20", 0.3, _FEATURES),
    "roi_0.1": _arm("roi20", 0.1, _WHITENED),
    "roi_0.3": _arm("roi20", 0.3, _WHITENED),
    "roi_0.3_decoded": _arm("roi20", 0.3, _DECODED),
    "roi_0.3_features": _arm("roi20", 0.3, _FEATURES),
    "roi_0.3_reconstruction": _arm("roi20", 0.3, _RECONSTRUCTION),
    "roi_1.0_decoded": _arm("roi20", 1.0, _DECODED),
    "roi_all_0.3_decoded": _arm("roi_all", 0.3, _DECODED),
    # What is mirrored is no anatomy that can exist: without, a prior can tell the two ends of a hippocampus apart.
    "none_unmirrored": {"prior_weight": 0, **_UNMIRRORED},
    "paper_unmirrored": {"preset": "paper", **_UNMIRRORED, "prior_of": "paper20_unmirrored"},
    # Is it the constant weight, which lets the prior's gradient outweigh the segmentation's sevenfold, or the loss?
    "none_ce_unmirrored": {"prior_weight": 0, "segmentation_loss": "ce", **_UNMIRRORED},
    "paper_0.1_unmirrored": {
        "preset": "paper",
        "prior_weight": 0.1,
        "prior_weighting": "gradient_ratio",
        **_UNMIRRORED,
        "prior_of": "paper20_unmirrored",
    },
    "patch_0.3_decoded_unmirrored": _arm("patch20_unmirrored", 0.3, _DECODED),
    "roi_0.3_decoded_unmirrored": _arm("roi20_unmirrored", 0.3, _DECODED),
    # Of half of the training images a part is hidden.
    "none_unmirrored_hidden": {"prior_weight": 0, **_UNMIRRORED, **_HIDDEN},
    "patch_0.3_decoded_unmirrored_hidden": _arm("patch20_unmirrored", 0.3, {**_DECODED, **_HIDDEN}),
    "roi_all_0.3_decoded_unmirrored": _arm("roi_all_unmirrored", 0.3, _DECODED),
}
