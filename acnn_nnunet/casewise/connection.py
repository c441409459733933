"""The way to a Dask scheduler: reach it, and see that its workers can do our work before any case is sent."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acnn_nnunet.casewise.execution import Scheduler

_SECONDS_TO_CONNECT = 10
_PACKAGE = "acnn_nnunet"
_ALIKE = ("python", "distributed", _PACKAGE)
"""What must be of one version everywhere: pickles and results would differ."""


class ClusterError(RuntimeError):
    """The scheduler or its workers cannot do the work; what is done already is kept."""


@contextmanager
def connected(scheduler: Scheduler) -> Iterator[Any]:
    """Give a client of the scheduler.

    Raises:
        ClusterError: if it is not there, speaks another version, or a worker lacks this package.
        ValueError: without Dask, or for an address that is refused.
    """
    try:
        from distributed import Client
        from distributed.security import Security
    except ImportError as error:
        raise ValueError(f"--scheduler needs {error.name}: pip install 'acnn-nnunet[cluster]'.") from None
    address = _address_of(scheduler)
    security = None
    if scheduler.has_tls:
        security = Security(
            require_encryption=True,
            tls_ca_file=str(scheduler.tls_ca_file),
            tls_client_cert=str(scheduler.tls_cert),
            tls_client_key=str(scheduler.tls_key),
        )
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we say it in one sentence
    try:
        client = Client(address, timeout=_SECONDS_TO_CONNECT, security=security, set_as_default=False)
    except (OSError, TimeoutError, ValueError, RuntimeError, ImportError) as error:
        raise ClusterError(
            f"No Dask scheduler answers at {address} ({_first_line(error)}): start one with `dask scheduler`, of "
            f"this version of Dask and with the same certificates, or leave out --scheduler."
        ) from error
    try:
        check_versions(client)
        yield client
    finally:
        client.close(timeout=2)


def check_versions(client: Any) -> None:
    """Raise ClusterError if the scheduler or a worker runs another Python, Dask or version of this package."""
    found = client.get_versions(packages=[_PACKAGE])
    ours = found["client"]["packages"]
    everyone = {"the scheduler": found["scheduler"], **found["workers"]}
    for who, versions in everyone.items():
        for package in _ALIKE:
            theirs = versions["packages"].get(package)
            if package == _PACKAGE and who == "the scheduler":
                continue  # it hands our work on and never opens it
            if _digits(theirs) != _digits(ours.get(package)):
                name = who if who == "the scheduler" else f"the worker {who}"
                has = f"has {package} {theirs}" if theirs else f"has no {package}"
                raise ClusterError(
                    f"{name} {has}, this machine {ours.get(package)}: install the same versions everywhere."
                )


def check_files(client: Any, files: Sequence[Path]) -> None:
    """Raise ClusterError, naming worker and file, if a worker that is there now does not see one of these files."""
    here = [str(path) for path in files if Path(path).exists()]
    for worker, absent in ask_workers(client, _absent, here).items() if here else ():
        if absent:
            raise ClusterError(f"the worker {worker} does not see {absent[0]}: mount the folder there under this path.")


def ask_workers(client: Any, question: Callable[..., Any], *words: Any) -> dict[str, Any]:
    """Return what each worker that is there now answers; one that dies meanwhile has no answer.

    Raises:
        ClusterError: naming the worker that cannot open our question: a library is missing there.
    """
    answers = client.run(question, *words, on_error="return")
    for worker, answer in answers.items():
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise ClusterError(
                f"the worker {worker} cannot open the work ({_first_line(answer)}): install acnn-nnunet there, with "
                "all that it needs."
            ) from answer
    return {worker: answer for worker, answer in answers.items() if not isinstance(answer, OSError)}


def _absent(files: list[str]) -> list[str]:
    return [path for path in files if not Path(path).exists()]


def _address_of(scheduler: Scheduler) -> str:
    if not scheduler.address.endswith(".json"):
        return scheduler.address
    try:
        address = str(json.loads(Path(scheduler.address).read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"--scheduler {scheduler.address} is no scheduler file of Dask ({error}).") from None
    scheduler.check(address)
    return address


def _digits(version: str | None) -> str | None:
    """Return a version; of Python's, major and minor."""
    return None if version is None else ".".join(version.split(".")[:2]) if ".final" in version else version


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
