"""Codes of a folder: what the command writes, whom it leaves out, and what it refuses."""

import csv
import hashlib
import shutil

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - as everyone writes it
import torch
from phantom_prior import CODE_SIZE, SPACING_MM, write_phantom_prior, write_raw

from acnn_nnunet.cli import main
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.latent.codes import command
from acnn_nnunet.latent.codes.command import encode_folder
from acnn_nnunet.shape_prior.networks.tl_network import Stage


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=10)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=0)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def write_label(path, values):
    image = sitk.GetImageFromArray(np.asarray(values, dtype=np.uint8))
    image.SetSpacing(tuple(reversed(SPACING_MM)))
    sitk.WriteImage(image, str(path))


def test_label_maps_get_the_encoders_codes(raw, prior, tmp_path, capsys):
    output = tmp_path / "new" / "codes.csv"
    words = ["codes", raw / "labelsTr", "-o", output, "--prior", prior, "--groups", raw / "groups.csv"]

    assert main([str(word) for word in words]) == 0

    assert f"{output}: 10 cases, {CODE_SIZE} numbers each; 0 excluded" in capsys.readouterr().out
    header, *rows = rows_of(output)
    assert header == ["case", "patient", "phase", "group", *(f"code_{k}" for k in range(CODE_SIZE)), "prior"]
    assert rows[1][:4] == ["phantom_tr001", "phantom_tr001", "", "dilated"]
    assert {row[-1] for row in rows} == {hashlib.sha256(prior.read_bytes()).hexdigest()[:16]}
    coder = load_coder(prior)
    maps = coder.load(raw / "labelsTr" / "phantom_tr009.nii.gz").maps
    with torch.no_grad():
        code = coder.prior.network.encoder(maps[None])[0]
    np.testing.assert_allclose(np.array(rows[9][4:-1], dtype=float), code, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("around", [False, True])
def test_images_get_the_predictors_codes(around, raw, prior):
    coder = load_coder(prior)

    table = encode_folder(coder, raw / "imagesTr", images=True, around=raw / "labelsTr" if around else None)

    label_file = raw / "labelsTr" / "phantom_tr003.nii.gz" if around else None
    case = coder.load(label_file, image_files=[raw / "imagesTr" / "phantom_tr003_0000.nii.gz"])
    with torch.no_grad():
        code = coder.prior.network.predictor(case.image[None])[0]
    assert [row.case for row in table.cases] == [f"phantom_tr{n:03}" for n in range(10)]
    np.testing.assert_allclose(table.codes[3], code, rtol=1e-4, atol=1e-4)


def test_cases_that_cannot_be_encoded_are_left_out_and_counted(prior, tmp_path, capsys):
    labels = tmp_path / "labels"
    labels.mkdir()
    good = np.zeros((8, 20, 20))
    good[2:6, 8:12, 8:12] = 3
    for name, values in (("a_ED", good), ("a_ES", 0 * good), ("b_ED", 9 * good), ("c_ED", good[:1])):
        write_label(labels / f"{name}.nii.gz", values)

    assert main(["codes", str(labels), "-o", str(tmp_path / "codes.csv"), "--prior", str(prior)]) == 1

    text = capsys.readouterr().out
    assert "1 cases" in text
    assert "3 excluded" in text
    for words in ("a_ES: ", "holds no label", "b_ED: ", "holds the label 27", "c_ED: ", "has one slice"):
        assert words in text
    assert [row[:4] for row in rows_of(tmp_path / "codes.csv")[1:]] == [["a_ED", "a", "ED", ""]]


def test_a_folder_without_any_good_case_is_refused(prior, tmp_path):
    write_label(tmp_path / "empty.nii.gz", np.zeros((8, 20, 20)))

    with pytest.raises(ValueError, match=r"None of the 1 cases of .* has a code; empty: .* holds no label"):
        encode_folder(load_coder(prior), tmp_path)


def test_hidden_files_are_neither_cases_nor_exclusions(raw, prior, tmp_path):
    shutil.copy(raw / "labelsTr" / "phantom_tr000.nii.gz", tmp_path)
    (tmp_path / "._phantom_tr000.nii.gz").write_bytes(b"resource fork")

    table = encode_folder(load_coder(prior), tmp_path)

    assert ([row.case for row in table.cases], table.excluded) == (["phantom_tr000"], {})


def test_folders_without_files_are_refused(raw, prior, tmp_path):
    coder = load_coder(prior)
    with pytest.raises(FileNotFoundError, match=r"The folder .*nowhere does not exist"):
        encode_folder(coder, tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"holds no .nii.gz file"):
        encode_folder(coder, tmp_path)
    with pytest.raises(ValueError, match=r"holds no image named as nnU-Net names them, CASE_0000.nii.gz"):
        encode_folder(coder, raw / "labelsTr", images=True)


def test_a_prior_without_predictor_is_refused_before_anything_is_read(raw, tmp_path, capsys):
    prior = write_phantom_prior(raw, tmp_path, steps=0, stage=Stage.AUTOENCODER)

    words = ["codes", raw / "imagesTr", "--images", "-o", tmp_path / "codes.csv", "--prior", prior]

    assert main([str(word) for word in words]) == 1
    assert "has no trained predictor, so that images have no codes" in capsys.readouterr().err
    assert not (tmp_path / "codes.csv").exists()


def test_around_needs_images(raw, prior, tmp_path, capsys):
    words = ["codes", raw / "labelsTr", "--around", raw / "labelsTr", "-o", tmp_path / "c.csv", "--prior", prior]

    assert main([str(word) for word in words]) == 1
    assert "--around goes with --images" in capsys.readouterr().err


def test_align_needs_label_maps(raw, prior, tmp_path, capsys):
    words = ["codes", raw / "imagesTr", "--images", "--align", "-o", tmp_path / "c.csv", "--prior", prior]

    assert main([str(word) for word in words]) == 1
    assert "--align goes with label maps" in capsys.readouterr().err


def test_an_aligned_code_does_not_know_how_the_heart_was_turned(raw, prior, tmp_path):
    coder = load_coder(prior)
    folder = tmp_path / "turned"
    folder.mkdir()
    case = sorted((raw / "labelsTr").iterdir())[0]
    values = sitk.GetArrayFromImage(sitk.ReadImage(str(case)))
    for quarters in range(2):
        write_label(folder / f"{quarters}.nii.gz", np.rot90(values, quarters, axes=(1, 2)))
    plain, aligned = (encode_folder(coder, folder, align=align).codes for align in (False, True))
    assert np.linalg.norm(aligned[0] - aligned[1]) < 0.3 * np.linalg.norm(plain[0] - plain[1])


def test_a_table_of_another_format_is_refused(raw, prior, tmp_path, capsys):
    words = ["codes", raw / "labelsTr", "-o", tmp_path / "codes.xlsx", "--prior", prior]

    assert main([str(word) for word in words]) == 1
    assert "codes.xlsx: a table of codes ends in .csv or .parquet" in capsys.readouterr().err


def test_parts_give_the_table_of_one_run(raw, prior, tmp_path, capsys):
    words = ["codes", str(raw / "labelsTr"), "--prior", str(prior), "--groups", str(raw / "groups.csv"), "-o"]
    assert main([*words, str(tmp_path / "one.csv")]) == 0
    for part_id in (1, 0):
        assert main([*words, str(tmp_path / "parts.csv"), "-num_parts", "2", "-part_id", str(part_id)]) == 0
        assert not (tmp_path / "parts.csv").exists()
    assert "After the last one: acnn-nnunet merge" in capsys.readouterr().out

    assert main(["merge", str(tmp_path / "parts.csv")]) == 0

    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert len((tmp_path / "parts.csv.run" / "status.csv").read_text().splitlines()) == 11


def test_codes_go_on_where_they_were_stopped(raw, prior, tmp_path, monkeypatch):
    words = ["codes", str(raw / "labelsTr"), "--prior", str(prior), "-o", str(tmp_path / "codes.csv")]
    assert main(words) == 0
    expected = (tmp_path / "codes.csv").read_bytes()
    journal = tmp_path / "codes.csv.run" / "parts" / "part_0_of_1.jsonl"
    journal.write_bytes(b"\n".join(journal.read_bytes().split(b"\n")[:-7]) + b'\n{"case": "phantom')
    (tmp_path / "codes.csv").unlink()
    done, encode = [], command._code_of
    monkeypatch.setattr(command, "_code_of", lambda *each: done.append(each[-1].label.name) or encode(*each))

    assert main([*words, "--continue"]) == 0

    assert 0 < len(done) < 10
    assert (tmp_path / "codes.csv").read_bytes() == expected


def test_codes_of_a_prior_that_was_trained_anew_are_no_run_to_go_on_with(raw, tmp_path, capsys):
    own = write_phantom_prior(raw, tmp_path / "first", steps=0)
    words = ["codes", str(raw / "labelsTr"), "--prior", str(own), "-o", str(tmp_path / "codes.csv")]
    assert main(words) == 0
    shutil.copy(write_phantom_prior(raw, tmp_path / "anew", steps=1), own)

    assert main([*words, "--continue"]) == 1

    assert "codes.csv.run holds a run with another prior" in capsys.readouterr().err


def test_cases_that_reach_beyond_the_grid_are_named(raw, prior, tmp_path, capsys):
    folder = tmp_path / "labels"
    folder.mkdir()
    shutil.copy(raw / "labelsTr" / "phantom_tr000.nii.gz", folder)
    coder = load_coder(prior)
    wide = np.zeros([3 * n for n in coder.prior.spec.grid_size])
    wide[1:-1, 1:-1, 1:-1] = 1
    write_label(folder / "wide.nii.gz", wide)

    assert main(["codes", str(folder), "-o", str(tmp_path / "codes.csv"), "--prior", str(prior)]) == 0
    line = "Anatomy at the edge of the prior's grid or beyond, of which codes leave a part out (1): wide"
    assert line in capsys.readouterr().out
    assert encode_folder(coder, folder).cut_off == ("wide",)
