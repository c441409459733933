"""`acnn-nnunet codes`: the codes of a folder of label maps or images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.files.patients import CaseGroup, read_groups
from acnn_nnunet.files.tables import CSV_ENDING, PARQUET_ENDING, require_parquet
from acnn_nnunet.fold_prior.case_files import list_images, list_labels
from acnn_nnunet.fold_prior.coder import Coder, GridCase, load_coder
from acnn_nnunet.latent.codes.table import CodeTable, collect_codes, describe_case, write_codes

_BATCH_SIZE = 8


@dataclass(frozen=True)
class CodesOptions:
    """How a folder is encoded.

    Attributes:
        prior_file: of the prior.
        images: the folder holds images CASE_0000.nii.gz, for the predictor, instead of label maps CASE.nii.gz.
        around: with `images`, a folder of label maps; the grid is laid around their anatomy.
        align: shift and turn label maps to lie as the prior's mean shape does.
        groups_file: a `groups.csv`.
        device: cpu, cuda or mps.
    """

    prior_file: Path
    images: bool = False
    around: Path | None = None
    align: bool = False
    groups_file: Path | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise ValueError for options that do not go together."""
        if self.around is not None and not self.images:
            raise ValueError("--around goes with --images: label maps are laid around their own anatomy.")
        if self.align and self.images:
            raise ValueError("--align goes with label maps, whose labels say how they lie: leave out --images.")


@dataclass(frozen=True)
class CaseFiles:
    """The label map of a case, if any, and its image files, channels in order."""

    label: Path | None
    images: tuple[Path, ...] = ()


def write_folder_codes(folder: Path, output: Path, options: CodesOptions) -> Outcome:
    """Write the codes of a folder's label maps, or of its images, to a CSV or Parquet file.

    Raises:
        ValueError: if the folder has no such files, none of them has a code, or the prior has no trained predictor.
        FileNotFoundError: if there is no such folder, prior or table of groups.
        OSError: if the output cannot be written.
    """
    if output.suffix.lower() not in (CSV_ENDING, PARQUET_ENDING):
        raise ValueError(f"-o {output}: a table of codes ends in {CSV_ENDING} or {PARQUET_ENDING}.")
    if output.suffix.lower() == PARQUET_ENDING:
        require_parquet()
    groups = read_groups(options.groups_file) if options.groups_file else []
    coder = load_coder(options.prior_file, device=options.device)
    table = encode_folder(
        coder, folder, images=options.images, around=options.around, align=options.align, groups=groups
    )
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
    """Return the codes of a folder's label maps, or of its images; arguments as in `CodesOptions`.

    A case that the prior cannot encode (other labels or dimensions, no label, not finite) is excluded with the reason.

    Raises:
        ValueError: if the folder has no such files, none of them has a code, or the prior has no trained predictor.
        FileNotFoundError: if there is no such folder.
    """
    if images:
        coder.require_predictor()
        files = _images_of(folder, coder.file_ending, around)
    else:
        files = {case: CaseFiles(label) for case, label in list_labels(folder, coder.file_ending).items()}
    excluded: dict[str, str] = {}
    names: list[str] = []
    codes: list[torch.Tensor] = []
    cases = load_cases(coder, files, excluded)
    while batch := dict(islice(cases, _BATCH_SIZE)):
        names += batch
        if images:
            codes.append(
                coder.image_codes_of(torch.stack([case.image for case in batch.values() if case.image is not None]))
            )
        else:
            maps = torch.stack([case.maps for case in batch.values()])
            codes.append(coder.codes_of(coder.aligned(maps) if align else maps))
    values = torch.cat(codes).numpy() if codes else np.zeros((0, coder.prior.spec.code_size))
    table = collect_codes([describe_case(name, groups) for name in names], values, excluded)
    if not table.cases:
        case, reason = next(iter(table.excluded.items()))
        raise ValueError(f"None of the {len(files)} cases of {folder} has a code; {case}: {reason}")
    return table


def load_cases(
    coder: Coder, files: Mapping[str, CaseFiles], excluded: dict[str, str]
) -> Iterator[tuple[str, GridCase]]:
    """Yield name and grid of every case that can be loaded; add the others to `excluded`, with the reason."""
    for result in work_through(partial(_load, coder), files, description="codes"):
        if result.value is None:
            excluded[result.case] = str(result.error)
        else:
            yield result.case, result.value


def _images_of(folder: Path, file_ending: str, around: Path | None) -> dict[str, CaseFiles]:
    labels = {} if around is None else list_labels(around, file_ending)
    found = {}
    for case, images in list_images(folder, file_ending).items():
        missing = None if around is None else around / f"{case}{file_ending}"
        found[case] = CaseFiles(labels.get(case, missing), images)
    return found


def _load(coder: Coder, files: CaseFiles) -> GridCase:
    case = coder.load(files.label, image_files=files.images)
    if case.empty and files.label is not None:
        raise ValueError(f"{files.label} holds no label: there is no anatomy to encode.")
    return case
