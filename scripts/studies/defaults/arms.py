"""The arms of the study of defaults by name, and which test images choose between them: fixed before they are trained.

What chooses and what confirms, fixed before any run was read:

- Arms are chosen on the selection cases, with `DECIDING` kinds of images. No arm meets these in training: nnU-Net's
  augmentation adds noise, blur, gamma and low resolution, and `hidden_parts` hides slabs and slices. An arm that shows
  a network its test's corruption wins that test by construction.
- All kinds are reported on the confirmation cases, which are read once, at the end. `CONFIRMING` kinds choose nothing.
- Of the kinds, TorchIO's are the ones that nobody here wrote. Their strengths are TorchIO's own defaults.
- `hidden_parts` (in half of the images, or a quarter) becomes a default if, on the selection cases, the Hausdorff
  distance on deciding kinds falls (interval below 0), while on clean images Dice loses less than .002 and Hausdorff
  distance gains less than 2 % (interval).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

# The study's own fold of few training cases, and the host's, for a prior of all label maps. Behind FEW_FOLD come folds
# of other numbers of cases, in the order of `Study.sizes`.
FEW_FOLD, ALL_FOLD = 5, 0
BASE, CONFIGURATION, PRIOR_CONFIGURATION = "3d_fullres", "3d_study", "3d_study_prior"

CLEAN = "clean"
STUDY_KINDS = ("noise", "slab", "motion", "dropped")
TORCHIO_KINDS = tuple(
    f"torchio_{name}"
    for name in ("motion", "ghosting", "bias_field", "spike", "blur", "anisotropy", "gamma", "noise", "swap")
)
KINDS = (CLEAN, *STUDY_KINDS, *TORCHIO_KINDS)
DECIDING = (CLEAN, "motion", "torchio_motion", "torchio_ghosting", "torchio_bias_field")
CONFIRMING = tuple(kind for kind in KINDS if kind not in DECIDING)


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
        sizes: other numbers of training cases (patients) that arms of `LINES` have; the last is fold 0's training part.
    """

    dataset_id: int
    num_train: int
    num_selection: int
    overrides: dict
    motion_mm: float
    grouped: bool
    num_epochs: int
    sizes: tuple[int, ...]


_HIPPOCAMPUS = {"batch_size": 2, "spacing": [1.5, 1.5, 1.5], "patch_size": [28, 40, 28]}
_ACDC = {"batch_size": 2, "spacing": [10.0, 2.5, 2.5], "patch_size": [12, 80, 80]}
# Coarse voxels, so that the whole anatomy fits into a patch that two cores can train often enough.
STUDIES = {
    "hippocampus": Study(4, 20, 40, _HIPPOCAMPUS, 2.0, False, 30, sizes=(5, 10, 40, 160)),
    "acdc": Study(27, 16, 8, _ACDC, 5.0, True, 20, sizes=(4, 8, 32, 64)),
}


class Prior(NamedTuple):
    """A prior that arms use.

    Attributes:
        fold: of its training cases.
        settings: of its `acnn` block; 50 iterations an epoch.
        configuration: what it derives from: batches of eight, or those of segmentation, which are of two.
    """

    fold: int
    settings: dict[str, Any]
    configuration: str = PRIOR_CONFIGURATION


