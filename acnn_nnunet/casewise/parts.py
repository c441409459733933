"""Runs in parts, each on a machine of its own, and how their results are joined."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.journal import FILES, FOLDER, Entries, Journal, cases_of_part, without_links
from acnn_nnunet.casewise.recorded import Entry, stamp_of
from acnn_nnunet.casewise.status import MOST_NAMED
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.files.safe_writes import check_names

FILE_SUFFIX = ".run"
"""Of the folder beside a result that is one file."""


def run_folder(output: Path) -> Path:
    """Return the folder of a run's journals: the output folder, or the one beside an output that is a file."""
    output = Path(output)
    beside = output.with_name(f"{output.name}{FILE_SUFFIX}")
    return beside if output.suffix and not output.is_dir() else output


def part_done(output: Path, execution: Execution, entries: Iterable[Entry] = ()) -> Outcome:
    """Return what a command says after one of several parts: which of these entries' cases failed, and what is next."""
    failed = tuple(Excluded(entry["case"], entry["error"]) for entry in entries if entry["error"] is not None)
    named = [f"{each.case} failed: {each.reason}" for each in failed[:MOST_NAMED]]
    more = [f"… and {len(failed) - MOST_NAMED} more that failed."] if len(failed) > MOST_NAMED else []
    ending = f"After the last one: acnn-nnunet merge {output}"
    done = f"Part {execution.part_id} of {execution.num_parts} is done. {ending}"
    return Outcome("\n".join([*named, *more, done]), failed)


def command_of_parts(output: Path) -> str:
    """Return the name of the command that was run in parts.

    Raises:
        FileNotFoundError: if there are no parts.
        ValueError: naming the parts that are missing.
    """
    header = find_parts(run_folder(output))[0].header()
    return str(header.get("command", "evaluate"))  # an earlier version had parts of that one only


def joined_parts(folder: Path, *, paths: Collection[str] = ()) -> tuple[dict[str, Any], Entries]:
    """Return the header of a run in parts, and the entries of all its cases.

    Raises:
        FileNotFoundError: if the folder holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another run, or a case that would lead out of
            the folder.
    """
    journals = find_parts(folder)
    header = common_header(journals, paths=paths)
    check_names(header["cases"], where=journals[0].path)
    entries = [
        journal.entries_of(cases_of_part(header["cases"], num_parts=len(journals), part_id=part_id))
        for part_id, journal in enumerate(journals)
    ]
    return header, Entries.joined(entries)


def refuse_changed(entries: Iterable[Entry], sources: Callable[[str], Sequence[Path]], output: Path) -> None:
    """Raise ValueError if cases have changed since their entries were written, as far as this machine sees their files.

    Args:
        entries: of all parts.
        sources: the files that a case is read from.
        output: folder of the run.
    """

    def has_changed(entry: Entry) -> bool:
        now = stamp_of(sources(entry["case"]))
        return any(found not in (None, known) for found, known in zip(now, entry["stamp"], strict=False))

    if changed := [entry["case"] for entry in entries if has_changed(entry)]:
        raise ValueError(
            f"{len(changed)} cases ({changed[0]}, …) have changed since they were scored: finish the parts in {output} "
            "with --continue."
        )


def find_parts(output: Path) -> list[Journal]:
    """Return the journals of all parts of a run, in order.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: naming the parts that are missing or of another run.
    """
    files = sorted((Path(output) / FOLDER).glob(FILES))
    if not files:
        raise FileNotFoundError(f"{output} holds no parts: `-num_parts N -part_id I` writes them.")
    totals = {int(path.stem.rsplit("_", 1)[1]) for path in files}
    if len(totals) > 1:
        folder = Path(output) / FOLDER
        raise ValueError(f"{folder} holds parts of {sorted(totals)}: delete those of the other run.")
    num_parts = totals.pop()
    journals = [Journal.of_part(output, num_parts=num_parts, part_id=part_id) for part_id in range(num_parts)]
    absent = [str(part_id) for part_id, journal in enumerate(journals) if not journal.path.is_file()]
    if absent:
        raise ValueError(f"Part {', '.join(absent)} of {num_parts} is missing in {output}: run -part_id {absent[0]}.")
    return journals


def common_header(journals: Sequence[Journal], *, paths: Collection[str] = ()) -> dict[str, Any]:
    """Return the header that all parts have; `paths` as in `Journal.go_on`.

    Raises:
        ValueError: if they are of different runs.
    """
    headers = [journal.header() for journal in journals]
    if any(without_links(header, paths) != without_links(headers[0], paths) for header in headers):
        folder = journals[0].path.parent
        raise ValueError(f"The parts in {folder} are of different runs: delete them and run all again.")
    return headers[0]
