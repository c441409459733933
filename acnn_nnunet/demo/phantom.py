"""A generated phantom heart: short-axis stacks with exact labels, in three groups, from a seed.

Arrays are `(Z, Y, X)` with slices along Z, and every length is in mm, so one heart can be seen on any grid: isotropic
voxels, thick slices, the coarse grid of the demo. Labels are ACDC's: 0 background, 1 RV, 2 MYO, 3 LV.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
from nnunetv2.dataset_conversion.generate_dataset_json import generate_dataset_json
from scipy.ndimage import gaussian_filter, map_coordinates

from acnn_nnunet.files.patients import GROUPS_FILE, CaseGroup, write_groups

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
GROUPS = ("healthy", "dilated", "thick-walled")
DEMO_SHAPE = (16, 40, 40)
DEMO_SPACING_MM = (7.5, 3.2, 3.2)

# Mean cavity radius, cavity length below its widest level, wall and RV width, all in mm: about what the three
# conditions look like at end-diastole in adults.
_GROUP_MEANS_MM = {
    "healthy": (23.0, 62.0, 9.0, 26.0),
    "dilated": (31.0, 70.0, 7.5, 27.0),
    "thick-walled": (18.0, 60.0, 15.0, 25.0),
}
# The base lies this fraction of the cavity's length above its widest level.
_BASE_FRACTION = 0.25
_BLOOD, _MUSCLE, _RV_BLOOD = 1.0, 0.42, 0.9


@dataclass(frozen=True)
class HeartShape:
    """One heart: a truncated ellipsoid in a wall, with a crescent on its septum.

    Attributes:
        cavity_radius_mm: in-plane radius of the LV cavity at its widest level.
        cavity_length_mm: from that level to the cavity's apex.
        wall_mm: mean thickness of the myocardium, also at the apex.
        rv_width_mm: how far the RV stands out from the septum.
        ellipticity: in-plane radii of the LV are `cavity_radius_mm` times 1 ± this.
        septal_excess: the wall is 1 + this times `wall_mm` at the septum and 1 − this at the free wall.
        centre_mm: offset `(z, y, x)` of the heart from the middle of the image.
        rotation_deg: turn about the long axis; 0 puts the RV at low x.
        tilt_deg: leaning of the long axis against z, towards y and towards x.
        wobble_mm: amplitude of the smooth in-plane deformation that makes outlines irregular.
        wobble_phase: its three phases in radians.
    """

    cavity_radius_mm: float
    cavity_length_mm: float
    wall_mm: float
    rv_width_mm: float
    ellipticity: float = 0.0
    septal_excess: float = 0.0
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_deg: float = 0.0
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    wobble_mm: float = 0.0
    wobble_phase: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("cavity_radius_mm", "cavity_length_mm", "wall_mm", "rv_width_mm"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("ellipticity", "septal_excess"):
            if not 0 <= getattr(self, name) < 0.5:
                raise ValueError(f"{name} must lie in [0, 0.5), got {getattr(self, name)}")


@dataclass(frozen=True)
class Artefacts:
    """What goes wrong while the image is taken; the label never sees it.

    Attributes:
        dropout_probability: chance that a shadow occludes a sector of the image in a run of slices.
        speckle: standard deviation of the grainy, multiplicative part of the noise.
        noise: standard deviation of the white, additive part (blood is 1).
        motion_mm: standard deviation of each slice's in-plane shift, per axis.
        motion_deg: standard deviation of each slice's in-plane rotation.
    """

    dropout_probability: float = 0.7
    speckle: float = 0.2
    noise: float = 0.05
    motion_mm: float = 2.0
    motion_deg: float = 2.0


CLEAN = Artefacts(dropout_probability=0.0, speckle=0.0, noise=0.0, motion_mm=0.0, motion_deg=0.0)


def make_case(
    rng: np.random.Generator,
    group: str,
    shape: Sequence[int] = DEMO_SHAPE,
    spacing_mm: Sequence[float] = DEMO_SPACING_MM,
    *,
    artefacts: Artefacts = Artefacts(),
) -> tuple[np.ndarray, np.ndarray]:
    """Return the image (float32) and the label map (uint8) of one random heart, both `(Z, Y, X)`.

    The heart depends on `rng` and `group` alone: the same generator state gives the same anatomy on any grid and
    under any artefacts.

    Raises:
        ValueError: for a group that does not exist, or a grid too small to show every label.
    """
    heart = draw_heart(rng, group)
    label = draw_label(heart, shape, spacing_mm)
    if missing := [name for name, value in LABELS.items() if not (label == value).any()]:
        extent_mm = tuple(round(n * s, 1) for n, s in zip(shape, spacing_mm, strict=True))
        raise ValueError(
            f"the image is too small or too coarse for a heart: {', '.join(missing)} missing from shape {tuple(shape)} "
            f"with spacing {tuple(spacing_mm)} mm, an extent of {extent_mm} mm; a heart needs about (115, 125, 125) mm"
        )
    return draw_image(rng, label, spacing_mm, artefacts=artefacts), label


def draw_heart(rng: np.random.Generator, group: str) -> HeartShape:
    """Draw the parameters of a random heart of a group: size, wall, aspect, position and pose."""
    if group not in _GROUP_MEANS_MM:
        raise ValueError(f"no group {group!r}; choose from {', '.join(GROUPS)}")
    radius_mm, length_mm, wall_mm, rv_width_mm = (
        mean * float(np.clip(rng.normal(1.0, 0.06), 0.88, 1.12)) for mean in _GROUP_MEANS_MM[group]
    )
    size = rng.uniform(0.93, 1.05)
    tilt_y_deg, tilt_x_deg = rng.uniform(-10, 10, 2)
    z_mm, y_mm, x_mm = rng.uniform(-4, 4, 3)
    phase = rng.uniform(0, 2 * np.pi, 3)
    return HeartShape(
        cavity_radius_mm=size * radius_mm,
        cavity_length_mm=size * length_mm,
        wall_mm=size * wall_mm,
        rv_width_mm=size * rv_width_mm,
        ellipticity=rng.uniform(0, 0.08),
        septal_excess=rng.uniform(0, 0.3 if group == "thick-walled" else 0.15),
        centre_mm=(z_mm, y_mm, x_mm),
        rotation_deg=rng.uniform(-30, 30),
        tilt_deg=(tilt_y_deg, tilt_x_deg),
        wobble_mm=rng.uniform(0.5, 2.0),
        wobble_phase=(phase[0], phase[1], phase[2]),
    )


def draw_label(heart: HeartShape, shape: Sequence[int], spacing_mm: Sequence[float]) -> np.ndarray:
    """Return the label map (uint8, `(Z, Y, X)`) of a heart on a grid; a voxel is what lies at its centre.

    The base is cut along the slices, as annotators of short-axis stacks do, so that the myocardium surrounds the
    cavity in every slice, however the heart leans.
    """
    _check_grid(shape, spacing_mm)
    z_mm, y_mm, x_mm = _voxel_centres_mm(shape, spacing_mm)
    length_mm = heart.cavity_length_mm
    base_mm = _BASE_FRACTION * length_mm
    # The middle of base and apex goes to the middle of the image, and so does the middle of both ventricles.
    z_mm = z_mm - heart.centre_mm[0] - (length_mm + heart.wall_mm - base_mm) / 2
    below_base = z_mm <= base_mm
    u_mm, v_mm, w_mm = _heart_coordinates_mm(heart, z_mm, y_mm - heart.centre_mm[1], x_mm - heart.centre_mm[2])

    septal = -u_mm / np.maximum(np.hypot(u_mm, v_mm), 1e-6)
    wall_mm = heart.wall_mm * (1 + heart.septal_excess * septal)
    radius_u_mm = heart.cavity_radius_mm * (1 - heart.ellipticity)
    radius_v_mm = heart.cavity_radius_mm * (1 + heart.ellipticity)
    cavity = (u_mm / radius_u_mm) ** 2 + (v_mm / radius_v_mm) ** 2 + (w_mm / length_mm) ** 2 <= 1
    outer_u_mm, outer_v_mm = radius_u_mm + wall_mm, radius_v_mm + wall_mm
    outer = (u_mm / outer_u_mm) ** 2 + (v_mm / outer_v_mm) ** 2 + (w_mm / (length_mm + heart.wall_mm)) ** 2 <= 1

    # An ellipsoid centred inside the septal half of the LV: what stands out of the LV is a crescent on the septum.
    septum_mm = radius_u_mm + heart.wall_mm
    rv_centre_mm = -0.45 * septum_mm
    rv_radius_u_mm = 0.55 * septum_mm + heart.rv_width_mm
    rv_radius_v_mm = 0.9 * (radius_v_mm + heart.wall_mm)
    rv = ((u_mm - rv_centre_mm) / rv_radius_u_mm) ** 2 + (v_mm / rv_radius_v_mm) ** 2 + (
        w_mm / (0.88 * length_mm)
    ) ** 2 <= 1

    label = np.select([cavity, outer, rv], [LABELS["LV"], LABELS["MYO"], LABELS["RV"]], LABELS["background"])
    return np.where(below_base, label, LABELS["background"]).astype(np.uint8)


def draw_image(
    rng: np.random.Generator,
    label: np.ndarray,
    spacing_mm: Sequence[float],
    *,
    artefacts: Artefacts = Artefacts(),
) -> np.ndarray:
    """Return an image (float32, `(Z, Y, X)`, blood near 1) of a label map, with the artefacts asked for."""
    _check_grid(label.shape, spacing_mm)
    # Lung, liver and fat: mostly darker than muscle, in places as bright as blood.
    surroundings = (0.28 + 0.22 * _smooth_field(rng, label.shape, spacing_mm, sigma_mm=14.0)).clip(0.05, 0.9)
    tissue = np.choose(label, [surroundings, _RV_BLOOD, _MUSCLE, _BLOOD])
    # Partial volume in-plane, of about the width of an acquired pixel.
    image = gaussian_filter(tissue, [0.0, *(1.2 / np.asarray(spacing_mm[1:]))])
    image = image * (1 + 0.12 * _smooth_field(rng, label.shape, spacing_mm, sigma_mm=45.0))
    image = _move_slices(rng, image, spacing_mm, artefacts)
    image = image * _shadow(rng, label, spacing_mm, artefacts.dropout_probability)
    grain = _smooth_field(rng, label.shape, spacing_mm, sigma_mm=2.0)
    image = image * (1 + artefacts.speckle * grain) + artefacts.noise * rng.standard_normal(label.shape)
    return image.astype(np.float32)


def write_dataset(
    nnunet_raw: Path,
    dataset_id: int,
    *,
    num_train: int,
    num_test: int,
    seed: int,
    shape: Sequence[int] = DEMO_SHAPE,
    spacing_mm: Sequence[float] = DEMO_SPACING_MM,
    artefacts: Artefacts = Artefacts(),
) -> Path:
    """Write an nnU-Net raw dataset of phantoms, the groups taking turns, and `groups.csv`: each is its own patient.

    A case depends on the seed and its own number alone, so that a larger dataset contains the smaller one.

    Returns:
        The dataset's folder, `nnunet_raw/Dataset<id>_PhantomHeart`.

    Raises:
        FileExistsError: where that folder exists.
    """
    dataset = Path(nnunet_raw) / f"Dataset{dataset_id:03d}_PhantomHeart"
    if dataset.exists():
        raise FileExistsError(f"{dataset} exists; remove it or choose another dataset id")
    groups = []
    for split, (suffix, count) in enumerate((("Tr", num_train), ("Ts", num_test))):
        images, labels = dataset / f"images{suffix}", dataset / f"labels{suffix}"
        images.mkdir(parents=True)
        labels.mkdir()
        for number in range(count):
            case, group = f"phantom_{suffix.lower()}{number:03d}", GROUPS[number % len(GROUPS)]
            rng = np.random.default_rng([seed, split, number])
            image, label = make_case(rng, group, shape, spacing_mm, artefacts=artefacts)
            _write_nifti(image, spacing_mm, images / f"{case}_0000.nii.gz")
            _write_nifti(label, spacing_mm, labels / f"{case}.nii.gz")
            groups.append(CaseGroup(case=case, patient=case, phase="", group=group))
    write_groups(dataset / GROUPS_FILE, groups)
    generate_dataset_json(
        str(dataset),
        channel_names={"0": "phantom"},
        labels=dict(LABELS),
        num_training_cases=num_train,
        file_ending=".nii.gz",
        dataset_name=dataset.name,
        description="Generated phantom hearts: healthy, dilated and thick-walled (groups.csv)",
        license="none needed: generated",
        converted_by="acnn-nnunet",
    )
    return dataset


def _check_grid(shape: Sequence[int], spacing_mm: Sequence[float]) -> None:
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape must be three positive numbers of voxels (Z, Y, X), got {tuple(shape)}")
    if len(spacing_mm) != 3 or not all(s > 0 for s in spacing_mm):
        raise ValueError(f"spacing_mm must be three positive lengths (Z, Y, X), got {tuple(spacing_mm)}")


def _voxel_centres_mm(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[np.ndarray, ...]:
    """Positions along each axis in mm from the middle of the image, shaped to broadcast."""
    axes_mm = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    return tuple(np.meshgrid(*axes_mm, indexing="ij", sparse=True))


def _heart_coordinates_mm(
    heart: HeartShape, z_mm: np.ndarray, y_mm: np.ndarray, x_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Map image positions to the heart's own axes: u from septum to free wall, v across, w from apex to base."""
    # A shear, not a rotation: it moves in-plane sections sideways and leaves their outlines as they are.
    y_mm = y_mm - np.tan(np.deg2rad(heart.tilt_deg[0])) * z_mm
    x_mm = x_mm - np.tan(np.deg2rad(heart.tilt_deg[1])) * z_mm
    turn = np.deg2rad(heart.rotation_deg)
    u_mm = np.cos(turn) * x_mm + np.sin(turn) * y_mm
    v_mm = np.cos(turn) * y_mm - np.sin(turn) * x_mm
    first, second, third = heart.wobble_phase
    wave = 2 * np.pi / 90
    wobble_u_mm = heart.wobble_mm * np.sin(wave * v_mm + first) * np.cos(wave * z_mm + third)
    wobble_v_mm = heart.wobble_mm * np.sin(wave * u_mm + second) * np.cos(wave * z_mm + third)
    # The RV hangs on one side of the LV: shifting the LV by half its width centres the pair.
    return u_mm + wobble_u_mm - heart.rv_width_mm / 2, v_mm + wobble_v_mm, np.broadcast_to(z_mm, u_mm.shape)


