"""degrade on files: where stacks lie, what is drawn, and what is refused."""

import json

import numpy as np
import pytest
import SimpleITK
import torch
from stack_files import DIRECTIONS, between_slices, image_of, read, world_coordinates, world_ramp, write

from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import DegradeOptions, degrade_folder, generator_of
from acnn_nnunet.sr.inference.interpolation import InterpolationOptions, interpolate_folder


def values_of(path):
    return SimpleITK.GetArrayFromImage(read(path))


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("factor", range(2, 9))
@pytest.mark.parametrize("nifti_axis", [0, 1, 2])
def test_a_stack_and_its_interpolation_read_their_own_place(tmp_path, factor, direction, nifti_axis):
    size = [3, 3, 3]
    size[nifti_axis] = 4 * factor
    geometry = {"spacing": (0.9, 0.8, 1.1), "direction": DIRECTIONS[direction]}
    for world_axis in range(3):
        write(world_ramp(size, world_axis, **geometry), tmp_path / "hr" / f"w{world_axis}.nii.gz")
    # The plain mean of a block leaves a ramp a ramp, up to the ends.
    acquisition = Acquisition(factor, profile="boxcar")
    assert degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(acquisition, axis=nifti_axis)).complete
    outcome = interpolate_folder(
        tmp_path / "lr", tmp_path / "again", InterpolationOptions("linear", factor, axis=nifti_axis)
    )
    assert outcome.complete
    tolerance = 1e-3 * 0.8
    for world_axis in range(3):
        stack, again = (read(tmp_path / folder / f"w{world_axis}.nii.gz") for folder in ("lr", "again"))
        expected = world_coordinates(stack)[world_axis]
        assert np.abs(SimpleITK.GetArrayFromImage(stack) - expected).max() < tolerance
        hr = read(tmp_path / "hr" / f"w{world_axis}.nii.gz")
        assert again.GetSize() == hr.GetSize()
        axis = 2 - nifti_axis
        for image in (again, hr):  # where it says it lies, and where the HR image did
            expected = between_slices(world_coordinates(image)[world_axis], factor, axis)
            found = between_slices(SimpleITK.GetArrayFromImage(again), factor, axis)
            assert np.abs(found - expected).max() < tolerance


def test_the_gaussian_is_the_default_and_measured_in_mm(tmp_path):
    # An impulse, slices of 2 mm, K = 2: σ = 0.8 slices = 1.6 mm, cut at 3σ, 2.4 slices: ceil(2.4 − 1) = 2 beyond.
    values = np.zeros((8, 3, 3), np.float32)
    values[4] = 1
    path = write(image_of(values, spacing=(1, 1, 2)), tmp_path / "a.nii.gz")
    offsets = np.arange(6) - 2.5
    weights = np.exp(-0.5 * (offsets / 0.8) ** 2)
    weights /= weights.sum()
    # Block k begins at slice 2k; the impulse at 4 is its slice 4 − 2k, tap 4 − 2k + 2.
    expected = [0, weights[4], weights[2], weights[0]]
    for sigma_mm in (None, 1.6):
        assert degrade_folder(
            path, tmp_path / "lr" / "b.nii.gz", DegradeOptions(Acquisition(2, sigma_mm=sigma_mm))
        ).complete
        assert values_of(tmp_path / "lr" / "b.nii.gz")[:, 1, 1] == pytest.approx(expected, abs=1e-6)


def test_one_file_into_a_folder_and_integers(tmp_path):
    values = np.array([0, 3, 10, 20], np.int16).repeat(4).reshape(4, 2, 2)
    path = write(image_of(values), tmp_path / "a.nii.gz")
    outcome = degrade_folder(path, tmp_path / "lr", DegradeOptions(Acquisition(2, profile="boxcar")))
    assert outcome.text == f"{tmp_path / 'lr'}: 1 of 1 done"
    stack = values_of(tmp_path / "lr" / "a.nii.gz")
    assert stack.dtype == np.float32
    assert stack[:, 0, 0].tolist() == [1.5, 15]


