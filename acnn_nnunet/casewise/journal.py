"""What a run over cases has done so far: one line per case, appended as it ends, so that nothing computed is lost."""

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from acnn_nnunet.files.safe_writes import WriteError, plain

FOLDER = "parts"
FILES = "part_*_of_*.jsonl"
"""In that folder, as `Journal.of_part` names them."""


@dataclass(frozen=True)
class Journal:
    """The journal of one part of a run, a JSON-lines file: a header, then one line per case.

    Attributes:
        path: the file.
    """

    path: Path

    @classmethod
    def of_part(cls, output: Path, *, num_parts: int, part_id: int) -> "Journal":
        """Return the journal of a part in a run's folder."""
        return cls(Path(output) / FOLDER / f"part_{part_id}_of_{num_parts}.jsonl")

    @property
    def output(self) -> Path:
        """The folder of the run."""
        return self.path.parents[1]

    def refuse_begun(self, *, alone: bool) -> None:
        """Raise ValueError if this part was begun before or, where it has to be `alone`, for any other file."""
        output = self.output
        others = [path for path in (output.iterdir() if output.is_dir() else ()) if path.name != FOLDER]
        if output.is_file() or (alone and others) or self.path.exists():
            raise ValueError(f"{output} exists and is not empty: use --continue, or name another folder with -o.")

    def refuse_foreign(self) -> None:
        """Raise ValueError if the folder holds something, but no run that could go on."""
        if not self.path.parent.is_dir() and self.output.is_dir() and any(self.output.iterdir()):
            raise ValueError(f"{self.output} holds no run to go on with: name another folder with -o.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from writing this journal. The system ends the lock with this process, however that ends.

        Raises:
            ValueError: if another run writes it.
            WriteError: if it cannot be written.
        """
        with self._open("a") as file:
            if not _lock(file):
                raise ValueError(f"Another run is writing to {self.output}: wait for it, or name another folder.")
            yield

    def go_on(
        self,
        header: dict[str, Any],
        *,
        may_change: Collection[str] = (),
        paths: Collection[str] = (),
    ) -> None:
        """Take up the journal of the same run, or start one where there is none or an empty one.

        Args:
            header: of the run as it is asked for now.
            may_change: keys of the header that may differ from before: they change no result.
            paths: keys of files and folders, which are the same under another name.

        Raises:
            ValueError: if the output folder holds a run with another header.
            WriteError: if it cannot be written.
        """
        if not self.path.is_file() or not any(self._lines()):
            self.start(header)
            return
        before = self.header()
        self._refuse_other(before, header, may_change=may_change, paths=paths)
        if header != before:
            self.renew(header)

    def start(self, header: dict[str, Any], *, alone: bool = False, paths: Collection[str] = ()) -> None:
        """Begin with this header and forget what was there.

        Args:
            header: of the run.
            alone: refuse a folder in which a run with another header has done a case.
            paths: keys of files and folders, which are the same under another name.

        Raises:
            ValueError: if the folder holds a run of another command, or, where `alone`, of another header.
            WriteError: if it cannot be written.
        """
        for path in sorted(self.path.parent.glob(FILES)):
            known = next((line for _, line in Journal(path)._lines() if "case" not in line), {})
            if known.get("command") not in (None, header.get("command")):
                raise ValueError(f"{self.output} holds a run of {known['command']}: name another folder with -o.")
            if alone and known and any(entry.get("error") is None for entry in Journal(path).entries()):
                self._refuse_other(Journal(path).header(), header, paths=paths)
        self._write("w", header)

    def _refuse_other(
        self,
        before: dict[str, Any],
        header: dict[str, Any],
        *,
        may_change: Collection[str] = (),
        paths: Collection[str] = (),
    ) -> None:
        known, asked = (_flat(without_links(each, paths)) for each in (before, header))
        changed = [key for key in asked if key not in may_change and asked[key] != known.get(key)]
        if not changed:
            return
        key = changed[0]
        different = f"with another {key} ({_flat(before).get(key)} instead of {_flat(header)[key]})"
        what = "of other cases" if key == "cases" else different
        raise ValueError(f"{self.output} holds a run {what}: name another folder with -o.")

    def renew(self, header: dict[str, Any]) -> None:
        """Replace the header and keep the entries.

        Raises:
            WriteError: if it cannot be written.
        """
        self._write("a", header)

    def append(self, entry: dict[str, Any]) -> None:
        """Add the line of a case and hand it to the system: a kill of this process cannot take it back.

        Raises:
            WriteError: if it cannot be written; what was written before stays readable.
        """
        self._write("a", entry)

    def header(self) -> dict[str, Any]:
        """Return the last header.

        Raises:
            FileNotFoundError: if there is no journal.
            ValueError: if its header cannot be read.
        """
        headers = [line for _, line in self._lines() if "case" not in line]
        if not headers:
            raise ValueError(f"{self.path} has no readable header: delete it and start again.")
        return headers[-1]

    def positions(self) -> dict[str, int]:
        """Return where the last entry of each case begins, in bytes; a line that a kill cut short does not count."""
        return {sys.intern(line["case"]): position for position, line in self._lines() if "case" in line}

    def entries(self) -> Iterator[dict[str, Any]]:
        """Yield the last entry of each case, one at a time: a journal may be larger than the memory."""
        yield from Entries([(self, self.positions())])

    def entries_of(self, cases: Sequence[str]) -> "Entries":
        """Return the last entry of each of these cases.

        Raises:
            ValueError: naming cases that have none.
        """
        positions = self.positions()
        absent = [case for case in cases if case not in positions]
        if absent:
            raise ValueError(f"{self.path} lacks {len(absent)} cases ({absent[0]}, …): finish it with --continue.")
        return Entries([(self, {case: positions[case] for case in cases})])

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        with open(self.path, "rb") as file:
            position = 0
            for line in file:
                begin, position = position, position + len(line)
                with suppress(ValueError):
                    yield begin, json.loads(line)

    def _write(self, mode: str, content: dict[str, Any]) -> None:
        try:
            with self._open(mode) as file:
                # A leading line end keeps the entry apart from a line that a kill cut short.
                file.write(("\n" if mode == "a" else "") + json.dumps(content, default=plain) + "\n")
        except OSError as error:
            raise self._write_error(error) from error

    def _open(self, mode: str) -> IO[str]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return open(self.path, mode, encoding="utf-8")
        except OSError as error:
            raise self._write_error(error) from error

    def _write_error(self, error: OSError) -> WriteError:
        return WriteError(
            f"Could not write {self.path} ({error.strerror}): free some space or fix its permissions, then go on "
            "with --continue."
        )


class Entries:
    """The entries of cases, sorted by case and read from journals one at a time, as often as they are iterated over."""

    def __init__(self, sources: Sequence[tuple[Journal, Mapping[str, int]]]) -> None:
        self._journals = [journal for journal, _ in sources]
        self._places = sorted(
            (case, number, position)
            for number, (_, positions) in enumerate(sources)
            for case, position in positions.items()
        )

    @classmethod
    def joined(cls, parts: Sequence["Entries"]) -> "Entries":
        """Return the entries of all parts."""
        whole = cls([])
        for part in parts:
            whole._places += [(case, number + len(whole._journals), at) for case, number, at in part._places]
            whole._journals += part._journals
        whole._places.sort()
        return whole

    def in_order(self, order: Sequence[int]) -> "Entries":
        """Return the same entries in the order of their places here, some of them or all."""
        ordered = Entries([])
        ordered._journals, ordered._places = self._journals, [self._places[place] for place in order]
        return ordered

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with ExitStack() as files:
            opened = [files.enter_context(open(journal.path, "rb")) for journal in self._journals]
            for _, number, position in self._places:
                opened[number].seek(position)
                yield json.loads(opened[number].readline())


def cases_of_part(cases: Sequence[str], *, num_parts: int, part_id: int) -> list[str]:
    """Return the cases of one part: every `num_parts`-th, so that parts are of like size."""
    return list(cases[part_id::num_parts])


def _flat(header: dict[str, Any]) -> dict[str, Any]:
    """Return a header with the command's options by their own names."""
    return {**{key: value for key, value in header.items() if key != "options"}, **header.get("options", {})}


def _lock(file: IO[str]) -> bool:
    """Lock a file for this process, and return whether that went well; where the system has no locks, it does."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def without_links(header: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """Return a header with its paths as they are without links: a folder is the same by any of its names."""
    found = {key: str(Path(header[key]).resolve()) for key in paths if header.get(key) is not None}
    return {**header, **found}
