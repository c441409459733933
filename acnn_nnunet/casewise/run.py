"""One thing done to each file of a folder: a file that is not good enough is named at the end, the others are done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm


@dataclass(frozen=True)
class FolderOutcome:
    """What a command has to say, and whether every file could be done."""

    text: str
    complete: bool = True


def work_through(
    work: Mapping[str, Callable[[], None]], output: Path, *, done_before: int = 0, problems: tuple[str, ...] = ()
) -> FolderOutcome:
    """Do the work of each file or case, with a progress bar.

    Args:
        work: by name; what raises ValueError or FileNotFoundError is reported, any other error ends it all.
        output: the folder written to.
        done_before: how many are there already.
        problems: sentences about cases that there is no work for.
    """
    sentences = list(problems)
    with tqdm(total=len(work) + done_before, initial=done_before, unit="image", disable=None) as bar:
        for name, do in work.items():
            bar.set_postfix_str(name)
            try:
                do()
            except (ValueError, FileNotFoundError) as error:
                sentences.append(str(error))
            bar.update()
    done = len(work) - (len(sentences) - len(problems))
    kept = f"; {done_before} were there already" if done_before else ""
    text = f"{output}: {done} of {len(work) + len(problems)} done{kept}"
    return FolderOutcome("\n".join([text, *sentences]), complete=not sentences)
