"""Commands whose result is a file per case: written down case by case, gone on with, run in parts and merged alike."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Entries, Journal, cases_of_part
from acnn_nnunet.casewise.parts import joined_parts, part_done
from acnn_nnunet.casewise.recorded import CaseWork, opened_journal, record_cases, stamp_of
from acnn_nnunet.casewise.status import MOST_NAMED, more_in_status, write_status
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.files.on_demand import OnDemand

CaseFiles = tuple[Path | Sequence[Path], Path | Sequence[Path]]
"""The files that a case is read from, and those that are written for it."""


def write_files(
    do: Callable[[Any], None],
    cases: Mapping[str, CaseFiles],
    output: Path,
    *,
    header: dict[str, Any],
    execution: Execution,
    excluded: Sequence[Excluded] = (),
    unit: str = "image",
) -> Outcome:
    """Write the files of each case of this part, and `status.csv` when all parts are one.

    Args:
        do: writes the files of a case; pickled where it is done elsewhere.
        cases: files of each.
        output: folder to write, which exists.
        header: as `header_of` returns it.
        execution: where, which part, and whether an earlier run goes on. A folder that an earlier version filled has no
            journal: the files that are there count as done.
        excluded: cases for which nothing can be done, with sentences that name their files.
        unit: of the progress bar.

    Returns:
        What was done; not complete if a case failed.

    Raises:
        ValueError: if the folder belongs to another run, or one is writing there.
        WriteError: if a file cannot be written.
        SetUpError, ClusterError: as `record_cases`.
    """
    work = CaseWork(do, _sources, _targets)
    part = cases_of_part(header["cases"], num_parts=execution.num_parts, part_id=execution.part_id)
    lost = {each.case: each.reason for each in excluded}
    adopt = execution.go_on and not (output / "parts").is_dir()
    mine = OnDemand((case for case in part if case in cases), cases.__getitem__)
    with opened_journal(
        output, header, execution, may_change=("cases",), paths=("source",), keeps_files=True
    ) as journal:
        if adopt:
            _adopt(journal, mine)
        for case in part:
            if case in lost:
                journal.append({"case": case, "stamp": [], "error": lost[case]})
        num_done = record_cases(work, mine, journal, execution=execution, unit=unit)
        entries = journal.entries_of(part)
        outcome = _outcome(entries, output, num_done)
        if execution.num_parts > 1:
            return Outcome(f"{outcome.text}\n{part_done(output, execution).text}", outcome.excluded)
        write_status(output, entries)
        return outcome


def merge_files(output: Path) -> Outcome:
    """Check that every part of a run is there, and write its `status.csv`.

    Raises:
        FileNotFoundError: if the folder holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another run.
    """
    _, entries = joined_parts(output, paths=("source",))
    write_status(output, entries)
    return _outcome(entries, output, 0)


def _adopt(journal: Journal, cases: Mapping[str, CaseFiles]) -> None:
    for case, files in cases.items():
        if all(path.is_file() for path in _targets(files)):
            journal.append({"case": case, "stamp": stamp_of(_sources(files)), "error": None})


def _outcome(entries: Entries, output: Path, num_done: int) -> Outcome:
    failed = tuple(Excluded(entry["case"], entry["error"]) for entry in entries if entry["error"] is not None)
    kept = f"; {num_done} were there already" if num_done else ""
    text = f"{output}: {len(entries) - len(failed)} of {len(entries)} done{kept}"
    named = [each.reason for each in failed[:MOST_NAMED]]
    return Outcome("\n".join([text, *named, *more_in_status(len(failed))]), failed)


def _sources(files: CaseFiles) -> Sequence[Path]:
    return _listed(files[0])


def _targets(files: CaseFiles) -> Sequence[Path]:
    return _listed(files[1])


def _listed(files: Path | Sequence[Path]) -> Sequence[Path]:
    return (files,) if isinstance(files, Path) else files
