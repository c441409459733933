"""Models in nnU-Net's own folders whose networks interpolate, so that their output is known beforehand."""

import json

import torch

TRAINERS = '''
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

from acnn_nnunet.sr.upsampling import interpolate_slices


class Interpolation(torch.nn.Module):
    """scale times the linear interpolation; with labels, minus the distance to each label's own intensity."""

    def __init__(self, factor, axis, intensities=None):
        super().__init__()
        self.factor, self.axis, self.intensities = factor, axis, intensities
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, stack):
        image = interpolate_slices(stack, self.factor, axis=self.axis) * self.scale
        if self.intensities is None:
            return image
        return torch.cat([-(image[:, :1] - value).abs() for value in self.intensities], 1)


class StubSRTrainer(nnUNetTrainer):
    predicts_image = True

    @staticmethod
    def build_network_architecture(plans, configuration, inputs, outputs, enable_deep_supervision=True):
        entry = configuration.configuration["acnn_hr"]
        return Interpolation(entry["factor"], entry["axis"])


class StubSegTrainer(nnUNetTrainer):
    @staticmethod
    def build_network_architecture(plans, configuration, inputs, outputs, enable_deep_supervision=True):
        entry = configuration.configuration["acnn_hr"]
        return Interpolation(entry["factor"], entry["axis"], range(outputs))


class PlannedSegTrainer(nnUNetTrainer):
    @staticmethod
    def build_own_network(plans, configuration, inputs, outputs, enable_deep_supervision=False):
        architecture = configuration.configuration["architecture"]
        return get_network_from_plans(
            architecture["network_class_name"], architecture["arch_kwargs"], [], inputs, outputs
        )
'''


def host_environment(folder, monkeypatch):
    """Point nnU-Net to folders of a test and to the stub trainers."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(folder / name))
    (folder / "nnUNet_preprocessed" / "Dataset005_Toy").mkdir(parents=True)
    trainers = folder / "ext_trainers"
    trainers.mkdir()
    (trainers / "stub_hr_trainers.py").write_text(TRAINERS)
    monkeypatch.setenv("nnUNet_extTrainer", str(trainers))


def plans_of(
    *,
    factor,
    axis=0,
    patch=(4, 6, 6),
    spacing=(1.0, 1.0, 1.0),
    transpose=(0, 1, 2),
    normalization="ZScoreNormalization",
    channels=1,
    reader="SimpleITKIO",
    use_mask=False,
):
    """Plans with one configuration `3d_hr`; the patch is the LR one, in the plans' order of axes."""
    hr_patch = [n * factor if i == axis else n for i, n in enumerate(patch)]
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": "Dataset005_Toy",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": reader,
        "label_manager": "LabelManager",
        "transpose_forward": list(transpose),
        "transpose_backward": [list(transpose).index(i) for i in range(3)],
        "foreground_intensity_properties_per_channel": {
            str(c): {"mean": 40.0, "std": 20.0, "percentile_00_5": -1000.0, "percentile_99_5": 2000.0}
            for c in range(channels)
        },
        "configurations": {
            "3d_hr": {
                "data_identifier": "x",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": hr_patch,
                "spacing": list(spacing),
                "normalization_schemes": [normalization] * channels,
                "use_mask_for_norm": [use_mask] * channels,
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": {**resampling, "order": 3},
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": resampling,
                "architecture": {"network_class_name": "none", "arch_kwargs": {}, "_kw_requires_import": []},
                "acnn_hr": {"factor": factor, "axis": axis},
            }
        },
    }


def dataset_of(channels=1, labels=3):
    return {
        "channel_names": {str(c): f"MRI{c}" for c in range(channels)},
        "labels": {"background": 0, **{f"label{i}": i for i in range(1, labels)}},
        "numTraining": 10,
        "file_ending": ".nii.gz",
    }


def write_model(folder, *, trainer, plans, dataset=None, scales=(1.0,), mirror_axes=(0, 1, 2)):
    """Write the folder of a trained model with one fold for each scale of its network."""
    dataset = dataset_of() if dataset is None else dataset
    model = folder / "nnUNet_results" / "Dataset005_Toy" / f"{trainer}__nnUNetPlans__3d_hr"
    for fold, scale in enumerate(scales):
        (model / f"fold_{fold}").mkdir(parents=True)
        checkpoint = {
            "network_weights": {"scale": torch.tensor([scale])},
            "trainer_name": trainer,
            "init_args": {"configuration": "3d_hr"},
            "inference_allowed_mirroring_axes": mirror_axes,
        }
        torch.save(checkpoint, model / f"fold_{fold}" / "checkpoint_final.pth")
    (model / "plans.json").write_text(json.dumps(plans))
    (model / "dataset.json").write_text(json.dumps(dataset))
    return model