_UNMIRRORED = {"mirroring": False}
_HYBRID = {"architecture": "hybrid", "code_size": 128, "train_predictor": False, **_UNMIRRORED}
# The paper's autoencoder learns by number of steps, not of samples: batches of two make 3000 steps affordable.
_PAPER = {"preset": "paper", "prior_num_epochs": 60, "train_predictor": False, **_UNMIRRORED}
PRIORS: dict[str, Prior] = {
    "roi20_unmirrored": Prior(FEW_FOLD, {"grid": "roi", **_HYBRID, "prior_num_epochs": 16}),
    "paper20_unmirrored": Prior(FEW_FOLD, _PAPER, CONFIGURATION),
    "paper20_box_unmirrored": Prior(FEW_FOLD, {"grid": "roi", **_PAPER}, CONFIGURATION),
    # Table V's autoencoder trained until it is good, on all label maps that the held-out cases leave: by another loss.
    "paper160_dice_ce": Prior(
        ALL_FOLD, {**_PAPER, "prior_num_epochs": 120, "reconstruction_loss": "dice_ce"}, CONFIGURATION
    ),
    # And around the anatomy, as the hybrid prior sees it?
    "paper160_box_dice_ce": Prior(
        ALL_FOLD,
        {"grid": "roi", **_PAPER, "prior_num_epochs": 120, "reconstruction_loss": "dice_ce"},
        CONFIGURATION,
    ),
    # Longer, and turned less, since all hippocampi lie alike.
    "paper160_box_dice_ce_long": Prior(
        ALL_FOLD,
        {"grid": "roi", **_PAPER, "prior_num_epochs": 400, "reconstruction_loss": "dice_ce", "rotation_deg": 15},
        CONFIGURATION,
    ),
    # And bent, since 160 maps were learnt by heart: the loss of held-out ones hardly fell any more, and theirs did.
    "paper160_box_dice_ce_elastic": Prior(
        ALL_FOLD,
        {
            "grid": "roi",
            **_PAPER,
            "prior_num_epochs": 500,
            "reconstruction_loss": "dice_ce",
            "rotation_deg": 15,
            "elastic_deformation": 3.0,
        },
        CONFIGURATION,
    ),
    # Not for an arm: the study of plausibility scores predictions with it.
    "plausibility": Prior(ALL_FOLD, {"grid": "roi", **_HYBRID, "rotation_deg": 15, "prior_num_epochs": 26}),
}

_PLAIN, _HIDDEN = {**_UNMIRRORED, "hidden_parts": 0.0}, {"hidden_parts": 0.5}
_NO_PRIOR = {"prior_weight": 0, **_PLAIN}
_DECODED = {"prior_weight": 0.3, "prior_distance": "decoded", **_PLAIN, "prior_of": "roi20_unmirrored"}
_PER_CLASS = {"segmentation_loss": "ce_per_class", "weight_decay": 5e-6}  # as in the preset `paper`

