"""The page: what it names as losses, that it stands alone, and pictures where the files still are."""

import json
import re

import numpy as np
import pytest
import SimpleITK
from compared_folders import both_empty, missed, score, spurious, write_evaluation
from self_contained import assert_self_contained

from acnn_nnunet.evaluation.comparison.command import ComparisonOptions, compare
from acnn_nnunet.evaluation.comparison.comparisons import compare_scores
from acnn_nnunet.evaluation.comparison.page import find_losses, render_report
from acnn_nnunet.evaluation.comparison.scores import read_paired_scores


@pytest.fixture
def read(tmp_path):
    def write_and_read(**arms):
        return read_paired_scores({name: write_evaluation(tmp_path / name, rows) for name, rows in arms.items()})

    return write_and_read


@pytest.fixture
def with_files(tmp_path):
    """Two arms with label maps: b's prediction of `bad` is shifted, and it has none of `gone`."""
    reference = np.zeros((4, 12, 12), np.uint8)
    reference[1:3, 3:9, 3:9] = 1
    shifted = np.roll(reference, 2, axis=2)
    maps = {"gt": (reference, reference), "a_out": (reference, reference), "b_out": (shifted, None)}
    for folder, label_maps in maps.items():
        (tmp_path / folder).mkdir()
        for case, label_map in zip(("bad", "gone"), label_maps, strict=True):
            if label_map is not None:
                image = SimpleITK.GetImageFromArray(label_map)
                image.SetSpacing((1.0, 1.0, 5.0))
                SimpleITK.WriteImage(image, str(tmp_path / folder / f"{case}.nii.gz"))

    def summary(arm):
        entries = [
            {
                "case": case,
                "reference_file": str(tmp_path / "gt" / f"{case}.nii.gz"),
                "prediction_file": str(tmp_path / f"{arm}_out" / f"{case}.nii.gz"),
            }
            for case in ("bad", "gone")
        ]
        return {"metric_per_case": entries, "reader": "SimpleITKIO", "label_names": {"1": "LV"}}

    return {
        "a": write_evaluation(tmp_path / "a", [score("bad", dice=1.0), score("gone", dice=1.0)], **summary("a")),
        "b": write_evaluation(tmp_path / "b", [score("bad", dice=0.7), missed("gone")], **summary("b")),
    }


def page_of(folders) -> str:
    scores = read_paired_scores(folders)
    return render_report(scores, compare_scores(scores, resamples=200))


class TestLosses:
    def test_largest_first_each_case_with_its_worst_label(self, read):
        a = [score(case, label, 0.9) for case in "cde" for label in "12"]
        b = [
            score("c", "1", 0.8),
            score("c", "2", 0.5),
            score("d", "1", 0.95),
            score("d", "2", 0.9),
            score("e", "1", 0.1),
            score("e", "2", 1.0),
        ]

        losses = find_losses(read(a=a, b=b), "b", "dice")

        assert [(loss.case, loss.label, loss.baseline, loss.score) for loss in losses] == [
            ("e", "1", 0.9, 0.1),
            ("c", "2", 0.9, 0.5),
        ]

    def test_a_longer_distance_loses(self, read):
        scores = read(a=[score("c", distance_mm=3.0)], b=[score("c", distance_mm=5.0)])

        assert [loss.score for loss in find_losses(scores, "b", "hausdorff_mm")] == [5.0]
        assert find_losses(scores, "b", "dice") == []

    def test_what_does_not_apply_is_no_loss_and_an_invented_label_is(self, read):
        scores = read(a=[both_empty("c"), both_empty("d")], b=[both_empty("c"), spurious("d")])

        assert [(loss.case, loss.baseline, loss.score) for loss in find_losses(scores, "b", "dice")] == [
            ("d", 1.0, 0.0)
        ]

    def test_only_as_many_as_asked_for(self, read):
        rows = [score(f"c{number}", dice=0.9) for number in range(8)]
        worse = [score(f"c{number}", dice=0.1 * number) for number in range(8)]

        assert [loss.case for loss in find_losses(read(a=rows, b=worse), "b", "dice", count=3)] == ["c0", "c1", "c2"]


