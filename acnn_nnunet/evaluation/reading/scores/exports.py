"""What readers exported: read, checked against the study's key and against changes by hand."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.work import Excluded
from acnn_nnunet.evaluation.reading.study.key import COMMAND, StudyKey

LOWEST, HIGHEST = 1, 5


@dataclass(frozen=True)
class Export:
    """The ratings of one reader.

    Attributes:
        path: the file.
        reader: name or code.
        ratings: of each item in the study's order, 1 to 5; None where there is none yet.
    """

    path: Path
    reader: str
    ratings: tuple[int | None, ...]

    @property
    def num_missing(self) -> int:
        """Items without a rating."""
        return sum(rating is None for rating in self.ratings)


def read_export(path: Path, key: StudyKey) -> Export:
    """Read a file that a reader exported.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is no export, of another study, or was changed since it was exported.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no {path}: readers save their ratings with the study's export button.")
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        study, reader, digest = (str(content[name]) for name in ("study", "reader", "digest"))
        ratings = tuple(content["ratings"])
        if content["kind"] != COMMAND:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no export of a reader study: a reader saves it with the export button.") from None
    if study != key.study:
        raise ValueError(f"{path} belongs to another study ({study[:8]}…) than the key ({key.study[:8]}…).")
    if digest != export_digest(study, reader, ratings) or not _complete(ratings, key):
        raise ValueError(
            f"{path} was changed since it was exported: its digest is another one. Ask {reader!r} to export again."
        )
    return Export(Path(path), reader, ratings)


def collect_exports(paths: Sequence[Path], key: StudyKey) -> tuple[list[Export], list[Excluded]]:
    """Return one finished export for each reader, sorted by reader, and the files that are left out, with the reason.

    Raises:
        FileNotFoundError, ValueError: as `read_export` does; if two exports of a reader differ, or none is finished.
    """
    kept: dict[str, Export] = {}
    excluded = []
    for export in (read_export(path, key) for path in paths):
        first = kept.get(export.reader)
        if export.num_missing:
            reason = f"{export.path}: {export.num_missing} of {len(export.ratings)} items are not rated yet"
            excluded.append(Excluded(export.reader, reason))
        elif first is None:
            kept[export.reader] = export
        elif first.ratings == export.ratings:
            excluded.append(Excluded(export.reader, f"{export.path}: the same ratings as in {first.path}"))
        else:
            raise ValueError(
                f"{first.path} and {export.path} are both from {export.reader!r} and differ: give the one that counts."
            )
    if not kept:
        raise ValueError(f"No reader has rated every item: {'; '.join(each.reason for each in excluded)}.")
    return [kept[reader] for reader in sorted(kept)], excluded


def export_digest(study: str, reader: str, ratings: Sequence[Any]) -> str:
    """Return the digest that the page puts into an export (`templates/reader_study.js`)."""
    words = ",".join("" if rating is None else str(rating) for rating in ratings)
    return hashlib.sha256(f"{study}\n{reader}\n{words}".encode()).hexdigest()


def _complete(ratings: Sequence[Any], key: StudyKey) -> bool:
    given = [rating for rating in ratings if rating is not None]
    valid = all(type(rating) is int and LOWEST <= rating <= HIGHEST for rating in given)
    return valid and len(ratings) == len(key.items)
