"""The `acnn` block of a configuration in nnU-Net's plans: every setting, its default, and what it accepts."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLANS_KEY = "acnn"

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    # §III and supplementary: λ1 = 0.01 and λ2 = 5e-6, cross-entropy alone, plain L2, no warm-up.
    "paper": {
        "prior_weight": 0.01,
        "prior_weighting": "constant",
        "prior_distance": "l2",
        "prior_warm_up": 0.0,
        "segmentation_loss": "ce",
        "weight_decay": 5e-6,
        "architecture": "cnn",
        "reconstruction_loss": "ce",
        "clean_share": 0.0,
    },
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "preset": tuple(PRESETS),
    "cpu_autocast": ("auto", True, False),
    "mirroring": ("auto", True, False),
    "prior_weighting": ("constant", "gradient_ratio"),
    "prior_distance": ("l2", "whitened", "decoded"),
    "segmentation_loss": ("dice_ce", "ce"),
    "reconstruction_loss": ("dice_ce", "ce"),
    "grid": ("patch", "roi"),
    "architecture": ("cnn", "hybrid"),
}
_SWITCHES = ("deep_supervision", "train_predictor")
_POSITIVE_INTEGERS = (
    "num_epochs",
    "prior_num_epochs",
    "num_iterations_per_epoch",
    "num_val_iterations_per_epoch",
    "save_every",
    "code_size",
)
_OPTIONAL = (
    "rotation_deg",
    "num_epochs",
    "num_iterations_per_epoch",
    "num_val_iterations_per_epoch",
    "save_every",
    "seed",
    "prior",
    "weight_decay",
)
_PATHS = {"prior": "a prior file"}
_REMOVED = ("input_softening", "network_maps", "network_maps_share")
_RANGES = {
    "prior_weight": (0.0, float("inf")),
    "prior_warm_up": (0.0, 1.0),
    "hidden_parts": (0.0, 1.0),
    "feature_weight": (0.0, float("inf")),
    "reconstruction_weight": (0.0, float("inf")),
    "weight_decay": (0.0, float("inf")),
    "rotation_deg": (0.0, 180.0),
    "roi_margin": (1.0, float("inf")),
    "roi_spacing_factor": (0.25, float("inf")),
    "elastic_deformation": (0.0, float("inf")),
    "label_swap_probability": (0.0, 1.0),
    "input_noise": (0.0, float("inf")),
    "clean_share": (0.0, 1.0),
    "slice_motion_mm": (0.0, float("inf")),
    "slice_rotation_deg": (0.0, 180.0),
}


@dataclass(frozen=True)
class Settings:
    """What a configuration's `acnn` block may say. None leaves the host's own value.

    Attributes:
        preset: "default", or "paper" for the published weights and losses; other keys of the block override it.
        num_epochs: epochs of segmentation training.
        prior_num_epochs: epochs of the prior's training, all of its stages together.
        num_iterations_per_epoch: training steps an epoch.
        num_val_iterations_per_epoch: validation steps an epoch.
        save_every: epochs between two `checkpoint_latest.pth`.
        seed: of network initialisation and of augmentation in the main process (exact repeats also need
            `nnUNet_n_proc_DA=0`, since the host's loader workers are unseeded).
        cpu_autocast: bfloat16 autocast of the network on CPUs: "auto" where they have native bfloat16, or true, false.
        prior: path of a prior file, instead of the one that belongs to the configuration and fold.
        prior_weight: λ1; 0 trains without a prior, step for step as nnUNetTrainer does in the same precision.
        prior_weighting: "gradient_ratio" makes λ1 the ratio of the prior's gradient norm to the segmentation loss's,
            at the logits; "constant" makes it a factor.
        prior_distance: "decoded", of a hybrid, how far the signed distances are apart that the codes stand for;
            "whitened" by the covariance of the codes; or plain "l2".
        prior_warm_up: share of `num_epochs` over which the weight grows linearly from 0 to λ1.
        feature_weight: of the distance between the encoder's feature maps, beside 1 for the code's.
        reconstruction_weight: of the divergence between the decoder's reconstructions, beside 1 for the code's.
        segmentation_loss: "dice_ce", the host's; "ce" for cross-entropy alone.
        weight_decay: λ2.
        deep_supervision: as nnUNetTrainer, or off.
        mirroring: augment by mirroring, as nnUNetTrainer, and mirror in prediction; "auto" where no
            prior is trained or used (`prior_weight` 0, too): a mirrored body is not an anatomy that can exist, and a
            prior that was shown it tells less.
        hidden_parts: of ACNNTrainer, share of training images of which a slab or some slices are hidden.
        rotation_deg: limit of augmentation's rotations; nnUNetTrainer's are 30, and 180 in the plane of thick slices.
        train_predictor: after the autoencoder train the predictor, then both; false trains the autoencoder alone, which
            is what ACNNTrainer needs.
        grid: where the prior looks; "patch" is the whole training patch, "roi" a box in mm around the anatomy.
        roi_margin: length of that box over the 95th percentile of the anatomy's extents in the fold's training cases.
        roi_spacing_factor: its voxels' spacing over that of the configuration.
        architecture: of the autoencoder: "cnn", the paper's; "hybrid" puts a linear branch, which starts as PCA of
            signed distance maps, beside a convolutional one.
        code_size: length of the prior's code.
        reconstruction_loss: of the autoencoder: "ce", the paper's, or "dice_ce", which learns several times faster.
        elastic_deformation: largest displacement, in voxels, of the random smooth deformation of every sample that the
            prior is trained on; 0 is off.
        label_swap_probability: share of voxels that get a random label at the autoencoder's input.
        input_noise: standard deviation of Gaussian noise at the autoencoder's input.
        clean_share: share of label maps that the autoencoder is shown without swaps and noise.
        slice_motion_mm: each slice of a simulated stack is shifted within ± this along each in-plane axis.
        slice_rotation_deg: each slice of a simulated stack is turned within ± this.
    """

    preset: str = "default"
    num_epochs: int | None = None
    prior_num_epochs: int = 13
    num_iterations_per_epoch: int | None = None
    num_val_iterations_per_epoch: int | None = None
    save_every: int | None = None
    seed: int | None = None
    cpu_autocast: str | bool = "auto"
    prior: str | None = None
    prior_weight: float = 0.3
    prior_weighting: str = "gradient_ratio"
    prior_distance: str = "decoded"
    prior_warm_up: float = 0.1
    feature_weight: float = 0.0
    reconstruction_weight: float = 0.0
    segmentation_loss: str = "dice_ce"
    weight_decay: float | None = None
    deep_supervision: bool = True
    mirroring: str | bool = "auto"
    hidden_parts: float = 0.0
    rotation_deg: float | None = None
    train_predictor: bool = True
    grid: str = "patch"
    roi_margin: float = 1.1
    roi_spacing_factor: float = 1.0
    architecture: str = "hybrid"
    code_size: int = 64
    reconstruction_loss: str = "dice_ce"
    elastic_deformation: float = 0.0
    label_swap_probability: float = 0.1
    input_noise: float = 0.1
    clean_share: float = 0.5
    slice_motion_mm: float = 0.0
    slice_rotation_deg: float = 0.0

    def __post_init__(self):
        for name in (field.name for field in dataclasses.fields(self)):
            value = getattr(self, name)
            if not (value is None and name in _OPTIONAL):
                _check(name, value)
        if self.prior_distance == "decoded" and self.architecture != "hybrid":
            raise ValueError(
                f"prior_distance=decoded goes with architecture=hybrid alone: with architecture={self.architecture} it "
                f"must be one of l2, whitened"
            )

    def mirrors(self, *, with_prior: bool) -> bool:
        """Return whether augmentation and prediction of a trainer mirror, one that trains or takes a prior or not."""
        return not (with_prior and self.prior_weight > 0) if self.mirroring == "auto" else bool(self.mirroring)

    @classmethod
    def from_configuration(cls, configuration: Mapping[str, Any], *, where: str = "the plans") -> "Settings":
        """Read the `acnn` block of a resolved configuration dictionary; without one, the defaults apply.

        Raises:
            ValueError: naming `where`, the key and what is allowed, for an unknown key or a bad value.
        """
        block = configuration.get(PLANS_KEY, {})
        try:
            if not isinstance(block, Mapping):
                raise ValueError(f"the block must be a JSON object, got {block!r}")
            return cls.from_block(block)
        except ValueError as error:
            raise ValueError(f"Bad setting in the '{PLANS_KEY}' block of {where}: {error}.") from None

    @classmethod
    def from_block(cls, block: Mapping[str, Any]) -> "Settings":
        """Return the settings of a block: defaults, overridden by its preset, overridden by its keys."""
        allowed = [field.name for field in dataclasses.fields(cls)]
        for key in block:
            if key in _REMOVED:
                raise ValueError(f"the setting '{key}' was removed: take it out, allowed are {', '.join(allowed)}")
            if key not in allowed:
                raise ValueError(f"unknown key '{key}', allowed are {', '.join(allowed)}")
        preset = block.get("preset", "default")
        _check("preset", preset)
        values = {**PRESETS[preset], **block}
        if values.get("architecture") == "cnn":  # it has no linear decoder, which the default distance needs
            values.setdefault("prior_distance", "whitened")
        return cls(**values)


def parse_assignments(assignments: list[str]) -> dict[str, Any]:
    """Turn `key=value` words of a command line into a checked block; values are JSON, or else plain strings.

    Raises:
        ValueError: for a word without `=`, an unknown key or a bad value.
    """
    import json

    block: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ValueError(f"Expected key=value, got '{assignment}'.")
        try:
            block[key] = {"none": None, "true": True, "false": False}[text.lower()]
        except KeyError:
            try:
                block[key] = json.loads(text)
            except json.JSONDecodeError:
                block[key] = text
    try:
        Settings.from_block(block)
    except ValueError as error:
        raise ValueError(f"Bad setting: {error}.") from None
    return block


def _check(name: str, value: Any) -> None:
    if name in _CHOICES:
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in _CHOICES[name]):
            raise ValueError(f"{name} must be one of {_spell(_CHOICES[name])}, got {value!r}")
    elif name in _SWITCHES:
        if not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, got {value!r}")
    elif name in _PATHS:
        if not isinstance(value, str) or not value:
            raise ValueError(f"{name} must be the path of {_PATHS[name]}, got {value!r}")
    elif name in _POSITIVE_INTEGERS or name == "seed":
        minimum = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise ValueError(f"{name} must be an integer of at least {minimum}, got {value!r}")
    else:
        low, high = _RANGES[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            bound = f"between {low:g} and {high:g}" if high < float("inf") else f"of at least {low:g}"
            raise ValueError(f"{name} must be a number {bound}, got {value!r}")
        if value == float("inf"):
            raise ValueError(f"{name} must be finite, got {value!r}")


def _spell(choices: tuple[Any, ...]) -> str:
    return ", ".join(str(choice).lower() for choice in choices)
