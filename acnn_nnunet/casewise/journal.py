"""What an evaluation has done so far: one line a case, appended as it ends, so that nothing computed is lost."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.files.safe_writes import plain

FOLDER = "parts"


@dataclass(frozen=True)
class Journal:
    """The journal of one part of an evaluation, a JSON-lines file: a header, then a line a case.

    Attributes:
        path: the file.
    """

    path: Path

    @classmethod
    def of_part(cls, output: Path, *, num_parts: int, part_id: int) -> "Journal":
        """Return the journal of a part in an evaluation's folder."""
        return cls(Path(output) / FOLDER / f"part_{part_id}_of_{num_parts}.jsonl")

    def start(self, header: dict[str, Any]) -> None:
        """Begin anew with this header.

        Raises:
            OSError: if it cannot be written.
        """
        self._write("w", header)

    def renew(self, header: dict[str, Any]) -> None:
        """Replace the header and keep the entries.

        Raises:
            OSError: if it cannot be written.
        """
        self._write("a", header)

    def append(self, entry: dict[str, Any]) -> None:
        """Add the line of a case and hand it to the system: a kill of this process cannot take it back.

        Raises:
            OSError: if it cannot be written; what was written before stays readable.
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
            raise OSError(
                f"Could not write {self.path} ({error.strerror}): free some space or fix its permissions, then go on "
                "with --continue."
            ) from error
