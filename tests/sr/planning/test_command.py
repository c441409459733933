"""LR-in/HR-out configurations of a toy plan, worked out by hand from nnU-Net's rules."""

import json

import pytest
import torch
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import ExperimentPlanner
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet.sr.network import SubPixelUNet
from acnn_nnunet.sr.planning import command as planning
from acnn_nnunet.sr.planning.command import plan_hr
from acnn_nnunet.sr.stack_geometry import ThroughPlane

ARCHITECTURE = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 2,
        "features_per_stage": [4, 8],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [2, 2, 2]],
        "n_conv_per_stage": [1, 1],
        "n_conv_per_stage_decoder": [1],
    },
    "_kw_requires_import": ["conv_op"],
}
DATASET = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "A": 1, "B": 2},
    "numTraining": 1000,
    "file_ending": ".nii.gz",
}


class ToyPlans:
    """A plans file in its folder, changed and read by the tests."""

    def __init__(self, folder):
        self.file = folder / "nnUNetPlans.json"
        self.dataset_file = folder / "dataset.json"
        self.content = {
            "dataset_name": folder.name,
            "plans_name": "nnUNetPlans",
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "label_manager": "LabelManager",
            "configurations": {
                "2d": {"patch_size": [16, 16], "spacing": [1, 1], "batch_size": 20, "architecture": ARCHITECTURE},
                "3d_fullres": {
                    "data_identifier": "nnUNetPlans_3d_fullres",
                    "batch_size": 20,
                    "patch_size": [16, 16, 16],
                    "median_image_size_in_voxels": [16.0, 16.0, 16.0],
                    "spacing": [1.0, 1.0, 1.0],
                    "architecture": ARCHITECTURE,
                },
                "3d_fullres_short": {"inherits_from": "3d_fullres", "acnn": {"num_epochs": 3}},
                "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
                "3d_lowres": {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"},
            },
        }
        self.dataset = dict(DATASET)
        self.write()

    def write(self):
        self.file.write_text(json.dumps(self.content))
        self.dataset_file.write_text(json.dumps(self.dataset))

    def change(self, **values):
        """Change the HR configuration; a patch is the median image's size too."""
        self.content["configurations"]["3d_fullres"].update(values)
        if "patch_size" in values:
            self.content["configurations"]["3d_fullres"]["median_image_size_in_voxels"] = values["patch_size"]
        self.write()

    def written(self, name):
        return json.loads(self.file.read_text())["configurations"][name]


@pytest.fixture
def plans(tmp_path, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "nnUNet_preprocessed" / "Dataset005_Toy"
    folder.mkdir(parents=True)
    return ToyPlans(folder)


def test_a_patch_that_the_factor_divides(plans):
    sentence = plan_hr("5", factor=4)
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


@pytest.mark.parametrize(("num_training", "batch_size"), [(1000, 22), (100, 5), (10, 2)])
def test_a_batch_is_at_most_five_percent_of_the_dataset_and_at_least_two(plans, num_training, batch_size):
    plans.dataset["numTraining"] = num_training
    plans.write()
    plan_hr("5", factor=4)
    assert plans.written("3d_hr_x4")["batch_size"] == batch_size


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
    sentence = plan_hr("5", factor=4)
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
    ],
)
def test_the_through_plane_axis(plans, spacing, transpose, axis, plans_axis, nifti_axis):
    plans.content["transpose_forward"] = transpose
    plans.change(spacing=spacing)
    sentence = plan_hr("5", factor=2, axis=axis)
    assert f"along NIfTI axis {nifti_axis} are" in sentence
    configuration = plans.written("3d_hr_x2")
    assert configuration["acnn_hr"]["axis"] == configuration["architecture"]["arch_kwargs"]["axis"] == plans_axis


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_host_can_build_what_was_planned(plans, axis):
    plan_hr("Dataset005_Toy", factor=4, base="3d_fullres_short", name="thick", axis=axis)
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


def test_memory_is_the_hosts_estimate_with_any_number_of_loader_workers(plans, monkeypatch):
    architecture = plans.content["configurations"]["3d_fullres"]["architecture"]
    monkeypatch.setenv("nnUNet_n_proc_DA", "1")
    expected = ExperimentPlanner.static_estimate_VRAM_usage(
        (16, 16, 16), 1, 3, architecture["network_class_name"], architecture["arch_kwargs"], ("conv_op",)
    )
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # as many threads, to the host
    assert planning._memory([16, 16, 16], (1, 3), architecture) == expected
    assert "wrote configuration 3d_hr_x4" in plan_hr("5", factor=4)


def test_it_can_be_repeated(plans):
    plan_hr("5", factor=4, name="thick")
    plan_hr("5", factor=2, name="thick")
    assert plans.written("thick")["acnn_hr"] == {"factor": 2, "axis": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "6"}, "There is no dataset 6"),
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
    plan_hr("5", factor=2, name="thick")
    before = plans.file.read_text()
    with pytest.raises(ValueError, match=message):
        plan_hr(**{"dataset": "5", "factor": 2, **arguments})
    assert plans.file.read_text() == before


def test_a_patch_with_too_few_slices(plans):
    plans.change(patch_size=[6, 16, 16])
    plans.change(median_image_size_in_voxels=[20, 16, 16])
    with pytest.raises(ValueError, match=r"the patch of 3d_fullres, which has 6 slices .* none is small enough"):
        plan_hr("5", factor=2)


def test_missing_plans(plans):
    with pytest.raises(FileNotFoundError, match=r"Other\.json: make them with nnUNetv2_plan_and_preprocess -d 5"):
        plan_hr("5", factor=2, plans_identifier="Other")


def test_the_hosts_limits(plans, tmp_path):
    raw = tmp_path / "nnUNet_raw" / "Dataset005_Toy"
    for folder in ("imagesTr", "labelsTr"):
        (raw / folder).mkdir(parents=True)
    (raw / "dataset.json").write_text(json.dumps(DATASET))
    (plans.file.parent / "dataset_fingerprint.json").write_text("{}")
    planner = ExperimentPlanner(5)
    assert planner.UNet_featuremap_min_edge_length == planning.MIN_EDGE
    assert planner.UNet_min_batch_size == planning.MIN_BATCH_SIZE
    assert planner.max_dataset_covered == planning.MAX_DATASET_SHARE
