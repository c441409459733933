"""The section of a page about clinical indices."""

import base64
import re
from html.parser import HTMLParser

import pytest

from acnn_nnunet.evaluation.clinical.indices import ClinicalResult, Index, Patient
from acnn_nnunet.evaluation.clinical.page import clinical_section, draw_agreement
from acnn_nnunet.files.patients import Exclusion

EF = Index("lv_ef", "LV ejection fraction", "percent")


def result_of(*pairs, groups=("A", "B"), **rest):
    patients = tuple(
        Patient(f"p{number}", groups[number % len(groups)], {"lv_ef": reference}, {"lv_ef": prediction})
        for number, (reference, prediction) in enumerate(pairs)
    )
    return ClinicalResult(indices=(EF,), patients=patients, excluded=(), **rest)


class TableReader(HTMLParser):
    """Collects the cells of a page's rows."""

    def __init__(self):
        super().__init__()
        self.rows, self.is_cell = [], False

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        self.is_cell = tag in ("td", "th")
        if self.is_cell:
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        self.is_cell = False

    def handle_data(self, data):
        if self.is_cell:
            self.rows[-1][-1] += data


def table_of(section):
    reader = TableReader()
    reader.feed(section)
    heading, *rows = reader.rows
    return [dict(zip(heading, row, strict=True)) for row in rows]


def test_the_table_says_bias_and_limits_of_all_and_of_each_group():
    rows = table_of(clinical_section(result_of((50, 60), (40, 34), (60, 60), (30, 30))))

    assert [row["group"] for row in rows] == ["all", "A", "B"]
    # Differences 10, −6, 0, 0: mean 1, squared deviations 81 + 49 + 1 + 1 = 132, SD = √44 = 6.633, 1.96 SD = 13.001.
    assert rows[0]["index"] == "LV ejection fraction, %"
    assert (rows[0]["patients"], rows[0]["bias"], rows[0]["SD"]) == ("4", "1.00", "6.63")
    assert rows[0]["limits of agreement"] == "-12.00 to 14.00"
    assert (rows[0]["reference"], rows[0]["prediction"], rows[0]["mean absolute error"]) == ("45.0", "46.0", "4.00")
    assert (rows[1]["patients"], rows[1]["r"]) == ("2", "–")


def test_pictures_are_inside_the_section():
    section = clinical_section(result_of((50, 60), (40, 34), (60, 60)))

    (source,) = re.findall(r'src="([^"]+)"', section)
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


@pytest.mark.parametrize("pairs", [[], [(50, 60)], [(50, 50), (50, 50), (50, 50)], [(50, None), (40, 34)]])
def test_few_constant_and_undefined_values(pairs):
    section = clinical_section(result_of(*pairs))

    assert "nan" not in section.lower().split("base64")[0]
    assert table_of(section)[0]["patients"] == str(sum(None not in pair for pair in pairs))


def test_who_is_left_out_is_told_and_escaped():
    result = ClinicalResult((EF,), (), (Exclusion("<p1>", "no ES case"),), ("stray",))

    section = clinical_section(result)

    assert "<b>&lt;p1&gt;</b>: no ES case" in section
    assert "stray" in section


def test_the_plots_show_the_differences_against_the_means():
    bland_altman, scatter = draw_agreement(result_of((50, 60), (40, 34), groups=("",)), EF).axes

    assert bland_altman.collections[0].get_offsets().tolist() == [[55, 10], [37, -6]]
    assert scatter.collections[0].get_offsets().tolist() == [[50, 60], [40, 34]]
    # Bias 2, SD = √128 = 11.3137 and 1.96 SD = 22.1749.
    assert [line.get_ydata()[0] for line in bland_altman.lines] == pytest.approx([2, -20.1749, 24.1749], abs=1e-4)


def test_groups_are_told_apart():
    _, scatter = draw_agreement(result_of((50, 60), (40, 34), (30, 30), groups=("A", "B", "")), EF).axes

    assert [text.get_text() for text in scatter.get_legend().get_texts()] == ["no group", "A", "B"]
    assert len({tuple(points.get_facecolor()[0]) for points in scatter.collections}) == 3
