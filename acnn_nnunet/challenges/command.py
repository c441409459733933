"""`acnn-nnunet convert` and `acnn-nnunet submit`: a challenge's data in, its submission out."""

from pathlib import Path

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.parts import joined_parts
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.challenges.acdc import ACDC
from acnn_nnunet.challenges.cetus import CETUS
from acnn_nnunet.challenges.conversion import convert_challenge, finish_dataset
from acnn_nnunet.challenges.staging import PATHS
from acnn_nnunet.challenges.submission import find_dataset, write_submission

CHALLENGES = {"acdc": ACDC, "cetus": CETUS}


def convert(
    challenge: str, source: Path, dataset_id: int, *, splits: str | None = None, execution: Execution = HERE
) -> Outcome:
    """Make the raw dataset of a challenge's folder as it is unpacked; `convert_challenge` tells what is raised.

    Args:
        challenge: "acdc" or "cetus".
        source: the folder.
        dataset_id: of the new dataset.
        splits: name of a published split of ACDC; None for our own folds.
        execution: where the patients are converted.

    Raises:
        ValueError: also for a split of another challenge.
    """
    if splits is not None and challenge != "acdc":
        raise ValueError(f"--splits {splits} is a split of ACDC: leave it out for {challenge}.")
    return convert_challenge(CHALLENGES[challenge], source, dataset_id, split=splits, execution=execution)


def merge_parts(output: Path) -> Outcome:
    """Make the raw dataset of patients that were converted in parts.

    Args:
        output: the folder that the parts name, `.Dataset027_ACDC.partial` and the like.

    Raises:
        FileNotFoundError: if it holds no parts.
        ValueError: naming the parts that are missing, unfinished or of another run, or what is wrong with the patients.
            All that was converted is kept, unless no two patients can be used.
        FileExistsError: if the dataset exists.
    """
    header, entries = joined_parts(output, paths=PATHS)
    target = Path(output).with_name(header["dataset"])
    if target.exists():
        raise FileExistsError(f"{target} exists: delete it, and merge again.")
    challenge = next(each for each in CHALLENGES.values() if each.name == header["challenge"])
    return finish_dataset(challenge, Path(header["source"]), header, entries, target)


def submit(challenge: str, predictions: Path, output: Path, *, dataset: str | None = None) -> str:
    """Check predictions of a challenge's test cases and zip them as its platform takes them, and return a summary.

    Args:
        challenge: "acdc" or "cetus".
        predictions: folder of nnUNetv2_predict for the imagesTs of the converted dataset.
        output: the zip.
        dataset: id or name of that dataset; None for the only one that is called like the challenge.

    Raises:
        FileNotFoundError, ValueError, OSError: as `find_dataset` and `write_submission` do.
    """
    kind = CHALLENGES[challenge]
    return write_submission(kind, find_dataset(kind.name, dataset), predictions, output)