def _smooth_field(
    rng: np.random.Generator, shape: Sequence[int], spacing_mm: Sequence[float], *, sigma_mm: float
) -> np.ndarray:
    """Gaussian noise smoothed over `sigma_mm`, with mean near 0 and standard deviation 1."""
    field = gaussian_filter(rng.standard_normal(shape), sigma_mm / np.asarray(spacing_mm), mode="wrap")
    return (field - field.mean()) / max(field.std(), 1e-12)


def _move_slices(
    rng: np.random.Generator, image: np.ndarray, spacing_mm: Sequence[float], artefacts: Artefacts
) -> np.ndarray:
    """Shift and turn each slice in its plane, independently of the others, as breath-holds that differ do."""
    depth = image.shape[0]
    shift_y_mm, shift_x_mm = artefacts.motion_mm * rng.standard_normal((2, depth, 1, 1))
    turn = np.deg2rad(artefacts.motion_deg) * rng.standard_normal((depth, 1, 1))
    _, y_mm, x_mm = _voxel_centres_mm(image.shape, spacing_mm)
    from_y_mm = np.cos(turn) * y_mm - np.sin(turn) * x_mm + shift_y_mm
    from_x_mm = np.sin(turn) * y_mm + np.cos(turn) * x_mm + shift_x_mm
    from_y = from_y_mm / spacing_mm[1] + (image.shape[1] - 1) / 2
    from_x = from_x_mm / spacing_mm[2] + (image.shape[2] - 1) / 2
    from_z = np.broadcast_to(np.arange(depth)[:, None, None], from_y.shape)
    return map_coordinates(image, [from_z, from_y, from_x], order=1, mode="nearest")


