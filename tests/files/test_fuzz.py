"""Six hundred files with changed headers, and folders as users leave them: right numbers or one sentence each."""

import csv
import gzip
import json
import os
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest
from header_words import UntoldError, Words, words_of
from mutated_files import (
    LABELS,
    SIZES_MM,
    mutated_detached,
    mutated_gipl,
    mutated_metaimage,
    mutated_nifti,
    mutated_nifti2,
    mutated_nrrd,
    mutated_png,
    mutated_tiff,
    nifti_bytes,
    spacing_file,
)

from acnn_nnunet.evaluation.command import EvaluationOptions, evaluate
from acnn_nnunet.evaluation.images.command import evaluate_super_resolution
from acnn_nnunet.evaluation.images.pairs import ImagePair, read_pair
from acnn_nnunet.files.volumes import read_volume
from acnn_nnunet.nnunet.label_files import LabelFileReader
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import DegradeOptions, degrade_folder

NIFTI_READERS = ("SimpleITKIO", "SimpleITKIOWithReorient", "NibabelIO", "NibabelIOWithReorient")
KINDS = {  # number of files, how they are made, name, readers, and the least share of reads that give numbers
    "nifti": (180, mutated_nifti, "a.nii", ("volume", "pair", *NIFTI_READERS), 0.4),
    "gzipped": (60, mutated_nifti, "a.nii.gz", ("volume", "pair", *NIFTI_READERS), 0.4),
    "nifti2": (30, mutated_nifti2, "a.nii", ("volume", "SimpleITKIO", "NibabelIO", "NibabelIOWithReorient"), 0.15),
    "nrrd": (90, mutated_nrrd, "a.nrrd", ("volume", "pair", "SimpleITKIO"), 0.2),
    "metaimage": (90, mutated_metaimage, "a.mha", ("volume", "pair", "SimpleITKIO"), 0.2),
    "detached nrrd": (30, mutated_detached, "a.nrrd", ("volume", "SimpleITKIO"), 0.2),
    "detached metaimage": (30, mutated_detached, "a.mha", ("volume", "SimpleITKIO"), 0.2),
    "gipl": (30, mutated_gipl, "a.gipl", ("volume", "SimpleITKIO"), 0.2),
    "png": (40, mutated_png, "a.png", ("NaturalImage2DIO",), 0.15),
    "tiff": (40, mutated_tiff, "a.tif", ("volume", "pair", "Tiff3DIO"), 0.05),
}


def numbers(reader: str, path: Path) -> tuple[np.ndarray, tuple[float, ...], float | None]:
    """Return what the package reads: values, voxel size in mm, and the volume of all voxels in ml."""
    if reader == "volume":
        volume = read_volume(path)
        geometry, values, sizes_mm = volume.geometry, volume.values, volume.geometry.spacing_mm
        return values, sizes_mm, geometry.voxel_ml * values.size
    if reader == "pair":
        pair = read_pair(ImagePair("a", path, path))
        np.testing.assert_array_equal(pair.reference, pair.prediction)
        return pair.reference, pair.spacing_mm, None
    labels = LabelFileReader(reader).read(path)
    if labels.geometry.thickness_mm is None and labels.values.ndim == 2:
        return labels.values, labels.geometry.spacing_mm, None
    return labels.volume, labels.volume_spacing_mm, labels.geometry.voxel_ml * labels.values.size


def differs(words: Words, read: tuple, *, turned: bool, rounded: bool) -> bool:
    """Return whether numbers are others than the file's words; a turned image has its axes in another order."""
    values, sizes_mm, volume_ml = read
    wanted = np.rint(words.values) if rounded else words.values
    wanted_mm = words.sizes_mm or (1.0,) * wanted.ndim
    wanted_ml = None if volume_ml is None else np.prod(wanted_mm) * wanted.size / 1000
    if turned:
        values, wanted = np.sort(values.ravel()), np.sort(wanted.ravel())
        sizes_mm, wanted_mm = sorted(sizes_mm), sorted(wanted_mm)
    return (
        values.shape != wanted.shape
        or not np.allclose(values, wanted, rtol=1e-6, atol=0)
        or not np.allclose(sizes_mm, wanted_mm, rtol=1e-5, atol=0)
        or (wanted_ml is not None and not np.isclose(volume_ml, wanted_ml, rtol=1e-5))
    )


def fault(reader: str, path: Path) -> str:
    """Return what is wrong with how a file is read; "read" or "refused" if nothing is."""
    try:
        words = words_of(path)
    except UntoldError:
        words = None
    try:
        read = numbers(reader, path)
    except (ValueError, FileNotFoundError) as error:
        return "refused" if str(path) in str(error) and "\n" not in str(error) else f"no sentence: {error}"
    except Exception as error:
        return f"raised {error!r}"
    if words is None:
        return f"read {read[1]} mm from a file that does not tell its numbers"
    label_file = reader not in ("volume", "pair")
    wrong = differs(words, read, turned="Reorient" in reader, rounded=label_file)
    return f"read {read}, not {words}" if wrong else "read"


@pytest.mark.parametrize("kind", KINDS)
def test_changed_headers_give_their_own_numbers_or_one_sentence(tmp_path, kind):
    number, mutate, name, readers, least = KINDS[kind]
    found = Counter()
    for seed in range(number):
        path = mutate(Random(f"{kind}{seed}"), tmp_path / name)
        for reader in readers:
            what = fault(reader, path)
            assert what in ("read", "refused"), f"{kind} {seed} with {reader}: {what}"
            found[what] += 1
    assert found["read"] >= least * number * len(readers)


