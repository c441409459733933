"""The arms of the thick-slice study: what is trained on what, and how its predictions come about."""

from dataclasses import dataclass, field, replace

from scripts.studies.thick_slices.images import MIXED_FACTORS, MIXED_GAP_MM, MIXED_TESTS, MOTION_MM, ROTATION_DEG

HR_ID, INTERPOLATED_ID, STACKS_ID, MIXED_ID = 4, 504, 505, 506
FOLD = 0
HR, THICK, SLICES, PRIOR = "3d_study", "3d_study_x5", "2d_study", "3d_study_prior"
THICK_IN_TWOS = f"{THICK}_b2"  # batches of two, as the U-Nets have; plan-hr gives THICK five
MOTION = {"slice_motion_mm": MOTION_MM, "slice_rotation_deg": ROTATION_DEG}
MIXED = {**MOTION, "slice_gap_mm": "{:g},{:g}".format(*MIXED_GAP_MM)}
# Of all arms: mirrored, a hippocampus's two ends are told apart late, which a training of minutes spends itself on.
COMMON_SETTINGS = {"mirroring": False}

# A prior's training does not count as an arm's: each is made once, for all arms that have it.
PRIOR_SETTINGS = {
    **COMMON_SETTINGS,
    "architecture": "hybrid",
    "code_size": 128,
    "prior_num_epochs": 32,
    "num_iterations_per_epoch": 50,
    "seed": 0,
}
GRIDS = {"all": "patch", "box": "roi"}  # of the priors, by name


@dataclass(frozen=True)
class Training:
    """A network that an arm needs.

    Attributes:
        dataset_id: nnU-Net's.
        configuration: of its plans.
        trainer: named on -tr.
        settings: of the `acnn` block, beside the lengths of the training and the seed.
        prior: which of the study's priors is in its loss, by name.
        iterations_of: the training whose number of iterations it has, where that is not its own of equal time.
    """

    dataset_id: int
    configuration: str
    trainer: str
    settings: dict = field(default_factory=dict)
    prior: str | None = None
    iterations_of: str | None = None


TRAININGS = {
    "sub_pixel": Training(HR_ID, THICK, "SubPixelSegTrainer"),
    "sub_pixel_motion": Training(HR_ID, THICK, "SubPixelSegTrainer", MOTION),
    "acnn_sub_pixel": Training(HR_ID, THICK, "ACNNSubPixelSegTrainer", {}, prior="all"),
    "acnn_sub_pixel_motion": Training(HR_ID, THICK, "ACNNSubPixelSegTrainer", MOTION, prior="all"),
    "sub_pixel_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer"),
    "sub_pixel_motion_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", MOTION),
    "acnn_sub_pixel_motion_b2": Training(HR_ID, THICK_IN_TWOS, "ACNNSubPixelSegTrainer", MOTION, prior="all"),
    # The per-class loss forgives islands, of which a code sees little (see the study of defaults).
    "acnn_outside_b2": Training(
        HR_ID, THICK_IN_TWOS, "ACNNSubPixelSegTrainer", {**MOTION, "outside_weight": 1.0}, prior="box"
    ),
    "acnn_sub_pixel_steps": Training(HR_ID, THICK, "ACNNSubPixelSegTrainer", prior="all", iterations_of="sub_pixel"),
    "acnn_sub_pixel_box": Training(HR_ID, THICK, "ACNNSubPixelSegTrainer", prior="box", iterations_of="acnn_sub_pixel"),
    "unet_interpolated": Training(INTERPOLATED_ID, HR, "ACNNTrainer", {"prior_weight": 0}),
    "unet_2d": Training(STACKS_ID, SLICES, "ACNNTrainer", {"prior_weight": 0}),
    "unet_hr": Training(HR_ID, HR, "ACNNTrainer", {"prior_weight": 0}),
    "sr": Training(HR_ID, THICK, "SRTrainer", MOTION),
    "acnn_sr": Training(HR_ID, THICK, "ACNNSRTrainer", MOTION, prior="all"),
    "acnn_sr_steps": Training(HR_ID, THICK, "ACNNSRTrainer", MOTION, prior="all", iterations_of="sr"),
    "sr_cnn": Training(HR_ID, THICK, "SRCNNTrainer", MOTION),
    "ae": Training(HR_ID, HR, "AESegTrainer"),
    "ae_m": Training(HR_ID, HR, "AESegMTrainer"),
    "sr_b2": Training(HR_ID, THICK_IN_TWOS, "SRTrainer", MOTION),
    "acnn_sr_b2": Training(HR_ID, THICK_IN_TWOS, "ACNNSRTrainer", MOTION, prior="all"),
    "sr_cnn_b2": Training(HR_ID, THICK_IN_TWOS, "SRCNNTrainer", MOTION),
    "pairs_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", {"pair_share": 1}, iterations_of="sub_pixel_b2"),
    "in_plane_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", {"in_plane_rotation": True}),
    "in_plane_motion_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", {**MOTION, "in_plane_rotation": True}),
    "mixed_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", {**MIXED, "factors": "4,5,6"}),
    **{
        f"factor_{k}_b2": Training(HR_ID, THICK_IN_TWOS, "SubPixelSegTrainer", {**MIXED, "factors": k})
        for k in MIXED_FACTORS
    },
    "stock_mixed": Training(MIXED_ID, HR, "ACNNTrainer", {"prior_weight": 0}),
}


