"""One thing done to every case: a case that cannot be done is named at the end, the others are done."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from acnn_nnunet.casewise.cluster import on_cluster
from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.processes import in_processes
from acnn_nnunet.casewise.work import Item, Outcome, Result, Value, attempt, excluded_of


def work_through(
    work: Callable[[Item], Value],
    cases: Mapping[str, Item],
    *,
    execution: Execution = HERE,
    num_done: int = 0,
    unit: str = "case",
    description: str | None = None,
    place: str = "",
    must_see: Sequence[Path] = (),
) -> Iterator[Result[Value]]:
    """Do the work of each case, with a progress bar, and yield the results as they come.

    Args:
        work: of a case; elsewhere than in this process it is pickled, and holds a `PerWorker` where it needs a model.
        cases: items by name.
        execution: where the cases are done; this process by default. Its parts are none of our business here.
        num_done: cases that were done before.
        unit: of the progress bar.
        description: in front of the progress bar.
        place: where the results go, as `on_cluster` takes it.
        must_see: files that every worker of a cluster has to see.

    Raises:
        WriteError: if a result cannot be written.
        SetUpError: if what every case needs cannot be loaded.
        ClusterError: if the cluster cannot do the work, or goes away.
    """
    with tqdm(total=len(cases) + num_done, initial=num_done, unit=unit, desc=description, disable=None) as bar:
        if execution.scheduler is not None:
            results = on_cluster(work, cases, scheduler=execution.scheduler, place=place, must_see=must_see)
        elif execution.uses_processes and len(cases) > 1:
            results = in_processes(work, cases, num_processes=execution.num_processes)
        else:
            results = _in_this_process(work, cases, bar)
        for result in results:
            yield result
            bar.update()


def run(work: Callable[[Item], Value], cases: Mapping[str, Item], **options: Any) -> list[Result[Value]]:
    """Do the work of each case and return the results in the order of the cases; options as in `work_through`."""
    results = {result.case: result for result in work_through(work, cases, **options)}
    return [results[case] for case in cases]


def outcome_of(results: Sequence[Result[Any]], output: Path) -> Outcome:
    """Return the outcome of a command that writes a file for each case: how many are done, and why not the others."""
    failed = excluded_of(results)
    text = f"{output}: {len(results) - len(failed)} of {len(results)} done"
    return Outcome("\n".join([text, *(each.reason for each in failed)]), excluded=failed)


def _in_this_process(
    work: Callable[[Item], Value], cases: Mapping[str, Item], bar: "tqdm[Any]"
) -> Iterator[Result[Value]]:
    for case, item in cases.items():
        bar.set_postfix_str(case)
        yield attempt(work, case, item)
