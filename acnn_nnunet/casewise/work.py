"""What is done to one case, what comes of it, and what a command has to say about all of them."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from acnn_nnunet.files.safe_writes import WriteError

Item = TypeVar("Item")
Value = TypeVar("Value")
_loading = threading.RLock()  # what is loaded may load another


@dataclass(frozen=True)
class Result(Generic[Value]):
    """What came of one case.

    Attributes:
        case: its name.
        value: what the work returned; None where it failed.
        error: why the case is left out, in one sentence; None where it was done.
    """

    case: str
    value: Value | None = None
    error: str | None = None


@dataclass(frozen=True)
class Excluded:
    """A case that was left out, and why."""

    case: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What a command has to say.

    Attributes:
        text: to be printed.
        excluded: the cases that were left out.
    """

    text: str
    excluded: tuple[Excluded, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every case was done."""
        return not self.excluded

    @property
    def exit_code(self) -> int:
        """The command's exit code."""
        return 0 if self.complete else 1


class PerWorker(Generic[Value]):
    """Something that each process loads once for itself, such as a model.

    This process loads it at once: errors come before the work. Work that holds one can be sent to another process, and
    only the way to load it travels.
    """

    def __init__(self, load: Callable[[], Value]) -> None:
        self._load = load
        self._loaded = [load()]

    def __call__(self) -> Value:
        """Return it.

        Raises:
            SetUpError: if another process cannot load it.
        """
        with _loading:  # a worker may have several threads
            if not self._loaded:
                try:
                    self._loaded.append(self._load())
                except (ValueError, OSError, RuntimeError, MemoryError) as error:
                    raise SetUpError(reason_of(error)) from error
            return self._loaded[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"_load": self._load, "_loaded": []}


class SetUpError(RuntimeError):
    """What every case needs cannot be loaded: no case can be done."""


def attempt(work: Callable[[Item], Value], case: str, item: Item) -> Result[Value]:
    """Do the work of a case; a file that cannot be used costs this case only.

    Raises:
        WriteError: if a result cannot be written: what follows could not be kept either.
        SetUpError: if what every case needs cannot be loaded.
    """
    try:
        return Result(case, work(item))
    except (WriteError, SetUpError):
        raise
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        return Result(case, error=reason_of(error))


def reason_of(error: BaseException) -> str:
    """Return what an error says, on one line."""
    if isinstance(error, MemoryError):
        return "not enough memory: use a smaller -np"
    return " ".join(str(error).split()) or type(error).__name__


def excluded_of(results: Iterable[Result[Any]]) -> tuple[Excluded, ...]:
    """Return the cases that were left out."""
    return tuple(Excluded(result.case, result.error) for result in results if result.error is not None)
