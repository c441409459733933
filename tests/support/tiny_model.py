"""A model folder and an image that `nnUNetv2_predict` takes, without a training."""

import json
import warnings
from pathlib import Path


def write_tiny_model(folder: Path) -> None:
    """Write what nnUNetv2_train would leave behind, for an untrained network of two stages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch and timm deprecate each other while they are imported
        import torch
        from dynamic_network_architectures.architectures.unet import PlainConvUNet

    sizes = {"n_stages": 2, "features_per_stage": [4, 8], "kernel_sizes": [3, 3], "strides": [1, 2]}
    blocks = {"n_conv_per_stage": [1, 1], "n_conv_per_stage_decoder": [1]}
    network = PlainConvUNet(1, conv_op=torch.nn.Conv3d, num_classes=2, **sizes, **blocks)
    architecture = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {"conv_op": "torch.nn.modules.conv.Conv3d", **sizes, **blocks},
        "_kw_requires_import": ["conv_op"],
    }
    order = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    resampling = {f"resampling_fn_{what}": "resample_data_or_seg_to_shape" for what in ("data", "seg", "probabilities")}
    configuration = {
        "data_identifier": "nnUNetPlans_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 8, 8],
        "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "architecture": architecture,
        **resampling,
        **{f"{function}_kwargs": order for function in resampling},
    }
    plans = {
        "dataset_name": "Dataset999_Toy",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": {}},
        "configurations": {"3d_fullres": configuration},
    }
    labels = {"background": 0, "thing": 1}
    dataset = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    torch.save(
        {
            "trainer_name": "ACNNTrainer",
            "init_args": {"configuration": "3d_fullres"},
            "network_weights": network.state_dict(),
            "inference_allowed_mirroring_axes": None,
        },
        folder / "fold_0" / "checkpoint_final.pth",
    )


def write_image(path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813 - as everyone writes it

    path.parent.mkdir()
    sitk.WriteImage(sitk.GaussianSource(sitk.sitkFloat32, [12, 12, 12]), str(path))
