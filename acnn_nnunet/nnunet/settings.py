"""The `acnn` block of a configuration in nnU-Net's plans: every setting, its default, meaning and range."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from acnn_nnunet.nnunet.mirroring import Mirroring, plan_mirroring, read_axes, read_pairs
from acnn_nnunet.nnunet.setting_rule import RULE, Form, SettingRule, read_factors, read_range, setting

PLANS_KEY = "acnn"
HIDDEN_PARTS_OF_AUTO = 0.5
"""What `hidden_parts=auto` stands for where a prior is trained with."""

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # §II-A, §III and supplementary: λ1 = 0.01 and λ2 = 5e-6, average cross-entropy of each class, plain L2, no warm-up.
    "paper": {
        "prior_weight": 0.01,
        "prior_weighting": "constant",
        "prior_distance": "l2",
        "prior_warm_up": 0.0,
        "segmentation_loss": "ce_per_class",
        "weight_decay": 5e-6,
        "architecture": "cnn",
        "reconstruction_loss": "ce_per_class",
        "clean_share": 0.0,
        "hidden_parts": 0.0,
    },
}

_SWITCH = (True, False)
_REMOVED = ("feature_weight", "input_softening", "network_maps", "network_maps_share", "reconstruction_weight")


@dataclass(frozen=True)
class Settings:
    """The settings of a configuration. Each field's metadata says what it means and accepts.

    Raises:
        ValueError: naming the key and the accepted values, for a bad value.
    """

    preset: str = setting(
        "default",
        "trainer",
        "source of the defaults; `paper` takes the published weights and losses; other keys of the block override it",
        choices=tuple(PRESETS),
    )
    num_epochs: int | None = setting(
        None,
        "trainer",
        "epochs of segmentation or super-resolution training",
        whole=True,
        low=1,
        unset="nnU-Net's 1000",
    )
    prior_num_epochs: int = setting(
        13, "prior", "epochs of `ShapePriorTrainer`, all of its stages together", whole=True, low=1
    )
    num_iterations_per_epoch: int | None = setting(
        None, "trainer", "training steps per epoch", whole=True, low=1, unset="nnU-Net's 250"
    )
    num_val_iterations_per_epoch: int | None = setting(
        None,
        "trainer",
        "validation steps per epoch",
        whole=True,
        low=1,
        unset="nnU-Net's 50, and 10 for `ShapePriorTrainer`",
    )
    save_every: int | None = setting(
        None, "trainer", "epochs between two `checkpoint_latest.pth`", whole=True, low=1, unset="nnU-Net's 50"
    )
    seed: int | None = setting(
        None,
        "trainer",
        "seed of initialisation and of augmentation in the main process; exact repeats also need "
        "`nnUNet_n_proc_DA=0`, because nnU-Net's loader workers are unseeded",
        whole=True,
        unset="another one each time",
    )
    cpu_autocast: str | bool = setting(
        "auto",
        "trainer",
        "bfloat16 autocast of the network in training on CPUs; `auto` takes it where the CPU has it natively",
        choices=("auto", True, False),
    )
    prior: str | None = setting(
        None, "loss", "the prior to train with", path_of="a prior file", unset="the prior of the configuration and fold"
    )
    prior_weight: float = setting(0.3, "loss", "λ1, the prior's weight; 0 trains without a prior")
    prior_weighting: str = setting(
        "gradient_ratio",
        "loss",
        "`gradient_ratio` makes λ1 the ratio of the prior's gradient norm to the segmentation loss's, at the logits; "
        "`constant` makes it a factor",
        choices=("constant", "gradient_ratio"),
    )
    prior_distance: str = setting(
        "decoded",
        "loss",
        "squared Euclidean distance between two codes: plain (`l2`), whitened by the codes' covariance, or, with "
        "`architecture=hybrid`, between the signed distances that the codes decode to; `cnn` defaults to `whitened`",
        choices=("l2", "whitened", "decoded"),
    )
    prior_warm_up: float = setting(
        0.1, "loss", "share of `num_epochs` over which the weight grows linearly from 0 to λ1", high=1.0
    )
    outside_weight: float = setting(
        0.0,
        "loss",
        "weight of the foreground predicted beyond the box of `grid=roi`, over the target's volume; the code's is 1",
    )
    segmentation_loss: str = setting(
        "dice_ce",
        "loss",
        "nnU-Net's Dice and cross-entropy; cross-entropy alone, averaged over all voxels (`ce`); or the paper's: "
        "averaged over the voxels of each class, and summed over the classes (`ce_per_class`)",
        choices=("dice_ce", "ce", "ce_per_class"),
    )
    weight_decay: float | None = setting(None, "trainer", "λ2, the weight decay", unset="nnU-Net's 3e-5")
    deep_supervision: bool = setting(
        True, "loss", "deep supervision of `ACNNTrainer`, as in nnUNetTrainer", choices=_SWITCH
    )
    mirroring: str | bool | int | Sequence[int] = setting(
        "auto",
        "trainer",
        "mirror in augmentation and in prediction, as nnU-Net does, or along some axes of the patch alone; `auto` "
        "mirrors where no prior is trained or used (`prior_weight=0` too), because a mirrored body is no possible "
        "anatomy",
        choices=("auto", True, False),
        form=Form("axes such as 0,1", read_axes),
    )
    mirrored_labels: str | None = setting(
        None,
        "trainer",
        "labels or regions, by name or value, that change places in a mirrored image; needs `mirroring` with axes",
        form=Form("pairs such as left:right or 1:2,3:4", read_pairs),
        unset="labels stay",
    )
    mirrored_labels_axis: int | None = setting(
        None,
        "trainer",
        "the axis of the patch from one label of such a pair to the other; prediction does not mirror it",
        whole=True,
        unset="the only axis of `mirroring`",
    )
    hidden_parts: float | str = setting(
        0.0,
        "trainer",
        "share of `ACNNTrainer`'s training images that lose a slab or a quarter of their slices; labels stay whole; "
        f"`auto` is {HIDDEN_PARTS_OF_AUTO}, and 0 with `prior_weight=0`",
        choices=("auto",),
        number_too=True,
        high=1.0,
    )
    prior_at_inference: bool = setting(
        False,
        "trainer",
        "`ACNNTrainer` corrects its validation predictions by the shape prior (`acnn-nnunet refine`), and exported "
        "models say how to correct theirs",
        choices=_SWITCH,
    )
    rotation_deg: float | None = setting(
        None,
        "trainer",
        "largest rotation of augmentation",
        high=180.0,
        unset="nnU-Net's 30, in 2D and in the plane of thick slices 180, in long 2D patches 15",
    )
    train_predictor: bool = setting(
        True,
        "prior",
        "train the predictor after the autoencoder; `false` leaves all epochs to the autoencoder, and `ACNNTrainer` "
        "needs no more",
        choices=_SWITCH,
    )
    grid: str = setting(
        "patch",
        "prior",
        "what the prior sees: the whole training patch, or a box in mm around the anatomy",
        choices=("patch", "roi"),
    )
    roi_margin: float = setting(
        1.1, "prior", "length of that box over the 95th percentile of the anatomy's extents", low=1.0
    )
    roi_spacing_factor: float = setting(1.0, "prior", "spacing of the box's voxels over the configuration's", low=0.25)
    architecture: str = setting(
        "hybrid",
        "prior",
        "the paper's convolutional autoencoder, or a hybrid: a linear branch, which starts as PCA of signed distance "
        "maps, next to a convolutional one",
        choices=("cnn", "hybrid"),
    )
    code_size: int = setting(64, "prior", "length of the code", whole=True, low=1)
    reconstruction_loss: str = setting(
        "dice_ce",
        "prior",
        "the autoencoder's loss: Dice and cross-entropy, or one of the two cross-entropies of `segmentation_loss`",
        choices=("dice_ce", "ce", "ce_per_class"),
    )
    elastic_deformation: float = setting(
        0.0, "prior", "largest displacement, in voxels, of a random smooth deformation of every sample"
    )
    label_swap_probability: float = setting(
        0.1, "prior", "share of voxels that get a random label at the autoencoder's input", high=1.0
    )
    input_noise: float = setting(0.1, "prior", "standard deviation of Gaussian noise at the autoencoder's input")
    clean_share: float = setting(
        0.5, "prior", "share of label maps that reach the autoencoder without swaps and noise", high=1.0
    )
    pair_share: float = setting(
        0.5,
        "thick slices",
        "share of the samples that are real pairs, where `plan-hr` found some; the others are simulated",
        high=1.0,
    )
    factors: int | str | Sequence[int] | None = setting(
        None,
        "thick slices",
        "how many thin slices make a thick one, drawn for each batch, so that one network serves stacks of several "
        "spacings; `predict-hr` takes the nearest",
        form=Form("whole numbers such as 4,5,6", read_factors),
        unset="the factor of `plan-hr`",
    )
    slice_gap_mm: float | str | Sequence[float] = setting(
        0.0,
        "thick slices",
        "distance of simulated slices' spacing from their thickness: a gap, or below 0 an overlap; of two numbers, "
        "each sample draws one between them",
        form=Form("one length or two such as 0,2", read_range),
    )
    in_plane_rotation: bool = setting(
        False,
        "thick slices",
        "rotate and scale training images in the plane of the slices alone, as real pairs always are: stacks of one "
        "protocol lie alike",
        choices=_SWITCH,
    )
    slice_motion_mm: float = setting(0.0, "thick slices", "largest shift of a simulated slice along each in-plane axis")
    slice_rotation_deg: float = setting(
        0.0, "thick slices", "largest in-plane rotation of a simulated slice", high=180.0
    )

    def __post_init__(self) -> None:
        for key, rule in rules().items():
            rule.check(key, getattr(self, key))
        if self.prior_distance == "decoded" and self.architecture != "hybrid":
            raise ValueError(
                f"prior_distance=decoded goes with architecture=hybrid alone: with architecture={self.architecture} it "
                f"must be one of l2, whitened"
            )
        if self.outside_weight > 0 and self.grid != "roi":
            raise ValueError(f"outside_weight needs grid=roi: with grid={self.grid} the prior sees the whole patch")

    def plan_mirroring(self, *, with_prior: bool, num_axes: int, labels: Mapping[str, Any]) -> Mirroring:
        """Return how a trainer mirrors in augmentation and prediction.

        Args:
            with_prior: the trainer trains or takes a prior.
            num_axes: of the patch.
            labels: the labels entry of dataset.json.

        Raises:
            ValueError: if the settings that concern mirroring do not fit the data, or each other.
        """
        wanted = self.mirroring
        if isinstance(wanted, str) and wanted == "auto":  # which knows of no axis where labels change places
            wanted = self.mirrored_labels is None and not (with_prior and self.prior_weight > 0)
        return plan_mirroring(
            wanted,
            pairs=self.mirrored_labels,
            swap_axis=self.mirrored_labels_axis,
            num_axes=num_axes,
            labels=labels,
        )

    @property
    def hidden_share(self) -> float:
        """Share of training images that lose a part; 0 for `auto` without a prior, which is the host's training."""
        if isinstance(self.hidden_parts, str):
            return HIDDEN_PARTS_OF_AUTO if self.prior_weight > 0 else 0.0
        return self.hidden_parts

    @property
    def gap_range_mm(self) -> tuple[float, float]:
        """The smallest and the largest gap between simulated slices; overlaps are below 0."""
        return read_range(self.slice_gap_mm)

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any], *, where: str = "the plans") -> "Settings":
        """Read the `acnn` block of a resolved configuration dictionary; without one, the defaults apply.

        Raises:
            ValueError: naming `where`, the key and what is allowed, for an unknown key or a bad value.
        """
        block = configuration.get(PLANS_KEY, {})
        with bad_settings_named(where):
            if not isinstance(block, Mapping):
                raise ValueError(f"the block must be a JSON object, got {block!r}")
            return cls.from_block(block)

    @classmethod
    def from_block(cls, block: Mapping[str, Any]) -> "Settings":
        """Return the settings of a block: defaults, overridden by its preset, overridden by its keys."""
        for key in block:
            rule_of(key)
        preset = block.get("preset", "default")
        rule_of("preset").check("preset", preset)
        values = {**PRESETS[preset], **block}
        if values.get("architecture") == "cnn":  # it has no linear decoder, which the default distance needs
            values.setdefault("prior_distance", "whitened")
        return cls(**values)


@contextlib.contextmanager
def bad_settings_named(where: str) -> Iterator[None]:
    """Say of a ValueError about a setting in which block it stands."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"Bad setting in the '{PLANS_KEY}' block of {where}: {error}.") from None


def rules() -> dict[str, SettingRule]:
    """Return the rule of every key, in the order of the fields."""
    return {each.name: each.metadata[RULE] for each in fields(Settings)}


def rule_of(key: str) -> SettingRule:
    """Return the rule of a key; raise ValueError, listing all keys, for an unknown one."""
    known = rules()
    if key in _REMOVED:
        raise ValueError(f"the setting '{key}' was removed: take it out, allowed are {', '.join(known)}")
    if key not in known:
        raise ValueError(f"unknown key '{key}', allowed are {', '.join(known)}")
    return known[key]