def test_a_file_of_another_format_in_a_folder_is_named(tmp_path):
    for name in ("a.nii.gz", "b.nrrd"):
        write(image_of(np.ones((4, 2, 2), np.float32)), tmp_path / "hr" / name)
    outcome = degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(Acquisition(2)))
    assert not outcome.complete
    assert outcome.text.splitlines() == [
        f"{tmp_path / 'lr'}: 1 of 2 done",
        f"{tmp_path / 'hr/b.nrrd'} is no NIfTI file: convert it to .nii.gz, or remove it.",
    ]


class TestWhatIsDrawn:
    @pytest.fixture
    def folder(self, tmp_path):
        values = np.random.default_rng(0).normal(50, 10, (40, 24, 24)).astype(np.float32)
        for name in ("a", "b"):
            write(image_of(values), tmp_path / "hr" / f"{name}.nii.gz")
        return tmp_path

    @staticmethod
    def run(folder, seed=0, source="hr", target="lr", **options):
        acquisition = Acquisition(4, profile="boxcar", **options)
        assert degrade_folder(folder / source, folder / target, DegradeOptions(acquisition, seed=seed)).complete
        return [values_of(path) for path in sorted((folder / target).glob("*.nii.gz"))]

    def test_names_and_seed_alone_decide(self, folder):
        options = {"motion_mm": 2.0, "rotation_deg": 5.0, "noise": 0.1, "drop": 0.3}
        a, b = self.run(folder, **options)
        assert not np.array_equal(a, b)
        (again,) = self.run(folder, source="hr/b.nii.gz", target="lr2", **options)
        np.testing.assert_array_equal(again, b)
        assert not np.array_equal(self.run(folder, seed=1, target="lr3", **options)[0], a)

    def test_noise_is_a_share_of_the_stacks_own_spread(self, folder):
        clean, _ = self.run(folder)
        noisy, _ = self.run(folder, noise=0.5, target="lr2")
        # 5760 draws: the standard error of an SD is 1 %.
        assert (noisy - clean).std() == pytest.approx(0.5 * clean.std(), rel=0.05)

    def test_lost_slices_become_the_lowest_value(self, folder):
        stack, _ = self.run(folder, drop=1.0)
        clean, _ = self.run(folder, target="lr2")
        assert np.unique(stack).tolist() == [clean.min()]

    def test_motion_is_within_the_slice_and_in_mm(self, folder):
        # A ramp along x, in-plane pixels of 3 mm (x) and 1 mm (y): moved by t mm, its middle changes by t/3.
        size = (24, 20, 40)
        values = np.broadcast_to(np.arange(24, dtype=np.float32), size[::-1])
        write(image_of(values, spacing=(3, 1, 1)), folder / "ramp" / "a.nii.gz")
        acquisition = Acquisition(4, profile="boxcar", motion_mm=6.0)
        assert degrade_folder(folder / "ramp", folder / "lr", DegradeOptions(acquisition, axis=2)).complete
        stack = values_of(folder / "lr" / "a.nii.gz")
        shift = (stack - np.arange(24))[:, 5:-5, 5:-5]
        assert np.ptp(shift, axis=(1, 2)).max() < 1e-3  # each slice as a whole
        by_slice = shift.mean((1, 2))
        assert np.abs(by_slice).max() <= 2 + 1e-3
        assert np.abs(by_slice).max() > 1  # of ten draws within ±2, all below 1 once in a thousand seeds
        assert np.unique(by_slice.round(3)).size == 10


