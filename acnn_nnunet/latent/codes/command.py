"""`acnn-nnunet codes`: the codes of a folder of label maps or images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.journal import Entries, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done, run_folder
from acnn_nnunet.casewise.recorded import CaseWork, header_of, opened_journal, record_cases
from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status
from acnn_nnunet.casewise.work import Excluded, Outcome, PerWorker
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.patients import CaseGroup, read_groups
from acnn_nnunet.files.tables import CSV_ENDING, PARQUET_ENDING, require_parquet
from acnn_nnunet.fold_prior.case_files import list_images, list_labels
from acnn_nnunet.fold_prior.coder import Coder, GridCase, load_coder
from acnn_nnunet.latent.codes.table import CodeTable, KnownCases, prior_mark, write_code_rows

COMMAND = "codes"


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
        execution: where the cases are encoded.
    """

    prior_file: Path
    images: bool = False
    around: Path | None = None
    align: bool = False
    groups_file: Path | None = None
    device: str = "cpu"
    execution: Execution = HERE

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

    def listed(self) -> tuple[Path, ...]:
        """Return all of them."""
        return self.images if self.label is None else (self.label, *self.images)


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
    execution = options.execution
    coder = PerWorker(partial(load_coder, options.prior_file, device=options.device))
    files = _files_of(coder(), folder, images=options.images, around=options.around)
    prior = coder().prior
    made_by = {"code_size": prior.spec.code_size, "prior": prior.sha256}
    header = {**header_of(COMMAND, folder, options, files), **made_by}
    output.parent.mkdir(parents=True, exist_ok=True)
    encode = CaseWork(partial(_recorded_code, coder, options.images, options.align), CaseFiles.listed)
    with opened_journal(run_folder(output), header, execution, may_change=("cases",), paths=("source",)) as journal:
        part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
        mine = OnDemand(part, files.__getitem__)
        record_cases(encode, mine, journal, execution=execution, description=COMMAND)
        entries = journal.entries_of(part)
        if execution.num_parts > 1:
            return part_done(output, execution, entries)
        return _write_results(output, header, entries, groups)


def merge_parts(output: Path) -> Outcome:
    """Write the table of codes that were computed in parts.

    Raises:
        FileNotFoundError: if there are no parts beside `output`, or the table of groups is gone.
        ValueError: naming the parts that are missing, unfinished or of another run.
    """
    header, entries = joined_parts(run_folder(output), paths=("source",))
    groups_file = header["options"]["groups_file"]
    return _write_results(Path(output), header, entries, read_groups(Path(groups_file)) if groups_file else [])


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
    files = _files_of(coder, folder, images=images, around=around)
    excluded: dict[str, str] = {}
    codes: dict[str, np.ndarray] = {}
    cut_off: list[str] = []
    for result in work_through(partial(_code_of, coder, images, align), files, description=COMMAND):
        if result.value is None:
            excluded[result.case] = str(result.error)
            continue
        codes[result.case], reaches_beyond = result.value
        if reaches_beyond:
            cut_off.append(result.case)
    if not codes:
        raise _no_code(len(files), folder, next(iter(excluded.items())))
    known = KnownCases(groups)
    mark = prior_mark(coder.prior.sha256)
    return CodeTable(
        tuple(map(known.describe, codes)), np.stack(list(codes.values())), excluded, mark, cut_off=tuple(cut_off)
    )


def about_cut_off(cases: Sequence[str]) -> list[str]:
    """Return the line, if any, on cases whose anatomy reaches beyond the prior's grid."""
    if not cases:
        return []
    named = ", ".join(cases[:MOST_NAMED]) + (f" and {len(cases) - MOST_NAMED} more" if len(cases) > MOST_NAMED else "")
    return [
        f"Anatomy at the edge of the prior's grid or beyond, of which codes leave a part out ({len(cases)}): {named}"
    ]


def load_cases(
    coder: Coder, files: Mapping[str, CaseFiles], excluded: dict[str, str]
) -> Iterator[tuple[str, GridCase]]:
    """Yield name and grid of every case that can be loaded; add the others to `excluded`, with the reason."""
    for result in work_through(partial(_load, coder), files, description="codes"):
        if result.value is None:
            excluded[result.case] = str(result.error)
        else:
            yield result.case, result.value


def _files_of(coder: Coder, folder: Path, *, images: bool, around: Path | None) -> Mapping[str, CaseFiles]:
    if not images:
        alone = list_labels(folder, coder.file_ending)
        return OnDemand(alone, lambda case: CaseFiles(alone[case]))
    coder.require_predictor()
    ending = coder.file_ending
    labels = {} if around is None else list_labels(around, ending)
    found = {}
    for case, channels in list_images(folder, ending).items():
        missing = None if around is None else around / f"{case}{ending}"
        found[case] = CaseFiles(labels.get(case, missing), channels)
    return found


def _load(coder: Coder, files: CaseFiles) -> GridCase:
    case = coder.load(files.label, image_files=files.images)
    if case.empty and files.label is not None:
        raise ValueError(f"{files.label} holds no label: there is no anatomy to encode.")
    return case


def _code_of(coder: Coder, images: bool, align: bool, files: CaseFiles) -> tuple[np.ndarray, bool]:
    """Return the code (K,) of a case, float32, and whether its anatomy reaches beyond the grid."""
    case = _load(coder, files)
    if images:
        assert case.image is not None
        code = coder.image_codes_of(case.image[None])
    else:
        code = coder.codes_of(coder.aligned(case.maps[None]) if align else case.maps[None])
    if not bool(code.isfinite().all()):
        raise ValueError("its code is not finite")
    return code[0].numpy(), case.cut_off


def _recorded_code(coder: PerWorker[Coder], images: bool, align: bool, files: CaseFiles) -> dict[str, Any]:
    code, cut_off = _code_of(coder(), images, align, files)
    return {"code": code.tolist(), "cut_off": cut_off}


def _write_results(output: Path, header: dict[str, Any], entries: Entries, groups: Sequence[CaseGroup]) -> Outcome:
    excluded = tuple(Excluded(entry["case"], entry["error"]) for entry in entries if entry["error"] is not None)
    if len(excluded) == len(entries):
        raise _no_code(len(entries), header["source"], (excluded[0].case, excluded[0].reason))
    known = KnownCases(groups)
    rows = ((known.describe(entry["case"]), entry["code"]) for entry in entries if entry["error"] is None)
    write_code_rows(output, rows, code_size=header["code_size"], prior=prior_mark(header["prior"]))
    write_status(run_folder(output), entries)
    num_coded, code_size = len(entries) - len(excluded), header["code_size"]
    lines = [f"{output}: {num_coded} cases, {code_size} numbers each; {len(excluded)} excluded"]
    lines += [f"  {each.case}: {each.reason}" for each in excluded[:MOST_NAMED]]
    cut_off = [entry["case"] for entry in entries if entry.get("cut_off")]
    return Outcome("\n".join(lines + more_in_status(len(excluded)) + about_cut_off(cut_off)), excluded)


def _no_code(num_cases: int, folder: Path | str, first: tuple[str, str]) -> ValueError:
    return ValueError(f"None of the {num_cases} cases of {folder} has a code; {first[0]}: {first[1]}")