class TestPage:
    def test_it_needs_no_other_file(self, with_files, tmp_path):
        compare(with_files, tmp_path / "out", ComparisonOptions(published="paper"))
        page = (tmp_path / "out" / "report.html").read_text()

        assert set(re.findall(r'(?:src|href)="([^"]{0,20})', page)) == {"data:image/png;base6", "data:image/svg+xml;b"}
        assert_self_contained(page)

    def test_pictures_where_the_files_are(self, with_files):
        page = page_of(with_files)

        assert page.count("<figcaption>bad</figcaption>") == page.count("<figcaption>gone</figcaption>") == 1
        assert "no longer where" not in page

    @pytest.mark.parametrize("said", [True, False])
    def test_pictures_and_viewer_lie_over_the_image_where_it_is_found(self, said, with_files, tmp_path):
        plain = page_of(with_files)
        images = tmp_path / ("shown" if said else "imagesTs")
        images.mkdir()
        for case in ("bad", "gone"):
            values = np.arange(4 * 12 * 12, dtype=np.float32).reshape(4, 12, 12)
            SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(images / f"{case}_0000.nii.gz"))
        for arm in with_files.values():
            summary = json.loads((arm / "summary.json").read_text())
            if said:
                summary["images"] = str(images)
            else:  # an earlier version did not say where they are
                for entry in summary["metric_per_case"]:
                    entry["reference_file"] = entry["reference_file"].replace("/gt/", "/labelsTs/")
            (arm / "summary.json").write_text(json.dumps(summary))
        (tmp_path / "gt").rename(tmp_path / ("gt" if said else "labelsTs"))

        page = page_of(with_files)

        assert [page.count('"image":0'), plain.count('"image":0')] == [4, 0]  # two cases, a panel for each arm
        assert plain.count('"image":null') == 4
        assert re.findall(r'<img src="([^"]*)" alt="bad', page) != re.findall(r'<img src="([^"]*)" alt="bad', plain)

    @pytest.mark.parametrize("damage", ["deleted", "truncated", "another shape"])
    def test_a_page_without_the_picture_where_they_are_not(self, with_files, tmp_path, damage):
        path = tmp_path / "gt" / "bad.nii.gz"
        if damage == "deleted":
            path.unlink()
        elif damage == "truncated":
            path.write_bytes(path.read_bytes()[:40])
        else:
            SimpleITK.WriteImage(SimpleITK.Image(3, 3, 3, SimpleITK.sitkUInt8), str(path))

        page = page_of(with_files)

        assert "<figcaption>bad</figcaption>" not in page
        assert "<figcaption>gone</figcaption>" in page
        assert "1 cases have no picture" in page

    def test_a_deleted_folder_of_predictions_is_no_missing_prediction(self, with_files, tmp_path):
        (tmp_path / "b_out" / "bad.nii.gz").unlink()
        (tmp_path / "b_out").rmdir()

        assert "2 cases have no picture" in page_of(with_files)

    def test_a_summary_without_files(self, read):
        scores = read(a=[score("c", dice=0.9), score("d")], b=[score("c", dice=0.8), score("d")])
        page = render_report(scores, compare_scores(scores, resamples=200))

        assert "1 cases have no picture" in page
        assert page.count("data:image/png") == 6

    def test_names_are_escaped(self, tmp_path):
        names = {"1": "<b>LV</b>"}
        folders = {arm: write_evaluation(tmp_path / arm, [score("<i>c")], label_names=names) for arm in "ab"}

        page = page_of(folders)

        assert "&lt;b&gt;LV&lt;/b&gt; (1)" in page
        assert "<b>LV</b>" not in page

    @pytest.mark.parametrize("num_labels", [1, 6])
    def test_any_number_of_labels_and_empty_ones_are_drawn(self, read, num_labels):
        rows = [score("c", str(label)) for label in range(num_labels)] + [
            both_empty("d", str(label)) for label in range(num_labels)
        ]
        rows += [both_empty(case, "empty") for case in "cd"]
        scores = read(a=rows, b=rows)

        assert render_report(scores, compare_scores(scores, resamples=200)).count("data:image/png") == 6
