"""reader-study as a user runs it: what the page holds, and what it must not tell."""

import json
import re

import numpy as np
import pytest
from reader_studies import picture, write_image, write_images
from self_contained import assert_self_contained
from viewer_voxels import voxels

from acnn_nnunet.cli import main
from acnn_nnunet.evaluation.reading.study.command import StudyOptions, make_study


@pytest.fixture
def folders(tmp_path):
    return write_images(tmp_path / "secret", num_cases=3)


def content_of(page):
    return json.loads(re.search(r'<script type="application/json" id="content">(.*?)</script>', page, re.DOTALL)[1])


def run(folders, output, *options):
    arms = [f"{arm}={folders[arm]}" for arm in ("linear", "learnt")]
    return main(["reader-study", *arms, "--reference", str(folders["hr"]), *options, "-o", str(output)])


def test_the_page_tells_neither_arms_nor_cases(tmp_path, folders):
    assert run(folders, tmp_path / "study", "--input", str(folders["lr"]), "--seed", "3") == 0

    page = (tmp_path / "study" / "study.html").read_text()
    assert_self_contained(page)
    for word in ("linear", "learnt", "case0", "case1", "secret", str(tmp_path)):
        assert word not in re.sub(r'"data":"[^"]*"', "", page), word
    key = json.loads((tmp_path / "study" / "key.json").read_text())
    content = content_of(page)
    assert content["study"] == key["study"]
    assert key["seed"] == 3
    assert len(content["items"]) == len(key["items"]) == 6
    # A case's place and an arm's place among a case's panels follow the order of the items, not the names.
    orders = {}
    for (place, arm), item in zip(content["items"], key["items"], strict=True):
        names = orders.setdefault(item["case"], (place, []))
        names[1].append(item["arm"])
        assert (names[0], len(names[1]) - 1) == (place, arm)
    titles = [[panel["title"] for panel in case["panels"]] for case in content["cases"]]
    assert titles == [["Input", "Reconstruction", "Reconstruction", "Reference"]] * 3


def test_the_voxels_are_those_of_the_arm_that_the_key_says(tmp_path, folders):
    write_image(folders["learnt"] / "case1.nii.gz", picture(11)[:, ::-1])
    make_study({"a": folders["linear"], "b": folders["learnt"]}, folders["hr"], tmp_path / "study")
    content = content_of((tmp_path / "study" / "study.html").read_text())
    key = json.loads((tmp_path / "study" / "key.json").read_text())

    names = {"a": "linear", "b": "learnt"}
    for (place, arm), item in zip(content["items"], key["items"], strict=True):
        case = content["cases"][place]
        shown = voxels(case["volumes"][case["panels"][arm]["image"]])
        number = int(item["case"][-1])
        source = picture(10 * number + ("linear", "learnt").index(names[item["arm"]]))
        if item == {**item, "case": "case1", "arm": "b"}:
            source = picture(11)[:, ::-1]
        assert np.corrcoef(shown.ravel(), source.ravel())[0, 1] > 0.99


def test_a_study_is_never_overwritten(tmp_path, folders, capsys):
    assert run(folders, tmp_path / "study") == 0
    before = (tmp_path / "study" / "key.json").read_text()
    assert run(folders, tmp_path / "study") == 1
    assert "holds key.json: name another folder with -o" in capsys.readouterr().err
    assert (tmp_path / "study" / "key.json").read_text() == before
    (tmp_path / "study" / "key.json").unlink()  # as after a kill between page and key
    assert run(folders, tmp_path / "study") == 0
    assert (tmp_path / "study" / "key.json").read_text() == before


def test_another_seed_or_image_is_another_study(tmp_path, folders):
    studies = []
    for number, seed in enumerate((0, 0, 1)):
        assert run(folders, tmp_path / f"{number}", "--seed", str(seed)) == 0
        studies.append(json.loads((tmp_path / f"{number}" / "key.json").read_text())["study"])
    write_image(folders["hr"] / "case0.nii.gz", picture(77))
    assert run(folders, tmp_path / "other") == 0
    studies.append(json.loads((tmp_path / "other" / "key.json").read_text())["study"])

    assert studies[0] == studies[1]
    assert len(set(studies)) == 3


def test_labels_are_contours_over_the_image(tmp_path, folders):
    for name in ("linear", "learnt", "hr"):
        for path in folders[name].iterdir():
            write_image(path, (picture(len(name)) > 110).astype(np.uint8))
    images = {path.name: write_image(tmp_path / "images" / path.name, picture()) for path in folders["hr"].iterdir()}
    options = StudyOptions(images=tmp_path / "images", question="Is it </script> right?")
    make_study({"a": folders["linear"], "b": folders["learnt"]}, folders["hr"], tmp_path / "study", options)

    page = (tmp_path / "study" / "study.html").read_text()
    content = content_of(page)
    assert len(images) == 3
    assert content["question"] == "Is it </script> right?"
    assert "Is it </script>" not in page
    panels = content["cases"][0]["panels"]
    assert [panel["title"] for panel in panels] == ["Input", "Segmentation", "Segmentation", "Reference"]
    assert [[each["style"] for each in panel["overlays"]] for panel in panels] == [[], ["line"], ["line"], ["line"]]