def write_changed(folder: Path, number: int, *, values=LABELS) -> list[str]:
    """Write good files and changed ones, and return the names of the good ones."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("good_1", "good_2"):
        (folder / f"{name}.nii.gz").write_bytes(gzip.compress(nifti_bytes(values)))
    for seed in range(number):
        mutated_nifti(Random(f"folder{seed}"), folder / f"bad_{seed:02}.nii.gz")
    return ["good_1", "good_2"]


def check_sentences(outcome, folder: Path) -> None:
    assert outcome.excluded
    for each in outcome.excluded:
        assert str(folder) in each.reason
        assert "\n" not in each.reason


def test_evaluate_does_the_others(tmp_path):
    good = write_changed(tmp_path / "gt", 30)
    for path in (tmp_path / "gt").iterdir():
        (tmp_path / "pred").mkdir(exist_ok=True)
        (tmp_path / "pred" / path.name).write_bytes(gzip.compress(nifti_bytes(LABELS)))

    outcome = evaluate(tmp_path / "gt", tmp_path / "pred", tmp_path / "out", EvaluationOptions(labels=["1", "2"]))

    with open(tmp_path / "out" / "cases.csv") as file:
        rows = {row["case"]: row for row in csv.DictReader(file) if row["label"] == "1"}
    assert set(good) <= rows.keys()
    assert len(rows) + len(outcome.excluded) == 32
    expected_ml = (LABELS == 1).sum() * 5 * 2 * 1.5 / 1000
    assert float(rows["good_1"]["volume_reference_ml"]) == pytest.approx(expected_ml)
    check_sentences(outcome, tmp_path)


def test_evaluate_sr_does_the_others(tmp_path):
    values = np.random.default_rng(1).integers(0, 200, (12, 12, 12))
    good = write_changed(tmp_path / "hr", 20, values=values)
    write_changed(tmp_path / "sr", 0, values=values)
    for seed in range(20):
        (tmp_path / "sr" / f"bad_{seed:02}.nii.gz").write_bytes(gzip.compress(nifti_bytes(values)))

    outcome = evaluate_super_resolution(tmp_path / "hr", tmp_path / "sr", tmp_path / "out")

    with open(tmp_path / "out" / "images.csv") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert len(rows) == 22
    assert [float(rows[name]["mae"]) for name in good] == [0, 0]
    check_sentences(outcome, tmp_path)


def test_degrade_does_the_others(tmp_path):
    values = np.random.default_rng(1).integers(0, 200, (4, 3, 3))
    good = write_changed(tmp_path / "hr", 20, values=values)

    outcome = degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(Acquisition(2)))

    assert len(outcome.excluded) + len(list((tmp_path / "lr").glob("*.nii.gz"))) == 22
    for name in good:
        stack = words_of(tmp_path / "lr" / f"{name}.nii.gz")
        assert stack.values.shape == (2, 3, 3)
        assert stack.sizes_mm == (10, 2, 1.5)
    check_sentences(outcome, tmp_path)


def test_links_spellings_hidden_and_empty_files(tmp_path):
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    content = gzip.compress(nifti_bytes(LABELS))
    for folder, name in (("gt", composed), ("pred", decomposed)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.nii.gz").write_bytes(content)
        (tmp_path / folder / "upper.NII.GZ").write_bytes(content)
        (tmp_path / folder / "._upper.nii.gz").write_bytes(b"\0\5\26\7")
        (tmp_path / folder / "empty.nii.gz").touch()
    (tmp_path / "elsewhere.nii.gz").write_bytes(content)
    os.symlink(tmp_path / "elsewhere.nii.gz", tmp_path / "gt" / "link.nii.gz")
    os.symlink(tmp_path / "absent.nii.gz", tmp_path / "pred" / "link.nii.gz")  # leads nowhere: there is no prediction
    os.symlink(tmp_path / "pred", tmp_path / "linked")
    labels = {"background": 0, "all": [1, 2, 3, 4, 5]}
    content = {"labels": labels, "file_ending": ".nii.gz", "regions_class_order": [1]}
    (tmp_path / "dataset.json").write_text(json.dumps(content))

    outcome = evaluate(tmp_path / "gt", tmp_path / "linked", tmp_path / "out")

    with open(tmp_path / "out" / "cases.csv") as file:
        dice = {row["case"]: float(row["dice"]) for row in csv.DictReader(file)}
    assert dice == {composed: 1, "link": 0, "upper": 1}
    assert [each.case for each in outcome.excluded] == ["empty"]
    check_sentences(outcome, tmp_path)


def test_two_files_of_one_name_are_named(tmp_path):
    write_changed(tmp_path / "hr", 0)
    write_changed(tmp_path / "sr", 0)
    (tmp_path / "hr" / "good_1.nii").write_bytes(nifti_bytes(LABELS))
    twice = r"holds good_1 twice, good_1\.nii and good_1\.nii\.gz: remove one"
    with pytest.raises(ValueError, match=twice):
        degrade_folder(tmp_path / "hr", tmp_path / "lr", DegradeOptions(Acquisition(2)))
    with pytest.raises(ValueError, match=twice):
        evaluate_super_resolution(tmp_path / "hr", tmp_path / "sr", tmp_path / "out")


def test_the_words_of_unchanged_files_by_hand(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(LABELS, scl_slope=2.0, scl_inter=1.0))
    words = words_of(tmp_path / "a.nii")
    assert words.sizes_mm == SIZES_MM == (5, 2, 1.5)
    assert words.values.sum() == 2 * LABELS.sum() + 24
    assert spacing_file() == '{"spacing": [5.0, 2.0, 1.5]}'
