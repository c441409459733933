"""`acnn-nnunet codes`: the codes of a folder of label maps or images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.cases import group_channels
from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.files.patients import CaseGroup, read_groups
from acnn_nnunet.files.tables import CSV_ENDING, PARQUET_ENDING, require_parquet
from acnn_nnunet.fold_prior.coder import Coder, GridCase, load_coder
from acnn_nnunet.latent.codes.table import CodeTable, collect_codes, describe_case, write_codes

_BATCH_SIZE = 8


@dataclass(frozen=True)
class CaseFiles:
    """The files of a case.

    Attributes:
        case: its name.
        label: its label map, or None.
        images: one a channel; none where label maps are encoded.
    """

    case: str
    label: Path | None
    images: tuple[Path, ...] = ()


def write_folder_codes(
    folder: Path,
    output: Path,
    *,
    prior_file: Path,
    images: bool = False,
    around: Path | None = None,
    align: bool = False,
    groups_file: Path | None = None,
    device: str = "cpu",
) -> Outcome:
    """Write the codes of a folder's label maps, or of its images, to a CSV or Parquet file.

    Args:
        folder: of label maps CASE.nii.gz, or of images CASE_0000.nii.gz as nnU-Net takes them.
        output: file to write.
        prior_file: of the prior.
        images: whether the predictor encodes images.
        around: with `images`, a folder of label maps around whose anatomy the grid is laid.
        align: shift and turn label maps so that their labels lie as those of the prior's mean shape.
        groups_file: a `groups.csv`.
        device: cpu, cuda or mps.

    Raises:
        ValueError: if the folder has no such files, none of them has a code, the prior has no trained predictor, or
            images shall be aligned.
        FileNotFoundError: if there is no such folder, prior or table of groups.
        OSError: if the output cannot be written.
    """
    if output.suffix.lower() not in (CSV_ENDING, PARQUET_ENDING):
        raise ValueError(f"-o {output}: a table of codes ends in {CSV_ENDING} or {PARQUET_ENDING}.")
    if output.suffix.lower() == PARQUET_ENDING:
        require_parquet()
    if around is not None and not images:
        raise ValueError("--around goes with --images: label maps are laid around their own anatomy.")
    if align and images:
        raise ValueError("--align goes with label maps, whose labels say how they lie: leave out --images.")
    groups = read_groups(groups_file) if groups_file else []
    coder = load_coder(prior_file, device=device)
    table = encode_folder(coder, folder, images=images, around=around, align=align, groups=groups)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_codes(output, table)
    lines = [f"{output}: {len(table.cases)} cases, {table.codes.shape[1]} numbers each; {len(table.excluded)} excluded"]
    lines += [f"  {case}: {reason}" for case, reason in table.excluded.items()]
    return Outcome("\n".join(lines), tuple(Excluded(case, reason) for case, reason in table.excluded.items()))


def encode_folder(
    coder: Coder,
    folder: Path,
    *,
    images: bool = False,
    around: Path | None = None,
    align: bool = False,
    groups: Sequence[CaseGroup] = (),
) -> CodeTable:
    """Return the codes of a folder's label maps, or of its images; arguments as for `write_folder_codes`.

    A case that the prior cannot encode (other labels or dimensions, no label, not finite) is excluded with the reason.

    Raises:
        ValueError: if the folder has no such files, none of them has a code, or the prior has no trained predictor.
        FileNotFoundError: if there is no such folder.
    """
    if images:
        coder.require_predictor()
    files = list_images(folder, coder.file_ending, around=around) if images else list_labels(folder, coder.file_ending)
    excluded: dict[str, str] = {}
    names: list[str] = []
    codes: list[torch.Tensor] = []
    cases = load_cases(coder, files, excluded)
    while batch := list(islice(cases, _BATCH_SIZE)):
        names += [name for name, _ in batch]
        if images:
            codes.append(coder.image_codes_of(torch.stack([case.image for _, case in batch if case.image is not None])))
        else:
            maps = torch.stack([case.maps for _, case in batch])
            codes.append(coder.codes_of(coder.aligned(maps) if align else maps))
    values = torch.cat(codes).numpy() if codes else np.zeros((0, coder.prior.spec.code_size))
    table = collect_codes([describe_case(name, groups) for name in names], values, excluded)
    if not table.cases:
        case, reason = next(iter(table.excluded.items()))
        raise ValueError(f"None of the {len(files)} cases of {folder} has a code; {case}: {reason}")
    return table


def list_labels(folder: Path, file_ending: str) -> list[CaseFiles]:
    """Return the label maps of a folder, sorted by name.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no file of that ending.
    """
    found = _files(folder, file_ending)
    return [CaseFiles(path.name.removesuffix(file_ending), path) for path in found]


def list_images(folder: Path, file_ending: str, *, around: Path | None = None) -> list[CaseFiles]:
    """Return the cases of a folder of images named CASE_0000.nii.gz, sorted by name, channels in order.

    Args:
        folder: of the images.
        file_ending: such as .nii.gz.
        around: a folder with a label map for each case.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no file of that name.
    """
    channels, _ = group_channels({path.name.removesuffix(file_ending): path for path in _files(folder, file_ending)})
    if not channels:
        raise ValueError(f"{folder} holds no image named as nnU-Net names them, CASE_0000{file_ending}.")
    labels = {case: None if around is None else around / f"{case}{file_ending}" for case in channels}
    return [CaseFiles(case, labels[case], tuple(found.values())) for case, found in sorted(channels.items())]


def load_cases(coder: Coder, files: Sequence[CaseFiles], excluded: dict[str, str]) -> Iterator[tuple[str, GridCase]]:
    """Yield name and grid of every case that can be loaded; the others are added to `excluded`, with the reason."""
    for result in work_through(partial(_load, coder), {file.case: file for file in files}, description="codes"):
        if result.value is None:
            excluded[result.case] = str(result.error)
        else:
            yield result.case, result.value


def _load(coder: Coder, file: CaseFiles) -> GridCase:
    case = coder.load(file.label, image_files=file.images)
    if case.empty and file.label is not None:
        raise ValueError(f"{file.label} holds no label: there is no anatomy to encode.")
    return case


def _files(folder: Path, file_ending: str) -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    found = sorted(path for path in folder.iterdir() if path.name.endswith(file_ending))
    if not found:
        raise ValueError(f"{folder} holds no {file_ending} file, as the prior's dataset has them.")
    return found
