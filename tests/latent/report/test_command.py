"""The report of a latent space: numbers that agree with the prior's own, pictures, and what is refused."""

import json

import numpy as np
import pytest
import torch
from phantom_prior import CODE_SIZE, SPACING_MM, write_phantom_prior, write_raw
from self_contained import assert_self_contained

from acnn_nnunet.cli import main
from acnn_nnunet.files.patients import CaseGroup
from acnn_nnunet.fold_prior.coder import load_coder
from acnn_nnunet.latent.codes.command import encode_folder
from acnn_nnunet.latent.codes.table import CodeTable, write_codes
from acnn_nnunet.latent.report.command import JSON_FILE, PAGE_FILE, LatentReportOptions, latent_report

TWO_CASES = ("phantom_tr001", "phantom_tr004")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return write_raw(tmp_path_factory.mktemp("raw"), cases=9)


@pytest.fixture(scope="module")
def prior(raw, tmp_path_factory):
    return write_phantom_prior(raw, tmp_path_factory.mktemp("results"), steps=4)


@pytest.fixture(scope="module")
def table(raw, prior):
    return encode_folder(load_coder(prior), raw / "labelsTr")


@pytest.fixture(scope="module")
def output(raw, prior, tmp_path_factory):
    """The folder of a report, made by the command; it is only read."""
    folder = tmp_path_factory.mktemp("report")
    words = ["latent-report", raw / "labelsTr", "-o", folder, "--prior", prior, "--groups", raw / "groups.csv"]
    words += ["--dimensions", 5, "--directions", 1, "--between", *TWO_CASES]
    assert main([str(word) for word in words]) == 0
    return folder


@pytest.fixture(scope="module")
def report(output):
    return json.loads((output / JSON_FILE).read_text())


def write_table(path, codes, groups=None):
    groups = groups or [""] * len(codes)
    cases = tuple(CaseGroup(f"case{n}", f"case{n}", "", group) for n, group in enumerate(groups))
    write_codes(path, CodeTable(cases, np.asarray(codes, dtype=np.float32)))
    return path


