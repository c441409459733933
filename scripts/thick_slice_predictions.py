"""How each arm of the thick-slice study comes to HR label maps or images of the test's stacks."""

from pathlib import Path
from typing import TYPE_CHECKING

from thick_slice_arms import ARMS, FOLD, HR_ID, PRIOR, TRAININGS, Arm, Training

if TYPE_CHECKING:
    from study_thick_slices import Workplace

_NNUNET = "-device cpu -npp 0 -nps 0 --disable_tta"  # no workers, which take longer to start than a stack takes


def predict(place: "Workplace", arm: Arm, seed: int, test: str, output: Path) -> Path:
    """Return the folder with the predictions of one arm, on the padded HR grid.

    Args:
        place: of the study.
        arm: to predict with, trained.
        seed: of its training.
        test: "motion" or "still".
        output: folder to write to.
    """
    stacks, linear = place.test / test / "stacks", place.test / test / "linear"
    if arm.kind == "interpolation":
        source = stacks if arm.image else place.test / "stack_labels"
        place.interpolate(source, output, arm.method, labels=not arm.image)
        return output
    if arm.kind == "decoded":
        place.trained_prior()
        flags = _model_flags(Training(HR_ID, PRIOR, "ShapePriorTrainer"), f"{PRIOR}_all")
        place.command(f"nnUNetv2_predict {flags} -i {linear} -o {output} {_NNUNET}")
        return output
    assert arm.training is not None
    flags = _model_flags(TRAININGS[arm.training], place.configuration_of(arm.training, seed))
    if arm.kind == "stack":
        place.command(f"acnn-nnunet predict-hr {flags} -i {stacks} -o {output} -device cpu --disable_tta")
    elif arm.kind == "interpolated":
        place.command(f"nnUNetv2_predict {flags} -i {linear} -o {output} {_NNUNET}")
    elif arm.kind == "slices":
        place.command(f"nnUNetv2_predict {flags} -i {stacks} -o {output}_stacks {_NNUNET}")
        place.interpolate(Path(f"{output}_stacks"), output, arm.method, labels=True)
    else:
        assert arm.source is not None
        if (training := ARMS[arm.source].training) is not None:
            place.trained(training, seed)
        source = place.predict(arm.source, seed, test)
        program = "nnUNetv2_predict" if arm.kind == "reconstructed" else "acnn-nnunet refine"
        options = _NNUNET if arm.kind == "reconstructed" else "-device cpu"
        place.command(f"{program} {flags} -i {source} -o {output} {options}")
    return output


def _model_flags(training: Training, configuration: str) -> str:
    """Return the flags that name a trained model to nnUNetv2_predict, predict-hr and refine."""
    return f"-d {training.dataset_id} -c {configuration} -f {FOLD} -tr {training.trainer}"
