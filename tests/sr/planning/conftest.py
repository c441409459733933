"""A plans file of a toy dataset."""

import json

import pytest

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
