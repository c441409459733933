"""predict-hr with networks that interpolate: what comes out, and where in the world."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from stack_files import DIRECTIONS, OBLIQUE, between_slices, image_of, read, world_coordinates, world_ramp, write
from tiny_hr_models import dataset_of, host_environment, plans_of, write_model

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.cli import main
from acnn_nnunet.sr.inference.command import Inference, PredictHROptions, predict_hr, whole_stacks
from acnn_nnunet.sr.network import SubPixelUNet


@pytest.fixture
def folder(tmp_path, monkeypatch):
    host_environment(tmp_path, monkeypatch)
    return tmp_path


def run(folder, *, trainer="StubSRTrainer", folds=(0,), **kwargs):
    inference = kwargs.pop("inference", Inference())
    options = PredictHROptions("5", "3d_hr", trainer, folds=folds, inference=inference, **kwargs)
    return predict_hr(folder / "in", folder / "out", options)


def check_ramps(folder, factor, array_axis, *, tolerance_voxels=1e-3):
    """The predicted images w0, w1 and w2 read, between the outermost slices, their own world coordinates."""
    for world_axis in range(3):
        predicted = read(folder / "out" / f"w{world_axis}_0000.nii.gz")
        values = between_slices(SimpleITK.GetArrayFromImage(predicted), factor, array_axis)
        expected = between_slices(world_coordinates(predicted)[world_axis], factor, array_axis)
        assert np.abs(values - expected).max() < tolerance_voxels * min(predicted.GetSpacing())
    return predicted


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("factor", range(2, 9))
def test_the_hr_volume_lies_where_the_stack_does(folder, factor, direction):
    plans = plans_of(factor=factor, spacing=(1.5, 0.8, 0.9))
    write_model(folder, trainer="StubSRTrainer", plans=plans)
    # 6 slices and windows of 4; 9 pixels and windows of 6; 5 pixels, padded to 6.
    geometry = {"spacing": (0.9, 0.8, 1.5 * factor), "direction": DIRECTIONS[direction]}
    for world_axis in range(3):
        write(world_ramp((9, 5, 6), world_axis, **geometry), folder / "in" / f"w{world_axis}_0000.nii.gz")
    outcome = run(folder)
    assert outcome.complete, outcome.text
    predicted = check_ramps(folder, factor, 0)
    assert predicted.GetSize() == (9, 5, 6 * factor)
    assert predicted.GetSpacing() == pytest.approx((0.9, 0.8, 1.5))


@pytest.mark.parametrize("transpose", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("reader", ["SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIOWithReorient"])
def test_any_axis_transposition_and_reader(folder, axis, transpose, reader):
    plans = plans_of(factor=3, axis=axis, patch=(4, 4, 4), transpose=transpose, reader=reader)
    write_model(folder, trainer="StubSRTrainer", plans=plans)
    direction = OBLIQUE @ DIRECTIONS["permuted"]
    # The planned axis of the reader's array, transposed back; with a reorienting reader, of the array turned to RAS.
    reader_axis = transpose[axis]
    array_axis = reader_axis
    if "Reorient" in reader:
        blank = image_of(np.zeros((4, 4, 4), np.float32), direction=direction)
        marked = []
        for candidate in range(3):
            values = np.zeros((4, 4, 4), np.float32)
            np.moveaxis(values, candidate, 0)[:] = np.arange(4).reshape(4, 1, 1)
            image = SimpleITK.GetImageFromArray(values)
            image.CopyInformation(blank)
            turned = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, "RAS"))
            marked.append(int(np.argmax([np.ptp(turned, axis=i).max() for i in range(3)])))
        array_axis = marked.index(reader_axis)
    spacing = [1.0, 1.0, 1.0]
    spacing[2 - array_axis] = 3.0
    for world_axis in range(3):
        write(
            world_ramp((5, 5, 5), world_axis, spacing=spacing, direction=direction),
            folder / "in" / f"w{world_axis}_0000.nii.gz",
        )
    outcome = run(folder)
    assert outcome.complete, outcome.text
    predicted = check_ramps(folder, 3, array_axis)
    assert predicted.GetSpacing() == pytest.approx((1.0, 1.0, 1.0))


def test_pixels_are_resampled_and_slices_keep_their_own_spacing(folder):
    # Planned for 1 mm pixels and 2 mm slices; here 0.5 mm pixels and 3 mm slices, which become 1 mm ones.
    write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3, spacing=(2 / 3, 1, 1), patch=(4, 8, 8)))
    geometry = {"spacing": (0.5, 0.5, 3.0), "direction": OBLIQUE}
    for world_axis in range(3):
        write(world_ramp((24, 24, 5), world_axis, **geometry), folder / "in" / f"w{world_axis}_0000.nii.gz")
    assert run(folder).complete
    for world_axis in range(3):
        predicted = read(folder / "out" / f"w{world_axis}_0000.nii.gz")
        assert predicted.GetSpacing() == pytest.approx((0.5, 0.5, 1.0))
        assert predicted.GetSize() == (24, 24, 15)
        # A resampled ramp is bent near its ends, where pixels are repeated.
        values = SimpleITK.GetArrayFromImage(predicted)[1:-1, 8:-8, 8:-8]
        expected = world_coordinates(predicted)[world_axis][1:-1, 8:-8, 8:-8]
        np.testing.assert_allclose(values, expected, atol=0.02)


def test_labels_lie_where_the_image_says(folder):
    write_model(
        folder,
        trainer="StubSegTrainer",
        plans=plans_of(factor=5, normalization="NoNormalization"),
        dataset=dataset_of(labels=3),
    )
    # Index-coded: slices read 0, 0, 1, 1, 2, 2. Half way between two of them, 5 HR slices apart, the label changes.
    stack = np.repeat(np.array([0, 0, 1, 1, 2, 2], np.float32), 36).reshape(6, 6, 6)
    write(image_of(stack, spacing=(1, 1, 5), direction=OBLIQUE), folder / "in" / "a_0000.nii.gz")
    assert run(folder, trainer="StubSegTrainer").complete
    predicted = read(folder / "out" / "a.nii.gz")
    assert predicted.GetPixelIDValue() == SimpleITK.sitkUInt8
    assert SimpleITK.GetArrayFromImage(predicted)[:, 3, 3].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    # HR slice 2 is in the middle of the first block: there lies the stack's first slice.
    np.testing.assert_allclose(
        predicted.TransformIndexToPhysicalPoint((3, 1, 2)),
        read(folder / "in" / "a_0000.nii.gz").TransformIndexToPhysicalPoint((3, 1, 0)),
        atol=1e-4,
    )
    assert json.loads((folder / "out" / "dataset.json").read_text()) == dataset_of(labels=3)


def test_a_network_as_plan_hr_plans_it_on_every_device(folder, device):
    architecture = {
        "network_class_name": "acnn_nnunet.sr.network.SubPixelUNet",
        "arch_kwargs": {
            "factor": 3,
            "axis": 0,
            "features_per_stage": [4, 6],
            "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
            "strides": [[1, 1, 1], [1, 2, 2]],
        },
        "_kw_requires_import": [],
    }
    plans = plans_of(factor=3, normalization="NoNormalization")
    plans["configurations"]["3d_hr"]["architecture"] = architecture
    model = write_model(folder, trainer="PlannedSegTrainer", plans=plans, mirror_axes=(1,))
    network = SubPixelUNet(1, 3, **architecture["arch_kwargs"]).eval()
    checkpoint = torch.load(model / "fold_0" / "checkpoint_final.pth")
    torch.save({**checkpoint, "network_weights": network.state_dict()}, model / "fold_0" / "checkpoint_final.pth")
    stack = torch.randn(4, 6, 6)
    write(image_of(stack.numpy(), spacing=(1, 1, 3)), folder / "in" / "a_0000.nii.gz")
    for inference in (Inference(device=device.type), Inference(device=device.type, mirroring=False)):
        shutil.rmtree(folder / "out", ignore_errors=True)
        assert run(folder, trainer="PlannedSegTrainer", inference=inference).complete
        with torch.inference_mode():
            logits = network(stack[None, None])
            if inference.mirroring:
                logits = logits + network(stack.flip(1)[None, None]).flip(3)
        predicted = SimpleITK.GetArrayFromImage(read(folder / "out" / "a.nii.gz"))
        same = (predicted == logits[0].argmax(0).numpy()).mean()
        # A GPU may round two logits that are almost equal to the other order.
        assert same == 1 if device.type == "cpu" else same > 0.99
        assert len(np.unique(predicted)) > 1


def test_folds_are_averaged_as_probabilities(folder):
    # Intensity 1: with scale 1 the logits are −1, 0, −1, with scale 1.95 they are −1.95, −0.95, −0.05. Their sum is
    # largest for label 1; the sum of exp(0)/(1 + 2/e) = 0.576 and 0.261 is less than that of 0.212 and 0.643.
    write_model(
        folder,
        trainer="StubSegTrainer",
        plans=plans_of(factor=2, normalization="NoNormalization"),
        dataset=dataset_of(labels=3),
        scales=(1.0, 1.95),
    )
    write(image_of(np.ones((4, 6, 6), np.float32), spacing=(1, 1, 2)), folder / "in" / "a_0000.nii.gz")
    labels = {}
    for folds in [(0,), (1,), (0, 1)]:
        shutil.rmtree(folder / "out", ignore_errors=True)
        assert run(folder, trainer="StubSegTrainer", folds=folds).complete
        labels[folds] = np.unique(SimpleITK.GetArrayFromImage(read(folder / "out" / "a.nii.gz"))).tolist()
    assert labels == {(0,): [1], (1,): [2], (0, 1): [2]}


def test_images_of_folds_are_averaged_and_come_back_in_their_own_intensities(folder):
    write_model(
        folder, trainer="StubSRTrainer", plans=plans_of(factor=2, normalization="CTNormalization"), scales=(1.0, 3.0)
    )
    write(image_of(np.full((4, 6, 6), 90, np.int16), spacing=(1, 1, 2)), folder / "in" / "a_0000.nii.gz")
    values = np.full((4, 6, 6), 90, np.int16)
    values[0, 0, 0] = 50
    write(image_of(values, spacing=(1, 1, 2)), folder / "in" / "b_0000.nii.gz")
    assert run(folder, folds=(0, 1)).complete
    # CT: (90 − 40)/20 = 2.5, times the mean scale 2 is 5, back to 5·20 + 40 = 140.
    predicted = SimpleITK.GetArrayFromImage(read(folder / "out" / "b_0000.nii.gz"))
    assert predicted.dtype == np.float32
    assert predicted[4, 3, 3] == pytest.approx(140, rel=1e-5)
    # A constant image tells no scale: it stays what it is.
    constant = SimpleITK.GetArrayFromImage(read(folder / "out" / "a_0000.nii.gz"))
    assert np.unique(constant).tolist() == [90]


def test_channels_go_in_and_out_together(folder):
    write_model(
        folder,
        trainer="StubSRTrainer",
        plans=plans_of(factor=2, channels=2),
        dataset=dataset_of(channels=2),
    )
    for channel, factor in enumerate((1, 100)):
        values = factor * np.arange(4 * 36, dtype=np.float32).reshape(4, 6, 6)
        write(image_of(values, spacing=(1, 1, 2)), folder / "in" / f"a_000{channel}.nii.gz")
    assert run(folder).complete
    first, second = (
        SimpleITK.GetArrayFromImage(read(folder / "out" / f"a_000{channel}.nii.gz")) for channel in range(2)
    )
    np.testing.assert_allclose(second, 100 * first, rtol=1e-4, atol=1e-2)
    assert first[1:3, 0, 0] == pytest.approx([9, 27], rel=1e-4)  # a quarter and three quarters of the way to 36


@pytest.mark.parametrize("num_slices", [2, 3, 7])
def test_any_number_of_slices_from_two_on(folder, num_slices):
    write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3))
    values = np.arange(num_slices, dtype=np.float32).repeat(36).reshape(num_slices, 6, 6) + 1
    write(image_of(values, spacing=(1, 1, 3)), folder / "in" / "a_0000.nii.gz")
    assert run(folder).complete
    line = SimpleITK.GetArrayFromImage(read(folder / "out" / "a_0000.nii.gz"))[1:-1, 2, 2]
    np.testing.assert_allclose(line, np.linspace(1, num_slices, 3 * num_slices - 2), atol=1e-4)


class TestBadInput:
    """Each is named in one sentence, and the good stack beside it is done."""

    @pytest.fixture
    def model(self, folder):
        write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3))
        write(self.stack(), folder / "in" / "good_0000.nii.gz")
        return folder

    @staticmethod
    def stack(shape=(4, 6, 6), spacing=(1, 1, 3)):
        values = np.random.default_rng(0).random(shape, dtype=np.float32) + 1
        return image_of(values, spacing=spacing)

    @staticmethod
    def check(folder, message):
        outcome = run(folder)
        assert not outcome.complete
        lines = outcome.text.splitlines()
        assert lines[0] == f"{folder / 'out'}: 1 of 2 done"
        assert len(lines) == 2
        assert message in lines[1]
        found = {path.name for path in (folder / "out").iterdir()}
        assert found == {"good_0000.nii.gz", "dataset.json", "plans.json", "status.csv", "parts"}

    def test_one_slice(self, model):
        write(self.stack((1, 6, 6)), model / "in" / "bad_0000.nii.gz")
        self.check(model, "bad_0000.nii.gz has 1 slice along axis 2: a stack has at least 2")

    def test_slices_along_another_axis(self, model):
        write(self.stack(spacing=(3, 1, 1)), model / "in" / "bad_0000.nii.gz")
        self.check(model, "bad_0000.nii.gz has its thickest slices (3 mm) along axis 0, but the model is planned for")

    def test_slices_of_another_spacing(self, model):
        # Planned for 3 slices of 1 mm in one of 3 mm: 2 to 4.5 mm.
        write(self.stack(spacing=(1, 1, 10)), model / "in" / "bad_0000.nii.gz")
        self.check(
            model,
            "bad_0000.nii.gz has a slice every 10 mm along NIfTI axis 2, but the model is planned for one every 3 mm "
            "(3 × 1 mm) and takes 2 to 4.5 mm: resample it to 3 mm, or train a model for it with acnn-nnunet plan-hr "
            "--factor 10.",
        )

    def test_zeros(self, model):
        write(image_of(np.zeros((4, 6, 6), np.float32), spacing=(1, 1, 3)), model / "in" / "bad_0000.nii.gz")
        self.check(model, "bad_0000.nii.gz holds nothing but zeros")

    def test_no_channel_number(self, model):
        write(self.stack(), model / "in" / "bad.nii.gz")
        self.check(model, "bad.nii.gz has no channel number: rename it to bad_0000.nii.gz")

    def test_too_many_channels(self, model):
        write(self.stack(), model / "in" / "bad_0000.nii.gz")
        write(self.stack(), model / "in" / "bad_0001.nii.gz")
        self.check(model, "holds bad_0000.nii.gz and bad_0001.nii.gz of bad, but the model takes 1 channel (bad_0000)")

    def test_not_finite(self, model):
        image = self.stack()
        image[2, 2, 2] = float("nan")
        write(image, model / "in" / "bad_0000.nii.gz")
        self.check(model, "bad_0000.nii.gz has 1 voxels that are not finite")

    def test_cut_off(self, model):
        path = write(self.stack(), model / "in" / "bad_0000.nii.gz")
        path.write_bytes(path.read_bytes()[:-20])
        self.check(model, "bad_0000.nii.gz cannot be read")

    def test_channels_on_two_grids(self, folder):
        write_model(
            folder, trainer="StubSRTrainer", plans=plans_of(factor=3, channels=2), dataset=dataset_of(channels=2)
        )
        write(self.stack(), folder / "in" / "a_0000.nii.gz")
        write(self.stack(spacing=(1, 1, 4)), folder / "in" / "a_0001.nii.gz")
        outcome = run(folder)
        assert not outcome.complete
        assert "a_0001.nii.gz is not on the grid of a_0000.nii.gz: spacing" in outcome.text

    def test_another_format(self, model):
        write(self.stack(), model / "in" / "bad_0000.mha")
        self.check(model, "bad_0000.mha is no NIfTI file: convert it to .nii.gz, or remove it.")


def test_a_missing_channel():
    files = {"a_0000": Path("x/a_0000.nii"), "b_0000": Path("x/b_0000.nii")}
    files["b_0001"] = Path("x/b_0001.nii")
    cases, excluded = whole_stacks(files, 2)
    assert cases == {"b": [files["b_0000"], files["b_0001"]]}
    assert [each.reason for each in excluded] == [
        "x holds a_0000.nii of a, but the model takes 2 channels (a_0000 and a_0001): add what is missing or remove "
        "what is too much."
    ]


def test_an_interrupted_prediction_is_continued(folder, monkeypatch):
    write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3))
    for name in ("a", "b"):
        write(TestBadInput.stack(), folder / "in" / f"{name}_0000.nii.gz")
    write_image, calls = SimpleITK.WriteImage, []

    def interrupted_the_second_time(image, path, compress):
        calls.append(path)
        if len(calls) == 1:
            return write_image(image, path, compress)
        with open(path, "wb") as file:
            file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SimpleITK, "WriteImage", interrupted_the_second_time)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    images = sorted(path.name for path in (folder / "out").glob("*.nii.gz"))
    assert images == ["a_0000.nii.gz"]
    before = (folder / "out" / "a_0000.nii.gz").stat().st_mtime_ns
    outcome = run(folder, execution=Execution(go_on=True))
    assert outcome.complete
    assert outcome.text == f"{folder / 'out'}: 2 of 2 done; 1 were there already"
    assert (folder / "out" / "a_0000.nii.gz").stat().st_mtime_ns == before
    assert read(folder / "out" / "b_0000.nii.gz").GetSize() == (6, 6, 12)


def test_a_model_that_was_trained_again_is_not_mixed_with_the_one_before(folder):
    model = write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3))
    write(TestBadInput.stack(), folder / "in" / "a_0000.nii.gz")
    assert run(folder).complete
    checkpoint = model / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(checkpoint), "network_weights": {"scale": torch.tensor([2.0])}}, checkpoint)
    with pytest.raises(ValueError, match=r"out holds a run with another model_sha256 .*: name another folder with -o"):
        run(folder, execution=Execution(go_on=True))


def test_an_output_that_cannot_be_written(folder):
    write_model(folder, trainer="StubSRTrainer", plans=plans_of(factor=3))
    write(TestBadInput.stack(), folder / "in" / "a_0000.nii.gz")
    (folder / "out").write_text("a file")
    with pytest.raises(OSError, match=r"out cannot be written to .*: choose another folder with -o"):
        run(folder)


def test_a_step_size_and_a_device(monkeypatch):
    with pytest.raises(ValueError, match="-step_size is more than 0 and at most 1, not 0"):
        Inference(step_size=0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="choose -device cpu"):
        Inference(device="cuda")


def test_a_fold_that_is_none(tmp_path, capsys):
    words = ["-d", "5", "-c", "3d_hr", "-tr", "StubSRTrainer", "-i", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(["predict-hr", *words, "-f", "x"]) == 1
    assert capsys.readouterr().err == (
        "acnn-nnunet predict-hr: There is no fold x: -f takes numbers such as 0 1 2, or all.\n"
    )
