"""What a run over cases has done so far: one line per case, appended as it ends, so that nothing computed is lost."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.files.safe_writes import WriteError, plain

FOLDER = "parts"


@dataclass(frozen=True)
class Journal:
    """The journal of one part of an evaluation, a JSON-lines file: a header, then one line per case.

    Attributes:
        path: the file.
    """

    path: Path

    @classmethod
    def of_part(cls, output: Path, *, num_parts: int, part_id: int) -> "Journal":
        """Return the journal of a part in an evaluation's folder."""
        return cls(Path(output) / FOLDER / f"part_{part_id}_of_{num_parts}.jsonl")

    @property
    def output(self) -> Path:
        """The folder of the evaluation."""
        return self.path.parents[1]

    def begin(self, header: dict[str, Any]) -> None:
        """Start the journal of a new evaluation.

        Raises:
            ValueError: if the output folder holds something other than parts, or this part.
            WriteError: if it cannot be written.
        """
        output = self.output
        others = [path for path in (output.iterdir() if output.is_dir() else ()) if path.name != FOLDER]
        if output.is_file() or others or self.path.exists():
            raise ValueError(f"{output} exists and is not empty: use --continue, or name another folder with -o.")
        self.start(header)

    def go_on(self, header: dict[str, Any], *, may_change: Collection[str], paths: Collection[str] = ()) -> None:
        """Take up the journal of the same evaluation, or start one where there is none or an empty one.

        Args:
            header: of the evaluation as it is asked for now.
            may_change: keys of the header that may differ from before: they change no result.
            paths: keys of files and folders, which are the same under another name.

        Raises:
            ValueError: if the output folder holds something else, or an evaluation with another header.
            WriteError: if it cannot be written.
        """
        output = self.output
        if not self.path.is_file() or not any(self._lines()):
            if output.is_dir() and any(output.iterdir()) and not self.path.parent.is_dir():
                raise ValueError(f"{output} holds no evaluation to go on with: name another folder with -o.")
            self.start(header)
            return
        before = self.read()[0]
        known, asked = without_links(before, paths), without_links(header, paths)
        changed = [key for key in header if key not in may_change and asked[key] != known.get(key)]
        if changed:
            raise ValueError(
                f"{output} holds an evaluation with another {changed[0]} ({before.get(changed[0])} instead of "
                f"{header[changed[0]]}): name another folder with -o."
            )
        if header != before:
            self.renew(header)

    def start(self, header: dict[str, Any]) -> None:
        """Begin with this header and forget what was there.

        Raises:
            WriteError: if it cannot be written.
        """
        self._write("w", header)

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

    def read(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the last header and the entries; a line that a kill cut short does not count.

        Raises:
            FileNotFoundError: if there is no journal.
            ValueError: if its header cannot be read.
        """
        lines = list(self._lines())
        headers = [line for line in lines if "case" not in line]
        if not headers:
            raise ValueError(f"{self.path} has no readable header: delete it and evaluate again.")
        return headers[-1], [line for line in lines if "case" in line]

    def latest(self) -> dict[str, dict[str, Any]]:
        """Return the last entry of each case."""
        return {entry["case"]: entry for entry in self.read()[1]}

    def entries_of(self, cases: Sequence[str]) -> list[dict[str, Any]]:
        """Return the last entry of each of these cases.

        Raises:
            ValueError: naming cases that have none.
        """
        entries = self.latest()
        absent = [case for case in cases if case not in entries]
        if absent:
            raise ValueError(f"{self.path} lacks {len(absent)} cases ({absent[0]}, …): finish it with --continue.")
        return [entries[case] for case in cases]

    def _lines(self) -> Iterator[dict[str, Any]]:
        for line in self.path.read_bytes().split(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def _write(self, mode: str, content: dict[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, mode, encoding="utf-8") as file:
                # A leading line end keeps the entry apart from a line that a kill cut short.
                file.write(("\n" if mode == "a" else "") + json.dumps(plain(content)) + "\n")
        except OSError as error:
            raise WriteError(
                f"Could not write {self.path} ({error.strerror}): free some space or fix its permissions, then go on "
                "with --continue."
            ) from error


def cases_of_part(cases: Sequence[str], *, num_parts: int, part_id: int) -> list[str]:
    """Return the cases of one part: every `num_parts`-th, so that parts are of like size."""
    return list(cases[part_id::num_parts])


def find_parts(output: Path) -> list[Journal]:
    """Return the journals of all parts of an evaluation, in order.

    Raises:
        FileNotFoundError: if there are none.
        ValueError: naming the parts that are missing or of another evaluation.
    """
    files = sorted((Path(output) / FOLDER).glob("part_*_of_*.jsonl"))
    if not files:
        raise FileNotFoundError(f"{output} holds no parts: `evaluate … -num_parts N -part_id I` writes them.")
    totals = {int(path.stem.rsplit("_", 1)[1]) for path in files}
    if len(totals) > 1:
        folder = Path(output) / FOLDER
        raise ValueError(f"{folder} holds parts of {sorted(totals)}: delete those of the other evaluation.")
    num_parts = totals.pop()
    journals = [Journal.of_part(output, num_parts=num_parts, part_id=part_id) for part_id in range(num_parts)]
    absent = [str(part_id) for part_id, journal in enumerate(journals) if not journal.path.is_file()]
    if absent:
        raise ValueError(f"Part {', '.join(absent)} of {num_parts} is missing in {output}: run -part_id {absent[0]}.")
    return journals


def common_header(journals: Sequence[Journal], *, paths: Collection[str] = ()) -> dict[str, Any]:
    """Return the header that all parts have; `paths` as in `Journal.go_on`.

    Raises:
        ValueError: if they are of different evaluations.
    """
    headers = [journal.read()[0] for journal in journals]
    if any(without_links(header, paths) != without_links(headers[0], paths) for header in headers):
        folder = journals[0].path.parent
        raise ValueError(f"The parts in {folder} are of different evaluations: delete them and run all again.")
    return headers[0]


def without_links(header: dict[str, Any], paths: Collection[str]) -> dict[str, Any]:
    """Return a header with its paths as they are without links: a folder is the same by any of its names."""
    found = {key: str(Path(header[key]).resolve()) for key in paths if header.get(key) is not None}
    return {**header, **found}