def test_it_is_one_page_with_its_pictures_beside(output):
    pictures = {"histograms.png", "spread.png", "splits.png", "code_5.png", "principal_1.png", "interpolation.png"}

    assert {path.name for path in output.iterdir()} == {*pictures, JSON_FILE, PAGE_FILE}
    page = (output / PAGE_FILE).read_text()
    assert page.count("data:image/png;base64,") == len(pictures)
    assert_self_contained(page)
    assert all((output / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_steps_measure_what_the_prior_decodes(report, prior, table):
    coder = load_coder(prior)
    path = report["paths"][0]
    codes = torch.from_numpy(table.codes)
    code = codes.mean(0)
    code[5] -= 2 * codes[:, 5].std()
    with torch.no_grad():
        labels = coder.prior.network.decoder(code[None]).argmax(1)

    assert (path["name"], path["share"]) == ("code_5", None)
    assert [step["title"] for step in path["steps"]] == ["-2 SD", "-1 SD", "mean", "+1 SD", "+2 SD"]
    np.testing.assert_allclose(path["steps"][0]["code"], code, rtol=1e-4)
    measured = {measure["name"]: measure for measure in path["steps"][0]["measures"]}
    for value, name in ((1, "RV"), (2, "MYO"), (3, "LV")):
        volume_ml = (labels == value).sum().item() * np.prod(SPACING_MM) / 1000
        assert measured[f"{name} volume"]["value"] == pytest.approx(volume_ml, abs=1.5)  # two voxels at a boundary
    assert [measured[name]["unit"] for name in ("MYO thickness", "MYO mass")] == ["mm", "g"]


def test_the_space_is_that_of_the_codes(report, table):
    centred = table.codes - table.codes.mean(0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]

    assert report["code"]["num_codes"] == 9
    np.testing.assert_allclose(report["code"]["eigenvalue_shares"], values / values.sum(), atol=1e-5)
    assert report["paths"][1]["share"] == pytest.approx(values[0] / values.sum(), abs=1e-5)
    assert report["splits"]["groups"] == {"dilated": 3, "healthy": 3, "thick-walled": 3}


def test_interpolation_runs_from_one_case_to_the_other(report, table):
    position = [row.case for row in table.cases].index(TWO_CASES[1])
    path = report["paths"][-1]

    assert [step["title"] for step in path["steps"]] == [TWO_CASES[0], "25 %", "50 %", "75 %", TWO_CASES[1]]
    np.testing.assert_allclose(path["steps"][-1]["code"], table.codes[position], rtol=1e-4)


def test_a_table_of_this_prior_is_known_to_be_so(prior, table, tmp_path):
    write_codes(tmp_path / "codes.csv", table)

    text = latent_report(
        tmp_path / "codes.csv", tmp_path / "report", LatentReportOptions(prior, dimensions=[], num_directions=0)
    )

    assert text.startswith("9 codes of 6 numbers, 0 cases excluded")


def test_a_table_of_codes_is_enough(prior, table, tmp_path, capsys):
    source = write_table(tmp_path / "codes.csv", [*table.codes[:3], np.full(CODE_SIZE, np.nan)])

    text = latent_report(source, tmp_path / "report", LatentReportOptions(prior, dimensions=[], num_directions=0))

    content = json.loads((tmp_path / "report" / JSON_FILE).read_text())
    assert text.startswith(f"{source} does not say which prior made its codes: taken to be {prior}.\n")
    assert "3 codes of 6 numbers, 1 cases excluded\n  case3: its code is not finite" in text
    assert (content["cases"], content["paths"], content["splits"]) == (["case0", "case1", "case2"], [], None)
    assert content["no_splits"].startswith("To split, codes of at least two groups are needed")
    assert content["code"]["tested_dimensions"] == 0
    assert "Normality was not tested" in (tmp_path / "report" / PAGE_FILE).read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": [6]}, r"There is no dimension 6: the code has the dimensions 0 to 5"),
        ({"between": ("case0", "nobody")}, r"--between: there is no code of nobody"),
        ({"between": ("case9", "case0")}, r"there is no code of case9 \(its code is not finite\)"),
        ({"num_directions": -1}, r"--directions must be 0 or more, got -1"),
        ({"device": "tpu"}, r"There is no device tpu"),
    ],
)
def test_what_is_not_there_is_refused(options, message, prior, table, tmp_path):
    source = write_table(tmp_path / "codes.csv", [*table.codes, np.full(CODE_SIZE, np.inf)])

    with pytest.raises(ValueError, match=message):
        latent_report(source, tmp_path / "report", LatentReportOptions(prior, **options))
    assert not (tmp_path / "report").exists()


def test_tables_of_another_prior_or_of_one_case_are_refused(prior, tmp_path):
    other, single = tmp_path / "other.csv", tmp_path / "single.csv"
    write_table(other, np.zeros((4, 3)))
    write_table(single, np.zeros((1, CODE_SIZE)))
    stranger = CodeTable((CaseGroup("a", "", "", ""), CaseGroup("b", "", "", "")), np.eye(2, CODE_SIZE), prior="0123")
    write_codes(tmp_path / "stranger.csv", stranger)

    with pytest.raises(ValueError, match=r"stranger.csv holds codes of another prior \(sha256 0123…\) than .*\.pth"):
        latent_report(tmp_path / "stranger.csv", tmp_path / "report", LatentReportOptions(prior))
    with pytest.raises(
        ValueError, match=r"other.csv holds codes of 3 numbers, .* have 6: name the prior that made them"
    ):
        latent_report(other, tmp_path / "report", LatentReportOptions(prior))
    with pytest.raises(ValueError, match=r"single.csv has 1 codes: a report needs at least two"):
        latent_report(single, tmp_path / "report", LatentReportOptions(prior))
    with pytest.raises(FileNotFoundError, match=r"There is no .*nowhere.csv"):
        latent_report(tmp_path / "nowhere.csv", tmp_path / "report", LatentReportOptions(prior))
    with pytest.raises(ValueError, match=r"other.csv is a file: name a folder with -o"):
        latent_report(single, other, LatentReportOptions(prior))
