"""`acnn-nnunet refine`: a second stage on the label maps of a first one."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from acnn_nnunet.casewise.run import outcome_of, run
from acnn_nnunet.casewise.work import Outcome, PerWorker
from acnn_nnunet.files.folders import find_images
from acnn_nnunet.files.safe_writes import make_output_folder
from acnn_nnunet.nnunet.models import find_trainer_class, trained_bundle
from acnn_nnunet.refinement.second_stage import Refiner

LABEL_MAPS_ATTRIBUTE = "takes_label_maps"
"""A trainer class whose network takes label maps says so with this attribute, True."""


@dataclass(frozen=True)
class RefineOptions:
    """The second stage to take.

    Attributes:
        dataset: id or name.
        configuration: its name.
        trainer: AESegTrainer or AESegMTrainer.
        fold: its number, or "all".
        plans_identifier: as in training.
        checkpoint_name: of the fold.
        device: cpu, cuda or mps.
    """

    dataset: str
    configuration: str
    trainer: str = "AESegTrainer"
    fold: int | str = 0
    plans_identifier: str = "nnUNetPlans"
    checkpoint_name: str = "checkpoint_final.pth"
    device: str = "cpu"


def refine(source: Path, output: Path, options: RefineOptions) -> Outcome:
    """Write the corrected label map of each file of a folder under the same name; errors as the two steps below."""
    return refine_folder(source, output, PerWorker(partial(load_refiner, options)))


def refine_folder(source: Path, output: Path, refiner: PerWorker[Refiner]) -> Outcome:
    """Write the corrected label map of each file of a folder under the same name.

    Args:
        source: folder of label maps.
        output: folder to write; not the source.
        refiner: corrects them.

    Raises:
        FileNotFoundError: if there is nothing to read.
        ValueError: if source and output are one.
        OSError: if the output cannot be written.
    """
    source, output, ending = Path(source), Path(output), refiner().bundle.file_ending
    files = find_images(source, (ending,), may_be_none=True) if source.is_dir() else {}
    if not files:
        raise FileNotFoundError(f"{source} holds no label map *{ending}: name a folder of predictions with -i.")
    make_output_folder(output, source=source)
    cases = {case: (file, output / file.name) for case, file in files.items()}
    return outcome_of(run(partial(_refine_file, refiner), cases), output)


def load_refiner(options: RefineOptions) -> Refiner:
    """Load a second stage from nnUNet_results.

    Raises:
        FileNotFoundError: if it was not trained; names the command.
        ValueError: if there is no such dataset, trainer or device, the trainer's network takes images, or a checkpoint
            cannot be used.
    """
    if not getattr(find_trainer_class(options.trainer), LABEL_MAPS_ATTRIBUTE, False):
        raise ValueError(
            f"The network of {options.trainer} takes images: refine with -tr AESegTrainer or AESegMTrainer."
        )
    bundle, _ = trained_bundle(
        options.dataset,
        options.configuration,
        trainer=options.trainer,
        plans_identifier=options.plans_identifier,
        folds=[options.fold],
        checkpoint_name=options.checkpoint_name,
        device=options.device,
    )
    return Refiner(bundle, options.device)


def _refine_file(refiner: PerWorker[Refiner], files: tuple[Path, Path]) -> None:
    refiner().refine_file(*files)
