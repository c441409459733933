"""How each arm of the thick-slice study comes to HR label maps or images of the test's stacks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.studies.label_shares import log_shares
from scripts.studies.thick_slices.adjustment import write_adjusted_model
from scripts.studies.thick_slices.arms import ARMS, FOLD, HR_ID, PRIOR, TRAININGS, Arm, Training
from scripts.studies.thick_slices.images import TESTS, sample_folder

if TYPE_CHECKING:
    from scripts.studies.thick_slices.workplace import Workplace


def predict(place: "Workplace", arm: Arm, seed: int, test: str, output: Path) -> Path:
    """Return the folder with the predictions of one arm, on the padded HR grid.

    Args:
        place: of the study.
        arm: to predict with, trained.
        seed: of its training.
        test: a set of stacks.
        output: folder to write to.
    """
    stacks, linear = place.test / test / "stacks", place.test / test / "linear"
    if arm.kind == "interpolation":
        source = stacks if arm.image else place.stack_labels(test)
        place.interpolate(source, output, arm.method, labels=not arm.image)
        return output
    if arm.kind == "decoded":
        place.trained_prior("all")
        _predict_as_host(place, Training(HR_ID, PRIOR, "ShapePriorTrainer"), f"{PRIOR}_all", linear, output)
        return output
    assert arm.training is not None
    training, configuration = TRAININGS[arm.training], place.configuration_of(arm.training, seed)
    if arm.kind == "adjusted":
        assert arm.source is not None
        configuration, arm = _adjusted(place, training, configuration), ARMS[arm.source]
    model = f"-d {training.dataset_id} -c {configuration} -f {FOLD} -tr {training.trainer} -device {place.device}"
    if arm.kind == "stack":
        place.command(f"acnn-nnunet predict-hr {model} -i {stacks} -o {output} --disable_tta")
    elif arm.kind == "interpolated":
        _predict_as_host(place, training, configuration, linear, output)
    elif arm.kind == "on_stacks":
        _predict_as_host(place, training, configuration, stacks, output)
    elif arm.kind == "slices":
        on_stacks = output.with_name("stacks")
        _predict_as_host(place, training, configuration, stacks, on_stacks)
        place.interpolate(on_stacks, output, arm.method, labels=True)
    else:
        assert arm.source is not None
        if (source_training := ARMS[arm.source].training) is not None:
            place.trained(source_training, seed)
        source = place.predict(arm.source, seed, test)
        if arm.kind == "sampled":
            sample_folder(source, output, factor=TESTS[test].factor)
        elif arm.kind == "reconstructed":
            _predict_as_host(place, training, configuration, source, output)
        else:
            place.command(f"acnn-nnunet refine {model} -i {source} -o {output}")
    return output


def _adjusted(place: "Workplace", training: Training, configuration: str) -> str:
    """Adjust a trained model's logits to the labels of the training cases, and return its configuration."""
    splits = json.loads((place.preprocessed(HR_ID) / "splits_final.json").read_text())
    labels = [place.raw(HR_ID) / "labelsTr" / f"{case}.nii.gz" for case in splits[FOLD]["train"]]
    num_labels = len(json.loads((place.raw(HR_ID) / "dataset.json").read_text())["labels"])
    model = place.host_folder(training.dataset_id, training.trainer, configuration).parent
    return write_adjusted_model(model, FOLD, log_shares(labels, num_labels))


def _predict_as_host(place: "Workplace", training: Training, configuration: str, images: Path, output: Path) -> None:
    """Predict a folder as nnUNetv2_predict does, in one thread."""
    model = place.host_folder(training.dataset_id, training.trainer, configuration).parent
    arguments = {"model": str(model), "fold": FOLD, "images": str(images), "output": str(output)}
    arguments |= {"device": place.device}
    place.child("predict", arguments, f"{configuration}_{output.parents[1].name}_{output.parent.name}")
