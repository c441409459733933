"""A run over cases that is written down as it goes: kill it, go on, and nothing is lost or done twice."""

import dataclasses
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import Journal
from acnn_nnunet.casewise.run import work_through
from acnn_nnunet.files.headers import TIFF_ENDINGS, spacing_file
from acnn_nnunet.files.on_demand import OnDemand
from acnn_nnunet.files.safe_writes import check_names, plain

Stamp = list[list[int] | None]
Entry = dict[str, Any]
_INPUTS = ("source", "reference", "predictions")
"""Of a header: the folder that names the cases."""


def _no_files(item: Any) -> Sequence[Path]:
    return ()


@dataclass(frozen=True)
class CaseWork:
    """A command's work on a case, and the files that belong to the case.

    Attributes:
        do: takes an item and returns plain values for the journal, or None where the result is a file.
        sources: files that an item is read from; where one changes, the case is done again.
        targets: files that are written for an item; where one is missing, the case is done again.
        is_whole: whether an entry of an earlier run holds all that is needed.
    """

    do: Callable[[Any], Entry | None]
    sources: Callable[[Any], Sequence[Path]]
    targets: Callable[[Any], Sequence[Path]] = _no_files
    is_whole: Callable[[Entry], bool] = bool


def header_of(command: str, source: Path, options: Any, cases: Collection[str], **more: Any) -> Entry:
    """Return the header of a run: what must be equal for results to belong together, as JSON holds it.

    Args:
        command: its name.
        source: folder that is read.
        options: dataclass of the command, or None; where the cases are done makes no difference.
        cases: names.
        more: what else must be equal.
    """
    fields = {} if options is None else dataclasses.asdict(options)
    fields.pop("execution", None)
    content = {"command": command, "source": Path(source).absolute(), "options": fields, **more, "cases": sorted(cases)}
    return as_json(content)


def as_json(content: Entry) -> Entry:
    """Return plain values as JSON gives them back: tuples as lists, paths as text."""
    return json.loads(json.dumps(plain(content), default=str))


@contextmanager
def opened_journal(
    output: Path,
    header: Entry,
    execution: Execution,
    *,
    may_change: Collection[str] = (),
    paths: Collection[str] = (),
    own_folder: bool = False,
    keeps_files: bool = False,
) -> Iterator[Journal]:
    """Give the journal of a run's part, for this run alone: begun anew, or taken up where the execution goes on.

    Args:
        output: folder of the results.
        header: what must be equal for results to belong together, as plain values.
        execution: which part, and whether it goes on.
        may_change: keys of the header that may differ from an earlier run's.
        paths: keys of files and folders, which are the same under another name.
        own_folder: the folder holds the results of one run and nothing else.
        keeps_files: files of an earlier run would stay there among this one's, so that only the same run begins anew.

    Raises:
        ValueError: if the folder holds something else, or another run is writing there; for a case whose name would
            lead out of it.
        WriteError: if the journal cannot be written.
    """
    check_names(header["cases"], where=next((header[key] for key in _INPUTS if header.get(key)), output))
    journal = Journal.of_part(output, num_parts=execution.num_parts, part_id=execution.part_id)
    if execution.go_on and own_folder:
        journal.refuse_foreign()
    elif not execution.go_on and (own_folder or execution.num_parts > 1):
        journal.refuse_begun(alone=own_folder)
    with journal.locked():
        if execution.go_on:
            journal.go_on(header, may_change=may_change, paths=paths)
        else:
            journal.start(header, alone=keeps_files, paths=paths)
        yield journal


def record_cases(
    work: CaseWork,
    cases: Mapping[str, Any],
    journal: Journal,
    *,
    execution: Execution,
    unit: str = "case",
    description: str | None = None,
    on_failure: Callable[[str, str], None] | None = None,
) -> int:
    """Do the cases that the journal does not hold yet, each written down as it ends, and return how many it held.

    A case that failed, or a file of which has changed since, is done again. A file that cannot be used costs its own
    case only: the entry then holds the reason, and no file of an earlier run stays for it.

    Raises:
        WriteError: if the journal or a result cannot be written.
        SetUpError: if what every case needs cannot be loaded.
        ClusterError: if the cluster cannot do the work, or goes away.
    """
    names = dict.fromkeys(cases)
    for entry in journal.entries():
        if _is_done(work, cases, entry):
            del names[entry["case"]]
    num_done, missing = len(cases) - len(names), OnDemand(names, cases.__getitem__)
    results = work_through(
        partial(_stamped, work),
        missing,
        execution=execution,
        num_done=num_done,
        unit=unit,
        description=description,
        place=str(journal.path.absolute()),
        must_see=work.sources(next(iter(missing.values()))) if missing else (),
    )
    for result in results:
        entry = result.value or {"stamp": stamp_of(work.sources(missing[result.case])), "error": str(result.error)}
        if result.error is not None:
            for path in work.targets(missing[result.case]):  # of an earlier run: it would pass for this one's
                path.unlink(missing_ok=True)
            if on_failure is not None:
                on_failure(result.case, result.error)
        journal.append({"case": result.case, **entry})
    return num_done


def stamp_of(files: Sequence[Path]) -> Stamp:
    """Size and time of change of files, and of what tells the voxel size of TIFFs; None for one that is missing."""
    beside = [spacing_file(path) for path in files if path.name.lower().endswith(TIFF_ENDINGS)]
    stats = map(_stat, [*files, *beside])
    return [None if stat is None else [stat.st_size, stat.st_mtime_ns] for stat in stats]


def _is_done(work: CaseWork, cases: Mapping[str, Any], entry: Entry) -> bool:
    if entry["case"] not in cases or entry["error"] is not None or not work.is_whole(entry):
        return False
    item = cases[entry["case"]]
    return entry["stamp"] == stamp_of(work.sources(item)) and all(path.is_file() for path in work.targets(item))


def _stamped(work: CaseWork, item: Any) -> Entry:
    stamp = stamp_of(work.sources(item))  # before it is read: a change in between is noticed
    return {"stamp": stamp, "error": None, **(work.do(item) or {})}


def _stat(path: Path) -> Any:
    try:
        return path.stat() if path.is_file() else None
    except OSError:
        return None
