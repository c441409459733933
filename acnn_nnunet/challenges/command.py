"""`acnn-nnunet convert` and `acnn-nnunet submit`: a challenge's data in, its submission out."""

from pathlib import Path

from acnn_nnunet.casewise.execution import HERE, Execution
from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.challenges.acdc import ACDC
from acnn_nnunet.challenges.acdc_splits import SPLITS
from acnn_nnunet.challenges.cetus import CETUS
from acnn_nnunet.challenges.conversion import convert_challenge
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
    split = None if splits is None else SPLITS[splits]()
    return convert_challenge(CHALLENGES[challenge], source, dataset_id, split=split, execution=execution)


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