class TestBadInput:
    def test_a_factor_that_does_not_divide(self, tmp_path):
        for name, slices in (("good", 6), ("long", 10), ("prime", 7), ("short", 3)):
            write(image_of(np.ones((slices, 2, 2), np.float32)), tmp_path / "hr" / f"{name}.nii.gz")
        outcome = degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(Acquisition(3)))
        assert not outcome.complete
        assert outcome.text.splitlines() == [
            f"{tmp_path / 'lr'}: 1 of 4 done",
            f"{tmp_path / 'hr/long.nii.gz'} has 10 slices along NIfTI axis 2, which --factor 3 does not divide: crop "
            "it to 9, or choose a factor of 2, 5.",
            f"{tmp_path / 'hr/prime.nii.gz'} has 7 slices along NIfTI axis 2, which --factor 3 does not divide: crop "
            "it to 6.",
            f"{tmp_path / 'hr/short.nii.gz'} has 3 slices along NIfTI axis 2, of which --factor 3 leaves fewer than "
            "two thick ones: choose a smaller factor or another --axis.",
        ]
        assert [path.name for path in (tmp_path / "lr").glob("*.nii.gz")] == ["good.nii.gz"]
        status = (tmp_path / "lr" / "status.csv").read_text().splitlines()
        assert [line.split(",")[:2] for line in status[1:]] == [
            ["good", "done"],
            *([name, "failed"] for name in ("long", "prime", "short")),
        ]

    def test_places_that_cannot_be(self, tmp_path):
        path = write(image_of(np.ones((4, 2, 2), np.float32)), tmp_path / "a.nii.gz")
        with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
            degrade_folder(tmp_path / "nowhere", tmp_path / "lr", DegradeOptions(Acquisition(2)))
        with pytest.raises(ValueError, match="is the folder that is read from"):
            degrade_folder(tmp_path, tmp_path, DegradeOptions(Acquisition(2)))
        for output in (path, tmp_path):
            with pytest.raises(ValueError, match=r"a\.nii\.gz is the file that is read"):
                degrade_folder(path, output, DegradeOptions(Acquisition(2)))
        with pytest.raises(ValueError, match=r"lr\.mha would not be NIfTI, which stacks are written as"):
            degrade_folder(path, tmp_path / "lr.mha", DegradeOptions(Acquisition(2)))
        assert not (tmp_path / "lr.mha").exists()
        with pytest.raises(OSError, match=r"a\.nii\.gz.* cannot be written to"):
            degrade_folder(path, path / "below", DegradeOptions(Acquisition(2)))


def test_one_file_of_another_format_becomes_a_nifti_stack(tmp_path):
    image = write(image_of(np.ones((4, 3, 3), np.float32), spacing=(1, 1, 2)), tmp_path / "a_0000.mha")
    assert degrade_folder(image, tmp_path / "lr", DegradeOptions(Acquisition(2))).complete
    assert [path.name for path in (tmp_path / "lr").iterdir()] == ["a_0000.nii.gz"]


def test_what_is_drawn_depends_on_name_and_seed_alone():
    def draw(name, seed):
        return torch.rand(3, generator=generator_of(name, seed=seed)).tolist()

    assert draw("a", 0) == draw("a", 0)
    assert len({tuple(draw(name, seed)) for name in ("a", "b", "") for seed in (0, 1)}) == 6


def test_a_thickness_is_told_beside_the_stack(tmp_path):
    image = write(image_of(np.zeros((10, 3, 3), np.float32), spacing=(1, 1, 2)), tmp_path / "hr" / "a_0000.nii.gz")
    options = DegradeOptions(Acquisition(5, thickness_mm=8.0))
    assert degrade_folder(image.parent, tmp_path / "lr", options).complete
    told = json.loads((tmp_path / "lr" / "a_0000.json").read_text())
    assert told == {"SliceThickness": 8.0, "SpacingBetweenSlices": 10.0}
    assert degrade_folder(image.parent, tmp_path / "plain", DegradeOptions(Acquisition(5))).complete
    assert not (tmp_path / "plain" / "a_0000.json").exists()
    with pytest.raises(ValueError, match=r"lr holds a run with another acquisition .*: name another folder with -o"):
        degrade_folder(image.parent, tmp_path / "lr", DegradeOptions(Acquisition(5)))
    assert (tmp_path / "lr" / "a_0000.nii.gz").exists()
    outcome = degrade_folder(image.parent, tmp_path / "no", DegradeOptions(Acquisition(5, thickness_mm=25.0)))
    assert "a_0000.nii.gz slices of 25 mm, more than twice their spacing of 10 mm" in outcome.text
    assert not outcome.complete
