"""A second stage in 2D; tests/trainers/test_ae_seg_trainer.py has it in 3D, after a training."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
import torch
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager
from phantom_prior import phantom_plans

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.work import PerWorker
from acnn_nnunet.nnunet.models import ModelBundle
from acnn_nnunet.refinement.second_stage import Refiner, SecondStageOptions, load_refiner, refine_folder

SPACING_MM = (15.0, 3.0, 3.0)
DATASET_JSON = {"labels": {"background": 0, "a": 1, "b": 2}, "channel_names": {"0": "MRI"}, "file_ending": ".nii.gz"}


class FillsSlices(torch.nn.Module):
    """Gives label b to every voxel of a slice that holds it anywhere, and leaves other slices as they are."""

    def forward(self, maps):
        assert maps.ndim == 4  # (slices, classes, Y, X)
        filled = maps[:, 2].amax((1, 2), keepdim=True).expand_as(maps[:, 2])
        return torch.stack([maps[:, 0], maps[:, 1], 3 * filled], dim=1)


def refiner_of(spacing_mm=(3.0, 3.0)):
    plans = PlansManager(phantom_plans("Dataset099_Phantom", (16, 16), spacing_mm, (0, 1, 2), grid="patch"))
    configuration = plans.get_configuration("quick")
    return Refiner(ModelBundle(plans, configuration, DATASET_JSON, "quick", network=FillsSlices()), "cpu")


def three_slices():
    """Label a in the first slice, b in the second, nothing in the third."""
    labels = np.zeros((3, 12, 12), dtype=np.uint8)
    labels[0, 2:6] = 1
    labels[1, 4:8, 4:8] = 2
    return labels


@pytest.mark.parametrize("spacing_mm", [(3.0, 3.0), (1.5, 1.5)])
def test_a_network_in_2d_sees_slice_by_slice(spacing_mm):
    labels = three_slices()

    refined = refiner_of(spacing_mm).refine(labels, SPACING_MM)

    assert refined.shape == labels.shape
    np.testing.assert_array_equal(refined[[0, 2]], labels[[0, 2]])
    assert (refined[1] == 2).all()


def write(path, values):
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(SPACING_MM[::-1])
    image.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(image, str(path))
    return path


def test_a_file_keeps_its_geometry_and_nothing_else_stays(tmp_path):
    source = write(tmp_path / "a.nii.gz", three_slices())
    (tmp_path / "out").mkdir()

    refiner_of().refine_file(source, tmp_path / "out" / "a.nii.gz")

    refined = sitk.ReadImage(str(tmp_path / "out" / "a.nii.gz"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.nii.gz"]
    assert refined.GetSpacing() == SPACING_MM[::-1]
    assert refined.GetOrigin() == (1.0, 2.0, 3.0)
    assert (sitk.GetArrayFromImage(refined)[1] == 2).all()


def test_an_unknown_label_is_refused(tmp_path):
    source = write(tmp_path / "a.nii.gz", three_slices() * 4)
    with pytest.raises(ValueError, match=r"a\.nii\.gz holds the label 4, which the second stage does not know: .*b 2"):
        refiner_of().refine_file(source, tmp_path / "b.nii.gz")
    assert not (tmp_path / "b.nii.gz").exists()


def test_the_labels_of_a_dataset_are_those_that_a_map_may_have():
    refiner = refiner_of()

    assert refiner.known_labels == {0, 1, 2}
    assert (refiner.labels.num_channels, refiner.labels.regions) == (3, False)


class Copies:
    """A second stage that copies files, and refuses those that say `bad`."""

    def __init__(self, sha256="a"):
        self.bundle = SimpleNamespace(file_ending=".nii.gz", sha256=sha256)

    def refine_file(self, source: Path, target: Path) -> None:
        if source.read_text() == "bad":
            raise ValueError(f"{source} is bad.")
        target.write_text(source.read_text())


def test_a_bad_file_is_named_and_the_others_are_done(tmp_path):
    for name, content in (("a.nii.gz", "good"), ("b.nii.gz", "bad"), ("notes.txt", "mine")):
        (tmp_path / name).write_text(content)

    outcome = refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies))

    assert outcome.text == f"{tmp_path / 'out'}: 1 of 2 done\n{tmp_path / 'b.nii.gz'} is bad."
    assert (outcome.exit_code, [path.name for path in (tmp_path / "out").glob("*.gz")]) == (1, ["a.nii.gz"])


def test_a_model_that_changed_since_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_text("good")
    refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies))
    go_on = Execution(go_on=True)

    assert refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies), execution=go_on).complete
    with pytest.raises(ValueError, match=r"out holds a run with another model_sha256 \(a instead of b\): name another"):
        refine_folder(tmp_path, tmp_path / "out", PerWorker(partial(Copies, "b")), execution=go_on)


def test_nothing_to_read_and_the_same_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no label map \*\.nii\.gz: name a folder of predictions"):
        refine_folder(tmp_path, tmp_path / "out", PerWorker(Copies))
    (tmp_path / "a.nii.gz").touch()
    with pytest.raises(ValueError, match="choose another one with -o"):
        refine_folder(tmp_path, tmp_path, PerWorker(Copies))


def test_a_trainer_whose_network_takes_images_is_refused():
    with pytest.raises(ValueError, match="The network of nnUNetTrainer takes images: refine with -tr AESegTrainer"):
        load_refiner(SecondStageOptions("4", "3d_fullres", trainer="nnUNetTrainer"))
