"""The prior file: a T-L network with what is needed to refuse it where it does not fit."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from acnn_nnunet.shape_prior.grids.views import PatchGrid, RoiGrid, make_grid
from acnn_nnunet.shape_prior.label_maps.label_space import LabelSpace
from acnn_nnunet.shape_prior.networks.tl_network import Stage, TLNetwork

FORMAT_VERSION = 4
SPEC_KEY = "shape_prior"
UNLEARNT_DICE = 0.50
"""A label that comes back from its code below this Dice is not learnt."""


@dataclass(frozen=True)
class PriorSpec:
    """What a prior was trained on and for; plain values only, as they lie in the file.

    Attributes:
        format_version: of this file format.
        dataset, plans, configuration, fold: where it was trained.
        labels: name to value (or list of values, for regions), as in dataset.json.
        num_channels: C of its label maps.
        regions: whether the channels are overlapping regions.
        ignore_label: value of unannotated voxels, or None.
        image_channels: channels of the predictor's input.
        grid: kind of the grid.
        grid_size: its size in voxels.
        spacing_mm: spacing of the grid, in the plans' axis order.
        outside_share: share of the anatomy that lay beyond the grid in augmented training patches that held all of it.
        code_size: length of the code.
        architecture: of the autoencoder, "cnn" or "hybrid"; files from before there was a choice do not say it.
        stage: training stage that the weights come from.
        training_cases: identifiers of the cases whose labels it saw.
        absent_labels: names of labels that no training case has.
        complete: whether training has ended and measured the code's mean and covariance.
        mirroring: whether it saw mirrored anatomy, or along which axes of the patch alone.
        mirrored_labels: label values that changed places there, such as "1:2, 3:4".
        mirrored_labels_axis: the axis along which they did, or None.
        rotation_deg: up to where it saw rotated anatomy; None in files from before the host's own limit was kept.
        reconstruction_dice: label to the Dice of g(f(y)) and y over the last epoch's validation patches; empty where
            training has not ended, and in files from before it was kept.
    """

    dataset: str
    plans: str
    configuration: str
    fold: int | str
    labels: dict[str, Any]
    num_channels: int
    regions: bool
    ignore_label: int | None
    image_channels: int
    grid: str
    grid_size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    code_size: int
    stage: str = Stage.AUTOENCODER.value
    training_cases: tuple[str, ...] = ()
    absent_labels: tuple[str, ...] = ()
    complete: bool = False
    outside_share: float = 0.0
    architecture: str = "cnn"
    mirroring: bool | tuple[int, ...] = True
    mirrored_labels: str = ""
    mirrored_labels_axis: int | None = None
    rotation_deg: float | None = None
    reconstruction_dice: dict[str, float] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def label_space(self) -> LabelSpace:
        """How the networks read labels."""
        return LabelSpace(self.num_channels, self.regions, self.ignore_label)

    @property
    def has_predictor(self) -> bool:
        """Whether training reached the predictor's stage: p(x) is trained."""
        return self.stage != Stage.AUTOENCODER.value

    @property
    def unlearnt_labels(self) -> dict[str, float]:
        """Dice of the labels that training cases have and that the prior has not learnt to reconstruct."""
        return {
            name: dice
            for name, dice in self.reconstruction_dice.items()
            if dice < UNLEARNT_DICE and name not in self.absent_labels
        }

    def as_plain(self) -> dict[str, Any]:
        """Return the dictionary that goes into the file."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in dataclasses.asdict(self).items()
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "PriorSpec":
        """Read the dictionary of a file."""
        values: dict[str, Any] = {k: tuple(value) if isinstance(value, list) else value for k, value in plain.items()}
        return cls(**values)

    def make_grid(self, patch_spacing_mm: tuple[float, ...]) -> PatchGrid | RoiGrid:
        """Return the grid in a training whose patches have the given spacing."""
        return make_grid(
            self.grid, self.grid_size, spacing_mm=self.spacing_mm, patch_spacing_mm=tuple(patch_spacing_mm)
        )

    def make_network(self, *, roi: RoiGrid | None = None) -> TLNetwork:
        """Return an untrained T-L network for this grid; `roi` is the grid where the images will be whole patches."""
        return TLNetwork(
            self.grid_size,
            num_classes=self.num_channels,
            image_channels=self.image_channels,
            code_size=self.code_size,
            roi=roi,
            architecture=self.architecture,
            spacing_mm=self.spacing_mm,
        )

    def mismatches(self, other: "PriorSpec") -> list[str]:
        """Say in which respects this prior cannot serve a training that would have made `other`."""
        both_regions = self.regions and other.regions
        compared: dict[str, tuple[Any, Any]] = {
            "label set": (self._without_ignore(), other._without_ignore()),
            "regions": (self.regions, other.regions),
            "order of regions": (self._region_names, other._region_names) if both_regions else ((), ()),
            "grid": (self.grid, other.grid),
            "number of axes": (len(self.grid_size), len(other.grid_size)),
            "architecture": (self.architecture, other.architecture),
            "code size": (self.code_size, other.code_size),
        }
        if self.grid != RoiGrid.kind:
            # A box in mm brings its own size and spacing, and is laid into patches of any.
            compared["grid size"] = (self.grid_size, other.grid_size)
            compared["spacing in mm"] = (_rounded(self.spacing_mm), _rounded(other.spacing_mm))
        different = [
            f"its {what} is {mine}, not {theirs}" for what, (mine, theirs) in compared.items() if mine != theirs
        ]
        return different + self._unseen_augmentation(other)

    def _unseen_augmentation(self, other: "PriorSpec") -> list[str]:
        """Say what the other training would show this prior that it would punish only for never having seen it."""
        unseen = []
        beyond = [axis for axis in other.mirror_axes if axis not in self.mirror_axes]
        if beyond and not self.mirror_axes:
            unseen.append("it never saw mirrored anatomy (mirroring=false), which this training makes")
        elif beyond:
            unseen.append(
                f"it saw anatomy mirrored along {_axes(self.mirror_axes)} alone (mirroring), and this training "
                f"mirrors along {_axes(beyond)}"
            )
        elif self._swaps_on(other.mirror_axes) != other._swaps_on(other.mirror_axes):
            unseen.append(
                f"in mirrored anatomy it saw {self._swaps_on(other.mirror_axes)} change places (mirrored_labels), "
                f"and this training makes {other._swaps_on(other.mirror_axes)} do so"
            )
        mine, theirs = self.rotation_deg, other.rotation_deg
        if mine is not None and theirs is not None and theirs > mine:
            unseen.append(
                f"it saw rotations up to {mine:g}° only (rotation_deg), and this training rotates up to {theirs:g}°"
            )
        return unseen

    @property
    def mirror_axes(self) -> tuple[int, ...]:
        """Axes of the patch along which it saw mirrored anatomy."""
        if isinstance(self.mirroring, tuple):
            return self.mirroring
        return tuple(range(len(self.grid_size))) if self.mirroring else ()

    def _swaps_on(self, axes: tuple[int, ...]) -> str:
        if self.mirrored_labels_axis not in axes:
            return "no labels"
        return f"labels {self.mirrored_labels} along axis {self.mirrored_labels_axis}"

    @property
    def _region_names(self) -> tuple[str, ...]:
        """Names of the regions in the order of their channels."""
        return tuple(name for name in self.labels if name not in ("background", "ignore"))

    def _without_ignore(self) -> dict[str, Any]:
        return {name: value for name, value in self.labels.items() if name != "ignore"}


@dataclass(frozen=True)
class Prior:
    """A prior that was read from a file.

    Attributes:
        network: the T-L network, in eval mode.
        spec: what it was trained on.
        path: the file.
        sha256: the file's hash.
    """

    network: TLNetwork
    spec: PriorSpec
    path: Path
    sha256: str


def load_prior(path: Path, *, device: torch.device | str = "cpu") -> Prior:
    """Read a prior file.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is truncated, not a prior, of another format version, or holds what is not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no shape prior at {path}.")
    try:
        checkpoint = torch.load(path, map_location=device, weights_only=True)
        plain = dict(checkpoint[SPEC_KEY])
    except (KeyError, TypeError):
        raise ValueError(f"{path} is no shape prior: it was not written by ShapePriorTrainer.") from None
    except MemoryError:
        raise
    except Exception as error:  # pickle, zip and torch each have their own
        if str(error).startswith("Weights only load failed"):  # it holds objects, as nnU-Net's own checkpoints do
            raise ValueError(
                f"The shape prior {path} cannot be read, it is truncated or no checkpoint of ShapePriorTrainer."
            ) from error
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The shape prior {path} cannot be read, it is truncated or no checkpoint ({reason})."
        ) from error
    if plain.get("format_version") != FORMAT_VERSION:
        raise ValueError(
            f"The shape prior {path} has format version {plain.get('format_version')}, "
            f"this acnn-nnunet reads version {FORMAT_VERSION}."
        )
    try:
        spec = PriorSpec.from_plain(plain)
        network = spec.make_network()
        network.load_state_dict(checkpoint["network_weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"The shape prior {path} is damaged or of another version of acnn-nnunet ({type(error).__name__}: "
            f"{reason}): train it anew."
        ) from error
    if not all(values.isfinite().all() for values in network.state_dict().values()):
        raise ValueError(f"The shape prior {path} holds weights that are not finite: train it anew.")
    return Prior(network.move_to(device).eval(), spec, path, file_sha256(path))


def file_sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _axes(axes: Sequence[int]) -> str:
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"


def _rounded(spacing_mm: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(float(spacing), 4) for spacing in spacing_mm)