def _shadow(rng: np.random.Generator, label: np.ndarray, spacing_mm: Sequence[float], probability: float) -> np.ndarray:
    """Transmission in [0.1, 1]: a soft-edged sector seen from the image's edge, in a third to all of the slices."""
    happens = rng.uniform() < probability
    origin_angle, aim_angle = rng.uniform(0, 2 * np.pi), rng.normal(0, np.deg2rad(15))
    half_width = np.deg2rad(rng.uniform(6, 12))
    middle, half_depth = rng.uniform(0.25, 0.75), rng.uniform(0.15, 0.5)
    if not happens:
        return np.ones(label.shape)
    _, y_mm, x_mm = _voxel_centres_mm(label.shape, spacing_mm)
    reach_mm = 0.55 * min(label.shape[1] * spacing_mm[1], label.shape[2] * spacing_mm[2])
    from_y_mm, from_x_mm = y_mm - reach_mm * np.sin(origin_angle), x_mm - reach_mm * np.cos(origin_angle)
    bearing = np.arctan2(from_y_mm, from_x_mm) - (origin_angle + np.pi + aim_angle)
    off_axis = np.abs((bearing + np.pi) % (2 * np.pi) - np.pi)
    sector = 1 / (1 + np.exp((off_axis - half_width) / np.deg2rad(1.5)))
    slices = np.abs(np.linspace(0, 1, label.shape[0]) - middle) <= half_depth
    return 1 - 0.9 * sector * slices[:, None, None]


def _write_nifti(array: np.ndarray, spacing_mm: Sequence[float], path: Path) -> None:
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in reversed(spacing_mm)])
    SimpleITK.WriteImage(image, str(path))