# Settings of every arm; `prior_of` names its prior. Each differs from an arm above it in one thing, but for the paper's
# prior on a box.
ARMS: dict[str, dict[str, Any]] = {
    "none": {"prior_weight": 0},  # nnU-Net's own trainer, step for step
    "none_unmirrored": _NO_PRIOR,
    "none_unmirrored_hidden": {**_NO_PRIOR, **_HIDDEN},
    "none_unmirrored_hidden_quarter": {**_NO_PRIOR, "hidden_parts": 0.25},
    "roi_0.3_decoded_unmirrored": _DECODED,
    "roi_0.3_decoded_unmirrored_hidden": {**_DECODED, **_HIDDEN},
    "roi_0.3_decoded_unmirrored_hidden_quarter": {**_DECODED, "hidden_parts": 0.25},
    "none_pc_unmirrored": {**_NO_PRIOR, **_PER_CLASS},
    "paper_unmirrored": {"preset": "paper", **_UNMIRRORED, "prior_of": "paper20_unmirrored"},
    # Is the constant λ1 too strong? Its gradient is held to a tenth of the loss's.
    "paper_ratio_0.1_unmirrored": {
        "preset": "paper",
        **_UNMIRRORED,
        "prior_weighting": "gradient_ratio",
        "prior_weight": 0.1,
        "prior_of": "paper20_unmirrored",
    },
    # With what helps the hybrid prior: a box, and a term for what lies outside. λ1 = .01 weighs that term too, so its
    # own weight is large.
    "paper_box_outside_30_unmirrored": {
        "preset": "paper",
        **_UNMIRRORED,
        "outside_weight": 30.0,
        "prior_of": "paper20_box_unmirrored",
    },
    "hybrid_pc_unmirrored": {**_DECODED, **_PER_CLASS},
    # The per-class loss forgives islands, and the code of a box does not see those beyond it.
    "hybrid_pc_outside_unmirrored": {**_DECODED, **_PER_CLASS, "outside_weight": 1.0},
    "hybrid_pc_outside_0.3_unmirrored": {**_DECODED, **_PER_CLASS, "outside_weight": 0.3},
    # Corrupted images gain less than clean ones. Is the prior too weak there?
    "hybrid_pc_1.0_outside_unmirrored": {**_DECODED, **_PER_CLASS, "outside_weight": 1.0, "prior_weight": 1.0},
}
# How an arm that trains no network changes the logits of another's.
LOGITS_ADJUSTED, LOGITS_MIRRORED = "adjusted", "mirrored"
MIRRORED_PREDICTION = "none_mirrored_prediction"
# A loss that weighs labels alike lets the rare ones spread. The log of each label's share of the voxels, added to the
# logits, takes that back (Menon et al., ICLR 2021: logit adjustment). Does this do what a prior does? No network is
# trained for these arms: they predict with another's, `network_of`.
_TO_ADJUST = (
    "none_pc_unmirrored",
    "paper_ratio_0.1_unmirrored",
    "hybrid_pc_unmirrored",
    "hybrid_pc_outside_unmirrored",
    "hybrid_pc_1.0_outside_unmirrored",
)
ADJUSTED = {f"{arm}_adjusted": arm for arm in _TO_ADJUST}
ARMS |= {arm: {**ARMS[network], "network_of": network, "logits": LOGITS_ADJUSTED} for arm, network in ADJUSTED.items()}
# Whoever does not mirror in training cannot mirror in prediction, which nnUNetv2_predict does unless it is told not to.
ARMS[MIRRORED_PREDICTION] = {**ARMS["none"], "network_of": "none", "logits": LOGITS_MIRRORED}
# Which arm each is compared with: the one that it differs from in one thing.
BASELINES = {
    **ADJUSTED,
    MIRRORED_PREDICTION: "none",
    "none_unmirrored": "none",
    "none_unmirrored_hidden": "none_unmirrored",
    "none_unmirrored_hidden_quarter": "none_unmirrored",
    "roi_0.3_decoded_unmirrored": "none_unmirrored",
    "roi_0.3_decoded_unmirrored_hidden": "none_unmirrored_hidden",
    "roi_0.3_decoded_unmirrored_hidden_quarter": "none_unmirrored_hidden_quarter",
    "paper_unmirrored": "none_pc_unmirrored",
    "paper_ratio_0.1_unmirrored": "none_pc_unmirrored",
    "paper_box_outside_30_unmirrored": "none_pc_unmirrored",
    "hybrid_pc_unmirrored": "none_pc_unmirrored",
    "hybrid_pc_outside_unmirrored": "hybrid_pc_unmirrored",
    "hybrid_pc_outside_0.3_unmirrored": "hybrid_pc_unmirrored",
    "hybrid_pc_1.0_outside_unmirrored": "hybrid_pc_outside_unmirrored",
}

# "When does a prior pay?": the same arms with other numbers of training cases (`num_train`; the prior has seen the same
# cases) and with more steps (`steps`, times the study's).
STEPS = (4, 16)
LINE_ARMS = (
    "none_unmirrored",
    "roi_0.3_decoded_unmirrored",
    "none_pc_unmirrored",
    "paper_unmirrored",
    "hybrid_pc_unmirrored",
)


def lines(study: Study) -> dict[str, dict[str, Any]]:
    """Return the arms of the two lines of a dataset by name: numbers of cases, and of steps.

    With other numbers of cases, those of `ADJUSTED` come with adjusted logits as well.
    """
    found: dict[str, dict[str, Any]] = {}
    for arm in LINE_ARMS:
        settings = ARMS[arm]
        for size in study.sizes:
            prior = {"prior_of": f"{settings['prior_of']}_n{size}"} if "prior_of" in settings else {}
            found[f"{arm}_n{size}"] = {**settings, **prior, "num_train": size}
            if arm in ADJUSTED.values():
                network = f"{arm}_n{size}"
                found[f"{network}_adjusted"] = {**found[network], "network_of": network, "logits": LOGITS_ADJUSTED}
        for steps in STEPS:
            found[f"{arm}_x{steps}"] = {**settings, "steps": steps}
    return found
