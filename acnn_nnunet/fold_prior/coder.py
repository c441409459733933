"""From files of label maps and images, as they were acquired, to a prior's grid and its codes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from nnunetv2.paths import nnUNet_preprocessed, nnUNet_raw
from torch import Tensor

from acnn_nnunet.files.geometry import Geometry
from acnn_nnunet.files.volumes import check_same_grid
from acnn_nnunet.fold_prior.alignment import align_to
from acnn_nnunet.fold_prior.held_out import as_target
from acnn_nnunet.fold_prior.layout import Layout, common_orientation
from acnn_nnunet.fold_prior.loading import channel_names, load_finished_prior
from acnn_nnunet.nnunet.cases import centred_patch, main_pieces
from acnn_nnunet.nnunet.devices import check_device
from acnn_nnunet.nnunet.label_files import LabelFileReader, LabelMap, image_grid
from acnn_nnunet.nnunet.labels import known_values, values_of
from acnn_nnunet.nnunet.models import ModelBundle, read_bundle
from acnn_nnunet.shape_prior.grids.views import View
from acnn_nnunet.shape_prior.prior_file import Prior

_BATCH_SIZE = 8


@dataclass(frozen=True)
class GridCase:
    """A case on the prior's grid.

    Attributes:
        maps: label maps (C, …), background everywhere where there is no label map.
        image: (C', …), or None where there is no image.
        empty: no voxel on the grid is anatomy.
        cut_off: the anatomy, islands aside, reaches beyond the grid or touches its patch's face.
        outside_share: share of the case's anatomy, islands included, beyond the grid; for a 2D prior, share of the
            anatomy of its slice's patch.
    """

    maps: Tensor
    image: Tensor | None
    empty: bool
    cut_off: bool
    outside_share: float


@dataclass(frozen=True)
class Coder:
    """Takes label maps and images to a prior's grid, as nnU-Net preprocesses them, and to its codes and back.

    Attributes:
        prior: on `device`, in eval mode.
        bundle: plans and dataset.json of its training.
        device: where its networks are.
    """

    prior: Prior
    bundle: ModelBundle
    device: str

    @cached_property
    def grid(self):
        """Where the prior looks."""
        return self.prior.spec.make_grid(self.bundle.configuration.spacing)

    @cached_property
    def labels(self):
        """What the channels of a label map mean."""
        return self.prior.spec.label_space

    @cached_property
    def names(self) -> dict[int, str]:
        """Name of the label of each channel but the background's."""
        return channel_names(self.prior.spec.labels, self.labels)

    @cached_property
    def geometry(self) -> Geometry:
        """Size and spacing of the grid."""
        return Geometry(self.grid.size, tuple(float(s) for s in self.prior.spec.spacing_mm))

    @cached_property
    def mean_shape(self) -> Tensor:
        """Label map (C, …), on the CPU, that the mean code of the training cases decodes to."""
        return self.labels.hardened(self.decode(self.prior.network.code_mean[None].cpu()))[0]

    @property
    def has_predictor(self) -> bool:
        """Whether the predictor's stage came: p(x) is trained."""
        return self.prior.spec.has_predictor

    @property
    def label_values(self) -> dict[str, tuple[int, ...]]:
        """The values of each label, or of each region, by name."""
        return {name: values_of(self.prior.spec.labels[name]) for name in self.names.values()}

    @property
    def file_ending(self) -> str:
        """The ending of the files of the prior's dataset."""
        return self.bundle.file_ending

    @property
    def reader(self) -> LabelFileReader:
        """Reads files as the host did in training."""
        return self.bundle.reader

    @cached_property
    def layout(self) -> Layout:
        """How the prior's training cases lie."""
        planned = self.bundle.plans.plans.get("original_median_spacing_after_transp")
        return Layout(
            dataset=self.prior.spec.dataset,
            axes=len(self.grid.size),
            transpose=tuple(int(axis) for axis in self.bundle.plans.transpose_forward),
            spacing_mm=None if planned is None else tuple(float(mm) for mm in planned),
            orientation=self._orientation(),
        )

    def load(self, label_file: Path | None, *, image_files: Sequence[Path] = ()) -> GridCase:
        """Bring a case to the grid, laid around the label map's anatomy, or in the image's middle without one.

        Args:
            label_file: in the label values of the prior's dataset; may be empty.
            image_files: channels in order, one or more per file.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: naming the file, if it cannot be read, has other labels, other dimensions or another orientation
                than the prior's training cases, or voxels that are not finite.
        """
        label_map = None
        if label_file is not None:
            label_map = self.reader.read(label_file)
            self.check(label_map, label_file)
        return self.bring(label_map, image_files=image_files)

    def bring(self, label_map: LabelMap | None, *, image_files: Sequence[Path] = ()) -> GridCase:
        """Bring a case to the grid as `load` does, with a checked label map from memory."""
        if not image_files:
            assert label_map is not None
            return self.place(label_map.volume, label_map.volume_spacing_mm)
        return self._load_image(image_files, label_map)

    def check(self, label_map: LabelMap, label_file: Path) -> None:
        """Refuse a label map that the prior cannot know.

        Raises:
            ValueError: naming the file and the reason.
        """
        spec = self.prior.spec
        if other := sorted(set(np.unique(label_map.values).tolist()) - known_values(spec.labels.values())):
            raise ValueError(
                f"{label_file} holds the label {other[0]}, which the prior of {spec.dataset} does not know; its labels "
                f"are {', '.join(f'{name} {value}' for name, value in spec.labels.items())}."
            )
        self.layout.check(label_file, label_map.volume.shape, label_map.volume_spacing_mm, label_map.geometry.direction)

    def place(self, values: np.ndarray, spacing_mm: Sequence[float]) -> GridCase:
        """Bring a label map in memory to the grid: transposed and resampled as the host preprocesses labels.

        Args:
            values: integers (Z, Y, X), axes as the host's reader gives them.
            spacing_mm: in the same order.
        """
        return self._on_grid(None, self.bundle.resample_labels(values, spacing_mm))

    def aligned(self, maps: Tensor) -> Tensor:
        """Return label maps (N, C, …), on the CPU, shifted and turned in the plane to lie as the mean shape does."""
        spacing_mm = self.geometry.spacing_mm
        return align_to(maps.cpu(), self.mean_shape, spacing_mm=spacing_mm, regions=self.labels.regions)

    @torch.no_grad()
    def codes_of(self, maps: Tensor) -> Tensor:
        """Return codes (N, K), on the CPU, of label maps (N, C, …) in 0…1."""
        return self._in_batches(self.prior.network.encoder, maps)

    @torch.no_grad()
    def image_codes_of(self, images: Tensor) -> Tensor:
        """Return codes (N, K), on the CPU, that the predictor gives images (N, C', …).

        Raises:
            ValueError: if the prior's training ended before the predictor's stage.
        """
        self.require_predictor()
        return self._in_batches(self.prior.network.predictor, images)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return probabilities (N, C, …), on the CPU, of codes (N, K)."""
        return self.labels.probabilities(self._in_batches(self.prior.network.decoder, codes))

    def require_predictor(self) -> None:
        """Raise ValueError, naming the file and the remedy, if the predictor was not trained."""
        if not self.has_predictor:
            raise ValueError(
                f"The shape prior {self.prior.path} has no trained predictor, so that images have no codes: its "
                "training ended with the autoencoder's stage. Train with train_predictor=true and prior_num_epochs=3 "
                "or more, or take labels."
            )

    def _load_image(self, image_files: Sequence[Path], label_map: LabelMap | None) -> GridCase:
        read = [self.reader.read_image(path) for path in image_files]
        if different := next((i for i, (v, _) in enumerate(read) if v.shape != read[0][0].shape), None):
            raise ValueError(f"{image_files[different]} is of another size than {image_files[0]}.")
        data, properties = np.concatenate([values for values, _ in read]), read[0][1]
        if len(data) != (channels := self.prior.spec.image_channels):  # a colour image's file holds three
            raise ValueError(f"{image_files[0]}: the case has {len(data)} channels, the prior takes {channels}.")
        if not np.isfinite(data).all():
            raise ValueError(f"{image_files[0]} holds voxels that are not finite.")
        direction = properties.get("sitk_stuff", {}).get("direction")
        self.layout.check(image_files[0], data.shape[1:], properties["spacing"], direction)
        grids = [image_grid(v.shape[1:], p, path) for (v, p), path in zip(read, image_files, strict=True)]
        for path, grid in zip(image_files[1:], grids[1:], strict=True):
            check_same_grid(grid, str(path), grids[0], str(image_files[0]))
        segmentation = None if label_map is None else label_map.volume[None].astype(np.int16)
        if segmentation is not None and segmentation.shape[1:] != data.shape[1:]:
            raise ValueError(
                f"{image_files[0]} is of {data.shape[1:]} voxels, its label map of {segmentation.shape[1:]}."
            )
        if label_map is not None:
            check_same_grid(grids[0], str(image_files[0]), label_map.geometry, "its label map")
        bundle = self.bundle
        preprocessor = bundle.configuration.preprocessor_class(verbose=False)
        image, segmentation, _ = preprocessor.run_case_npy(
            data, segmentation, dict(properties), bundle.plans, bundle.configuration, bundle.dataset_json
        )
        return self._on_grid(np.asarray(image), np.asarray(segmentation))

    def _on_grid(self, image: np.ndarray | None, segmentation: np.ndarray) -> GridCase:
        """Cut a preprocessed case (C', Z, Y, X) and (1, Z, Y, X) around its anatomy and lay it on the grid."""
        labels = self.labels
        foreground = segmentation > 0
        if labels.ignore_label is not None:
            foreground &= segmentation != labels.ignore_label
        main = main_pieces(foreground[0])[None]
        num_main = int(main.sum())
        layers = segmentation if image is None else np.concatenate([segmentation, image])
        layers, main = centred_patch(layers, main, self.grid.reach)
        cut = np.maximum(layers[:1], 0).astype(np.int16)
        maps = labels.target_maps(as_target(cut, self.prior.spec.labels, labels)[None])
        anatomy = labels.foreground(maps)
        whole = len(self.grid.size) == segmentation.ndim - 1  # a 2D prior sees one slice
        view: View = self.grid.around(anatomy, main=torch.from_numpy(main > 0)[None])
        num_held = int(anatomy.sum())
        num_all = int(foreground.sum()) if whole else num_held
        on_grid = view(maps, beyond=labels.background)
        return GridCase(
            maps=on_grid[0],
            image=None if image is None else view(torch.from_numpy(layers[1:]).float()[None])[0],
            empty=not bool(labels.foreground(on_grid).any()),
            cut_off=bool(view.cut_off.item()) or (whole and int((main > 0).sum()) < num_main),
            outside_share=1 - (1 - view.outside_share.item()) * num_held / num_all if num_all else 0.0,
        )

    def _orientation(self) -> str | None:
        """Return the orientation that the training cases share, such as LPS; None where nnUNet_raw does not tell."""
        if "SimpleITK" not in self.bundle.reader_name:
            return None  # others turn axes and count them the other way round
        folder = Path(nnUNet_raw.get() or "") / self.prior.spec.dataset / "labelsTr"
        files = [folder / f"{case}{self.file_ending}" for case in self.prior.spec.training_cases]
        return common_orientation([file for file in files if file.is_file()])

    def _in_batches(self, network: torch.nn.Module, tensors: Tensor) -> Tensor:
        return torch.cat([network(batch.to(self.device)).float().cpu() for batch in tensors.split(_BATCH_SIZE)])


def load_coder(prior_file: Path, *, device: str = "cpu") -> Coder:
    """Return the coder of a prior, with the plans and dataset.json that lie beside it or in nnUNet_preprocessed.

    Raises:
        FileNotFoundError: if there is no such prior, or no plans of it.
        ValueError: if it cannot be read, its training has not ended, or there is no such device.
    """
    check_device(device)
    prior = load_finished_prior(Path(prior_file), device=device)
    return Coder(prior, _bundle_of(prior), device)


def _bundle_of(prior: Prior) -> ModelBundle:
    trained, preprocessed = prior.path.absolute().parents[1], nnUNet_preprocessed.get()
    candidates = [(trained / "plans.json", trained / "dataset.json")]
    if preprocessed:
        folder = Path(preprocessed) / prior.spec.dataset
        candidates.append((folder / f"{prior.spec.plans}.json", folder / "dataset.json"))
    remedy = (
        f"put plans.json and dataset.json into {trained}, where nnUNetv2_train writes them, or set nnUNet_preprocessed"
    )
    for plans_file, dataset_file in candidates:
        if plans_file.is_file() and dataset_file.is_file():
            return read_bundle(plans_file, dataset_file, prior.spec.configuration, remedy=remedy)
    raise FileNotFoundError(f"The plans of the shape prior {prior.path} are missing: {remedy}.")
