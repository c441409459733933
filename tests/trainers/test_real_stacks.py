"""predict-hr on real 10 mm stacks of ACDC, with networks that know phantoms: a smoke test of geometry, not a result."""

import numpy as np
import pytest
import SimpleITK

from acnn_nnunet.sr.inference.command import Inference, PredictHROptions, predict_hr
from acnn_nnunet.trainers import SRTrainer, SubPixelSegTrainer

pytestmark = pytest.mark.real_data

FACTOR = 2


@pytest.fixture(scope="module")
def stacks(data_folder, tmp_path_factory):
    """Links to the first two patients' first frames whose slices are 10 mm thick."""
    folder, found = tmp_path_factory.mktemp("stacks"), 0
    for path in sorted((data_folder / "acdc" / "training").glob("*/*_frame01.nii.gz")):
        if SimpleITK.ReadImage(str(path)).GetSpacing()[2] == 10 and found < 2:
            (folder / path.name.replace("_frame01", "_0000")).symlink_to(path)
            found += 1
    assert found == 2
    return folder


@pytest.mark.parametrize("trainer_class", [SubPixelSegTrainer, SRTrainer])
def test_hr_output_lies_where_the_real_stack_does(stacks, make_hr_trainer, hr_configuration, tmp_path, trainer_class):
    trainer = make_hr_trainer(trainer_class)
    trainer.run_training()

    options = PredictHROptions(
        "77", hr_configuration, trainer_class.__name__, folds=(0,), inference=Inference(mirroring=False)
    )
    outcome = predict_hr(stacks, tmp_path / "out", options)

    assert outcome.complete, outcome.text
    for path in stacks.glob("*.nii.gz"):
        name = path.name if trainer_class is SRTrainer else path.name.replace("_0000", "")
        stack, predicted = SimpleITK.ReadImage(str(path)), SimpleITK.ReadImage(str(tmp_path / "out" / name))
        assert predicted.GetSize() == (*stack.GetSize()[:2], FACTOR * stack.GetSize()[2])
        assert predicted.GetSpacing() == pytest.approx((*stack.GetSpacing()[:2], 10 / FACTOR))
        assert predicted.GetDirection() == pytest.approx(stack.GetDirection())
        for k in range(stack.GetSize()[2]):  # a thick slice is centred on the block of its thin ones
            centre = predicted.TransformContinuousIndexToPhysicalPoint((3, 5, FACTOR * k + (FACTOR - 1) / 2))
            assert centre == pytest.approx(stack.TransformIndexToPhysicalPoint((3, 5, k)), abs=1e-3)
        values, thick = SimpleITK.GetArrayFromImage(predicted), SimpleITK.GetArrayFromImage(stack)
        if trainer_class is SRTrainer:
            blocks = values.reshape(len(thick), FACTOR, *thick.shape[1:]).mean(1)
            assert [np.argmax([np.corrcoef(b.ravel(), t.ravel())[0, 1] for t in thick]) for b in blocks] == list(
                range(len(thick))
            )
        else:
            assert set(np.unique(values)) <= {0, 1, 2, 3}
