"""The one file that nnU-Net's finder meets in `nnUNet_extTrainer`; the classes live in the importable package.

The finder evicts from `sys.modules` whatever was loaded from under this folder, so a class defined here could not be
pickled. This folder is no package for the same reason.
"""

try:
    from acnn_nnunet.trainers import (  # noqa: F401 - as in `nnunet.registration.TRAINER_NAMES`: a test compares them
        ACNNSRTrainer,
        ACNNSubPixelSegTrainer,
        ACNNTrainer,
        AESegMTrainer,
        AESegTrainer,
        ShapePriorTrainer,
        SRCNNTrainer,
        SRTrainer,
        SubPixelSegTrainer,
    )
except ModuleNotFoundError as error:
    # An environment without this package may inherit the variable: it has no trainers of ours, and no complaint.
    if error.name != "acnn_nnunet":
        raise
