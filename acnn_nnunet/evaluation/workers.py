"""What each worker of `evaluate` loads. It stands alone: workers start while the command itself still loads."""

PRELOADED = (
    "acnn_nnunet.evaluation.cases",
    "acnn_nnunet.evaluation.pictures",
    "nnunetv2.imageio.simpleitk_reader_writer",
    "nibabel",
)