@dataclass(frozen=True)
class Arm:
    """One row of the study.

    Attributes:
        title: in the report.
        training: what is trained for it, by name; None where nothing is.
        kind: how it predicts: "stack" (predict-hr), "interpolated" (nnU-Net on the interpolated stack), "slices"
            (nnU-Net on the stack, labels interpolated), "on_stacks" (nnU-Net on the stack, scored there), "sampled"
            (another arm's labels at the middles of the stack's slices, scored there), "reconstructed" (nnU-Net on the
            super-resolved image), "refined" (an autoencoder on another arm's labels), "interpolation" (no network),
            "decoded" (the prior's g(p(x))), "adjusted" (as its source, its logits adjusted).
        source: the arm whose predictions go in.
        method: of interpolation.
        image: whether it puts out images.
        tests: sets of stacks that it is tested on.
    """

    title: str
    training: str | None
    kind: str
    source: str | None = None
    method: str = "linear"
    image: bool = False
    tests: tuple[str, ...] = ("motion", "still")

    @property
    def on_stacks(self) -> bool:
        """Whether its label maps have the slices of the stacks."""
        return self.kind in ("on_stacks", "sampled")


ARMS_OF_EQUAL_TIME = {
    "sub_pixel": Arm("3D-Seg: SubPixelSegTrainer", "sub_pixel", "stack"),
    "sub_pixel_motion": Arm("3D-Seg-MAug: with slice motion", "sub_pixel_motion", "stack"),
    "acnn_sub_pixel": Arm("ACNN-Seg: ACNNSubPixelSegTrainer", "acnn_sub_pixel", "stack"),
    "acnn_sub_pixel_motion": Arm("ACNN-Seg with slice motion", "acnn_sub_pixel_motion", "stack"),
    "sub_pixel_b2": Arm("3D-Seg, batches of two", "sub_pixel_b2", "stack"),
    "sub_pixel_motion_b2": Arm("3D-Seg-MAug, batches of two", "sub_pixel_motion_b2", "stack"),
    "acnn_sub_pixel_motion_b2": Arm("ACNN-Seg with slice motion, batches of two", "acnn_sub_pixel_motion_b2", "stack"),
    "acnn_sub_pixel_steps": Arm("ACNN-Seg, as many steps as 3D-Seg", "acnn_sub_pixel_steps", "stack"),
    "acnn_sub_pixel_box": Arm("ACNN-Seg, prior on the box", "acnn_sub_pixel_box", "stack"),
    "unet_interpolated": Arm("3D U-Net on linear interpolation", "unet_interpolated", "interpolated"),
    "unet_2d": Arm("2d slice by slice, labels linear", "unet_2d", "slices"),
    "unet_2d_bspline": Arm("2d slice by slice, labels B-spline", "unet_2d", "slices", method="bspline"),
    "labels_linear": Arm("true labels of thick slices, linear", None, "interpolation"),
    "labels_bspline": Arm("true labels of thick slices, B-spline", None, "interpolation", method="bspline"),
    "image_linear": Arm("linear", None, "interpolation", image=True),
    "image_bspline": Arm("B-spline", None, "interpolation", method="bspline", image=True),
    "sr_cnn": Arm("SR-CNN: SRCNNTrainer", "sr_cnn", "stack", image=True),
    "sr": Arm("SR: SRTrainer", "sr", "stack", image=True),
    "acnn_sr": Arm("ACNN-SR: ACNNSRTrainer", "acnn_sr", "stack", image=True),
    "acnn_sr_steps": Arm("ACNN-SR, as many steps as SR", "acnn_sr_steps", "stack", image=True),
    "sr_then_unet": Arm("SR, then a 3D U-Net of HR images", "unet_hr", "reconstructed", source="sr"),
    "acnn_sr_then_unet": Arm("ACNN-SR, then a 3D U-Net of HR images", "unet_hr", "reconstructed", source="acnn_sr"),
    "tl_decoding": Arm("T-L network, g(p(x)) of linear interpolation", None, "decoded"),
    "ae_seg": Arm("AE-Seg: 3D-Seg, then an autoencoder", "ae", "refined", source="sub_pixel"),
    "ae_seg_m": Arm("AE-Seg-M: its larger autoencoder", "ae_m", "refined", source="sub_pixel"),
    "ae_seg_b2": Arm("AE-Seg on 3D-Seg in batches of two", "ae", "refined", source="sub_pixel_b2"),
    "ae_seg_m_b2": Arm("AE-Seg-M on 3D-Seg in batches of two", "ae_m", "refined", source="sub_pixel_b2"),
    "pairs_b2": Arm("3D-Seg, batches of two, registered pairs alone", "pairs_b2", "stack"),
}
_TRAINED = {
    **ARMS_OF_EQUAL_TIME,
    "in_plane_b2": Arm("3D-Seg, batches of two, turned in plane alone", "in_plane_b2", "stack"),
    "in_plane_motion_b2": Arm("3D-Seg-MAug, batches of two, turned in plane alone", "in_plane_motion_b2", "stack"),
    "acnn_outside_b2": Arm("ACNN-Seg, prior on the box, outside_weight=1", "acnn_outside_b2", "stack"),
}
# Of these, trained by the per-class cross-entropy, the logits are adjusted as well: no training.
ADJUSTED = ("unet_interpolated", "sub_pixel_motion_b2", "acnn_sub_pixel_motion_b2", "acnn_outside_b2")
ARMS = {
    **_TRAINED,
    "sr_cnn_b2": Arm("SR-CNN, batches of two", "sr_cnn_b2", "stack", image=True),
    "sr_b2": Arm("SR, batches of two", "sr_b2", "stack", image=True),
    "acnn_sr_b2": Arm("ACNN-SR, batches of two", "acnn_sr_b2", "stack", image=True),
    "mixed_b2": Arm("3D-Seg, one network for factors 4 to 6", "mixed_b2", "stack", tests=tuple(MIXED_TESTS)),
    **{
        f"factor_{k}_b2": Arm(f"3D-Seg, factor {k} alone", f"factor_{k}_b2", "stack", tests=(f"mixed{k}",))
        for k in MIXED_FACTORS
    },
    "stock_mixed": Arm("stock 3d_fullres of mixed stacks", "stock_mixed", "on_stacks", tests=tuple(MIXED_TESTS)),
    "mixed_sampled": Arm(
        "one network, at the slices", "mixed_b2", "sampled", source="mixed_b2", tests=tuple(MIXED_TESTS)
    ),
    **{
        f"{arm}_adjusted": replace(
            _TRAINED[arm],
            title=f"{_TRAINED[arm].title}; logits adjusted",
            kind="adjusted",
            source=arm,
        )
        for arm in ADJUSTED
    },
}
SEEDLESS = tuple(name for name, arm in ARMS.items() if arm.kind in ("interpolation", "decoded"))


def trainings_of(arms: list[str]) -> list[str]:
    """Return what has to be trained for these arms, and for those that they begin with."""
    sources = [ARMS[arm].source for arm in arms]
    needed = {ARMS[name].training for name in (*arms, *sources) if name is not None}
    return sorted(name for name in needed if name is not None)
