"""Text and JSON files: read as users edit them; written beside and renamed, to survive a full disk and a kill."""

import codecs
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

_PARTIAL, _PROBE = ".partial", ".writable_"
_DRIVE = re.compile(r"[A-Za-z]:")


class WriteError(OSError):
    """A result cannot be written: the disk is full, or there is no permission."""


def replace_atomically(path: str | os.PathLike[str], write: Callable[[str], None]) -> None:
    """Let `write` make a file beside `path` and rename it into place; on failure `path` stays as it was.

    Raises:
        WriteError: naming the path, if it cannot be written (disk full, no permission).
    """
    path = os.fspath(path)
    partial = f"{path}{_PARTIAL}"
    try:
        write(partial)
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        with contextlib.suppress(OSError):
            os.remove(partial)
        kept = " The previous file is kept." if os.path.isfile(path) else ""
        reason = " ".join(str(error).split())
        raise WriteError(f"Could not write {path} ({reason}): free some space or fix its permissions.{kept}") from error


def read_text(path: Path) -> str:
    """Return a text that a user edits: UTF-8, or UTF-16 with a byte-order mark, as spreadsheets and Windows write it.

    Raises:
        UnicodeDecodeError: if it is no text file.
    """
    content = Path(path).read_bytes()
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if is_utf16 else "utf-8-sig")


def write_text(path: str | os.PathLike[str], content: str) -> None:
    """Write a text file (UTF-8, line ends as given) atomically.

    Raises:
        OSError: if it cannot be written.
    """
    replace_atomically(path, lambda partial: _dump(partial, content))


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a JSON file atomically; NumPy scalars and arrays become plain numbers and lists.

    Raises:
        OSError: if it cannot be written.
    """
    write_text(path, json.dumps(plain(content), indent=2) + "\n")


def write_json_rows(path: str | os.PathLike[str], content: dict[str, Any], rows: dict[str, Iterable[Any]]) -> None:
    """Write a JSON object as `write_json` does, its long lists one item at a time, each on a line of its own.

    Args:
        path: file to write.
        content: the object; where it has a key of `rows`, those take the place of its value.
        rows: long lists by key; they are iterated over once.

    Raises:
        OSError: if it cannot be written.
    """

    def write(partial: str) -> None:
        with open(partial, "w", encoding="utf-8", newline="") as file:
            for number, (key, value) in enumerate(content.items()):
                file.write(f"{',' if number else '{'}\n  {json.dumps(key)}: ")
                file.writelines(_json_list(rows[key]) if key in rows else [_indented(value)])
            file.write("\n}\n")

    replace_atomically(path, write)


def names_in(folder: Path) -> list[str]:
    """Return the sorted names in a folder, if there is one, without the files that a killed run did not finish."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [name for name in names if not name.endswith(_PARTIAL) and not name.startswith(_PROBE)]


def refuse_file(folder: Path) -> None:
    """Raise ValueError if what is to be a folder is a file: to be called before anything is computed."""
    if Path(folder).is_file():
        raise ValueError(f"{folder} is a file: name a folder with -o.")


def make_output_folder(folder: Path, *, source: Path | None = None) -> None:
    """Make the folder that results go to, and see that files can be written there.

    Raises:
        ValueError: if it is the folder that is read from.
        OSError: if it cannot be made or written to.
    """
    if source is not None and folder.resolve() == source.resolve():
        raise ValueError(f"{folder} is the folder that is read from: choose another one with -o.")
    probe = folder / f"{_PROBE}{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{folder} cannot be written to ({reason}): choose another folder with -o.") from error


def check_names(names: Iterable[str], *, where: object) -> None:
    """Refuse names that lead out of a folder: absolute ones, those with `..`, and those that do so on Windows.

    A name may have folders in front, such as training/patient001.

    Args:
        names: of cases or files.
        where: the file or folder that they come from, for the message.

    Raises:
        ValueError: naming the first of them.
    """
    for name in names:
        if not _stays_inside(str(name)):
            raise ValueError(
                f"{where} names {str(name)!r}, which would lead out of the output folder: rename it, without '..', "
                "backslash, drive or '/' in front."
            )


def plain(value: Any) -> Any:
    """Return the value with NumPy scalars and arrays replaced by plain ones, in dicts, lists and tuples too."""
    import numpy as np  # not above: workers start before this process has loaded it

    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return False
    return not ("\\" in name or "\0" in name or _DRIVE.match(name))


def _json_list(rows: Iterable[Any]) -> Iterator[str]:
    number = -1
    for number, row in enumerate(rows):
        yield f"{',' if number else '['}\n    {json.dumps(row, default=plain)}"  # without indent, C writes it
    yield "[]" if number < 0 else "\n  ]"


def _indented(value: Any) -> str:
    return json.dumps(plain(value), indent=2).replace("\n", "\n  ")  # strings hold no line ends in JSON


def _dump(path: str, content: str) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(content)
