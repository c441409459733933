"""LR-in/HR-out configurations of a toy plan, worked out by hand from nnU-Net's rules."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet.casewise.work import Outcome
from acnn_nnunet.sr.network import SubPixelUNet
from acnn_nnunet.sr.planning import command
from acnn_nnunet.sr.planning.command import PlanHROptions, plan_hr
from acnn_nnunet.sr.stack_geometry import ThroughPlane


def test_a_patch_that_the_factor_divides(plans):
    sentence = plan_hr("5", PlanHROptions(factor=4)).text
    assert sentence == (
        "Dataset005_Toy: wrote configuration 3d_hr_x4 (from 3d_fullres; every 4 slices along NIfTI axis 2 are one; "
        f"patch 4×16×16 in, 16×16×16 out; batch size 22) to {plans.file}"
    )
    # Spacing 4, 1, 1: two halvings in plane until it is 4, 4, 4, while 4 slices are too few to be halved. A kernel
    # spans an axis once its spacing is less than twice the smallest, and the deepest always. The base has two widths
    # for three stages.
    assert plans.written("3d_hr_x4") == {
        "inherits_from": "3d_fullres",
        # In values: the base 4·4096 + 8·512 in the encoder, (4 + 4)·4096 in the decoder, 3·4096 logits, 65536 in all,
        # times 20. The new one 2·(4·1024 + 8·256 + 8·64) in the encoder, 3·(8·256 + 4·1024) in the decoder,
        # (4 + 3)·4096 in HR space, 60416 in all: 21.7 of them. 5 % of the dataset are 50 patches.
        "batch_size": 22,
        "patch_size": [16, 16, 16],
        "architecture": {
            "network_class_name": "acnn_nnunet.sr.network.SubPixelUNet",
            "arch_kwargs": {
                "factor": 4,
                "axis": 0,
                "features_per_stage": [4, 8, 8],
                "kernel_sizes": [[1, 3, 3], [1, 3, 3], [3, 3, 3]],
                "strides": [[1, 1, 1], [1, 2, 2], [1, 2, 2]],
                "n_conv_per_stage": 2,
                "n_conv_per_stage_decoder": 2,
            },
            "_kw_requires_import": [],
        },
        "acnn_hr": {"factor": 4, "axis": 0},
    }


@pytest.mark.parametrize(
    ("length", "planned", "deepest"),
    [
        (72, 72, [2, 2, 2]),  # 18 thick slices, halved with the pixels once these are as large
        (52, 52, [1, 2, 2]),  # 13: the factor divides the patch, so it stays, and 13 are not halved
        (51, 56, [2, 2, 2]),  # 12.75: 13, padded to 14, which can be halved
    ],
)
def test_the_patch_grows_only_where_the_factor_does_not_divide_it(plans, length, planned, deepest):
    plans.change(patch_size=[length, 32, 32])
    sentence = plan_hr("5", PlanHROptions(factor=4)).text
    configuration = plans.written("3d_hr_x4")
    assert configuration["patch_size"] == [planned, 32, 32]
    assert configuration["architecture"]["arch_kwargs"]["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2], deepest]
    assert ("a prior for it is trained on 3d_hr_x4 itself" in sentence) == (planned != length)


@pytest.mark.parametrize(
    ("spacing", "transpose", "axis", "plans_axis", "nifti_axis"),
    [
        ([1, 1, 1], [0, 1, 2], None, 0, 2),  # arrays are (Z, Y, X), so the last NIfTI axis is their first
        ([1, 1, 1], [0, 1, 2], 0, 2, 0),
        ([1, 1, 1], [1, 0, 2], None, 1, 2),  # arrays are (Y, Z, X)
        ([1.5, 1, 1], [1, 0, 2], None, 0, 1),
        ([1.5, 1, 1], [2, 0, 1], None, 0, 0),  # arrays are (X, Z, Y)
        ([1.5, 1, 1], [2, 0, 1], 1, 2, 1),
        ([0.5, 1.0005, 1.0], [2, 1, 0], None, 2, 2),  # alike but for rounding: the last NIfTI axis of the two
    ],
)
def test_the_through_plane_axis(plans, spacing, transpose, axis, plans_axis, nifti_axis):
    plans.content["transpose_forward"] = transpose
    plans.change(spacing=spacing)
    sentence = plan_hr("5", PlanHROptions(factor=2, axis=axis)).text
    assert f"along NIfTI axis {nifti_axis} are" in sentence
    configuration = plans.written("3d_hr_x2")
    assert configuration["acnn_hr"]["axis"] == configuration["architecture"]["arch_kwargs"]["axis"] == plans_axis


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_host_can_build_what_was_planned(plans, axis):
    plan_hr("Dataset005_Toy", PlanHROptions(factor=4, base="3d_fullres_short", name="thick", axis=axis))
    manager = PlansManager(str(plans.file))
    configuration = manager.get_configuration("thick")
    assert configuration.data_identifier == "nnUNetPlans_3d_fullres"
    assert configuration.configuration["acnn"] == {"num_epochs": 3}
    through_plane = ThroughPlane.from_configuration(configuration.configuration)
    assert through_plane == ThroughPlane(factor=4, axis=2 - axis)
    network = get_network_from_plans(
        configuration.network_arch_class_name,
        configuration.network_arch_init_kwargs,
        configuration.network_arch_init_kwargs_req_import,
        1,
        3,
    )
    assert type(network) is SubPixelUNet
    size = [16, 16, 16]
    size[through_plane.axis] //= through_plane.factor
    assert network(torch.rand(1, 1, *size)).shape == (1, 3, *configuration.patch_size)


def test_it_can_be_repeated(plans):
    plan_hr("5", PlanHROptions(factor=4, name="thick"))
    plan_hr("5", PlanHROptions(factor=2, name="thick"))
    assert plans.written("thick")["acnn_hr"] == {"factor": 2, "axis": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base": "3d_full"}, "has no configuration 3d_full, only 2d, 3d_fullres, 3d_fullres_short"),
        ({"base": "2d"}, "2d is a 2D configuration and sees no slices: choose a 3D one with -c"),
        ({"base": "3d_cascade_fullres"}, "3d_cascade_fullres is a stage of a cascade"),
        ({"base": "3d_lowres"}, "3d_lowres is a stage of a cascade"),
        ({"base": "thick", "name": "thicker"}, "thick is already planned for thick slices"),
        ({"name": "3d_fullres_short"}, "another configuration 3d_fullres_short: choose another name with -n"),
        ({"name": "thick", "base": "3d_fullres_short"}, "another configuration thick: choose another name with -n"),
        ({"factor": 1}, "2 or more, not 1"),
        ({"factor": 5}, "factor 5 is too large for the median image of 3d_fullres, which has 16 slices.*factor is 4"),
        ({"axis": 3}, "no NIfTI axis 3: --axis is 0, 1 or 2"),
    ],
)
def test_refusals_leave_the_plans_alone(plans, arguments, message):
    plan_hr("5", PlanHROptions(factor=2, name="thick"))
    before = plans.file.read_text()
    with pytest.raises(ValueError, match=message):
        plan_hr("5", PlanHROptions(**{"factor": 2, **arguments}))
    assert plans.file.read_text() == before


def test_a_patch_with_too_few_slices(plans):
    plans.change(patch_size=[6, 16, 16])
    plans.change(median_image_size_in_voxels=[20, 16, 16])
    with pytest.raises(ValueError, match=r"the patch of 3d_fullres, which has 6 slices .* none is small enough"):
        plan_hr("5", PlanHROptions(factor=2))


def test_an_unknown_dataset(plans):
    with pytest.raises(ValueError, match="There is no dataset 6"):
        plan_hr("6", PlanHROptions(factor=2))


def test_missing_plans(plans):
    with pytest.raises(FileNotFoundError, match=r"Other\.json: make them with nnUNetv2_plan_and_preprocess -d 5"):
        plan_hr("5", PlanHROptions(factor=2, plans_identifier="Other"))


def test_the_slices_thickness_becomes_a_gap(plans):
    plan_hr("5", PlanHROptions(factor=4, base="3d_fullres_short", thickness_mm=3.0))
    assert plans.written("3d_hr_x4")["acnn"] == {"num_epochs": 3, "slice_gap_mm": [1.0, 1.0]}
    plan_hr("5", PlanHROptions(factor=4, thickness_mm=6.0, name="overlapping"))
    assert plans.written("overlapping")["acnn"] == {"slice_gap_mm": [-2.0, -2.0]}


def prepare_none(dataset, output, options):
    output.mkdir()
    return Outcome("pairs")


def test_the_gaps_that_pairs_tell_are_those_of_their_own_spacing(plans, tmp_path, monkeypatch):
    # Planned for 4 mm; the stacks have a slice every 4.4 and every 3.6 mm, one without a gap, one with 0.6 mm.
    (tmp_path / "nnUNet_raw" / "Dataset005_Toy" / "imagesTr_lr").mkdir(parents=True)
    told = [(4.4, 4.4), (3.6, 3.0), (4.0, None)]
    records = [SimpleNamespace(spacing_mm=spacing, thickness_mm=thickness) for spacing, thickness in told]
    monkeypatch.setattr(command, "prepare_pairs", prepare_none)
    monkeypatch.setattr(command, "records_of", lambda _: records)
    plan_hr("5", PlanHROptions(factor=4, base="3d_fullres_short"))
    assert plans.written("3d_hr_x4")["acnn"] == {"num_epochs": 3, "slice_gap_mm": [0.0, 0.6]}


def test_a_failure_among_the_pairs_leaves_the_plans_as_they_were(plans, tmp_path, monkeypatch):
    folder = tmp_path / "nnUNet_raw" / "Dataset005_Toy" / "imagesTr_lr"
    folder.mkdir(parents=True)
    records = [SimpleNamespace(spacing_mm=4.0, thickness_mm=3.0)]
    monkeypatch.setattr(command, "records_of", lambda _: records)
    monkeypatch.setattr(command, "prepare_pairs", prepare_none)
    plan_hr("5", PlanHROptions(factor=4))
    before = plans.file.read_text()
    assert "_pairs" in before
    for error in (ValueError("held twice"), KeyboardInterrupt()):
        monkeypatch.setattr(command, "prepare_pairs", Mock(side_effect=error))
        with pytest.raises(type(error)):
            plan_hr("5", PlanHROptions(factor=4))
        assert plans.file.read_text() == before
    folder.rmdir()
    folder.touch()
    with pytest.raises(ValueError, match="imagesTr_lr is no folder"):
        plan_hr("5", PlanHROptions(factor=4))
    assert plans.file.read_text() == before


def test_pairs_are_exchanged_as_a_whole(plans, tmp_path, monkeypatch):
    """What is interrupted leaves those of before; what ends leaves nothing of them."""
    (tmp_path / "nnUNet_raw" / "Dataset005_Toy" / "imagesTr_lr").mkdir(parents=True)
    folder = plans.file.parent / "nnUNetPlans_3d_hr_x4_pairs"

    def stop_after(*cases, error=None):
        def prepare(dataset, output, options):
            output.mkdir()
            for case in cases:
                (output / case).touch()
            if error is not None:
                raise error
            return Outcome(f"{output}: done")

        monkeypatch.setattr(command, "prepare_pairs", prepare)

    monkeypatch.setattr(command, "records_of", lambda _: [])
    stop_after("a", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        plan_hr("5", PlanHROptions(factor=4))
    assert not list(folder.parent.glob(f"{folder.name}*"))

    stop_after("a", "b")
    assert plan_hr("5", PlanHROptions(factor=4)).text.endswith(f"{folder}: done")
    stop_after("b", error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        plan_hr("5", PlanHROptions(factor=4))
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]

    stop_after("b", "c")
    plan_hr("5", PlanHROptions(factor=4))
    assert sorted(path.name for path in folder.iterdir()) == ["b", "c"]
    assert list(folder.parent.glob(f"{folder.name}*")) == [folder]


@pytest.mark.parametrize(
    ("thickness_mm", "message"),
    [(9.0, r"--thickness gives the stacks slices of 9 mm, more than twice their spacing of 4 mm"), (0.0, "positive")],
)
def test_a_thickness_that_cannot_be(plans, thickness_mm, message):
    before = plans.file.read_text()
    with pytest.raises(ValueError, match=message):
        plan_hr("5", PlanHROptions(factor=4, thickness_mm=thickness_mm))
    assert plans.file.read_text() == before
