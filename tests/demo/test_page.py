import json

import numpy as np
import SimpleITK
from self_contained import assert_self_contained

from acnn_nnunet.demo.page import dice_table, draw_predictions, draw_slices, write_page
from acnn_nnunet.demo.steps import Step


def _write_summary(path, dice):
    path.write_text(json.dumps({"mean": {str(label): {"Dice": value} for label, value in dice.items()}}))
    return path


def test_table_shows_the_summaries_as_they_are(tmp_path):
    without_prior = _write_summary(tmp_path / "a.json", {1: 0.5, 2: 0.61239, 3: 0.9})
    with_prior = _write_summary(tmp_path / "b.json", {1: 0.4, 2: float("nan"), 3: 1.0})
    assert dice_table(without_prior=without_prior, with_prior=with_prior).splitlines() == [
        "mean Dice   without prior     with prior",
        "RV                  0.500          0.400",
        "MYO                 0.612            nan",
        "LV                  0.900          1.000",
    ]


def test_page_holds_the_pages_of_the_commands_and_asks_for_no_file(tmp_path):
    for folder in ("comparison", "prior_report", "evaluations/with_prior", "evaluations/without_prior"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "report.html").write_text(f'<p title="{folder}">a < b</p>')
    (tmp_path / "demo.png").write_bytes(b"\x89PNG")
    page = write_page(tmp_path, [Step("x", "x", "nnUNetv2_train 999")], num_test=6).read_text()
    assert page.count("<iframe") == 4
    # Inside srcdoc="…" the quotes of the framed page have to be written as references.
    assert "&lt;p title=&#34;prior_report&#34;&gt;a &lt; b&lt;/p&gt;" in page
    assert "$ nnUNetv2_train 999" in page
    # 8 epochs of 15 iterations.
    assert "augmentation (no mirroring in either) and 120 iterations" in page
    assert 'src="data:image/png;base64,iVBORw=="' in page
    assert_self_contained(page)


def test_picture_is_written(tmp_path):
    image, label = np.zeros((8, 8)), np.arange(64).reshape(8, 8) % 4
    rows = [("one", [(image, None), (image, label)]), ("empty", [(image, None), (image, np.zeros((8, 8), int))])]
    path = draw_slices(tmp_path / "p.png", rows, column_titles=("image", "label"), title="what it is")
    assert path.read_bytes().startswith(b"\x89PNG")


def _write_map(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(path))


def test_test_hearts_are_drawn_with_the_predictions_of_both_arms(tmp_path):
    dataset, output = tmp_path / "dataset", tmp_path / "output"
    label = np.zeros((3, 6, 6), np.uint8)
    label[1, 2:4, 2:4] = 3
    _write_map(dataset / "imagesTs" / "phantom_ts000_0000.nii.gz", label.astype(np.float32))
    _write_map(dataset / "labelsTs" / "phantom_ts000.nii.gz", label)
    for arm in ("with_prior", "without_prior"):
        _write_map(output / "predictions" / arm / "phantom_ts000.nii.gz", np.zeros_like(label))
    (dataset / "groups.csv").write_text(
        "case,patient,phase,group\nphantom_tr000,phantom_tr000,,NOR\nphantom_ts000,phantom_ts000,,NOR\n"
    )

    path = draw_predictions(dataset, output)

    # Four panels beside each other, 1.7 inches each at 100 dots an inch.
    assert path == output / "demo.png"
    assert path.read_bytes()[16:20] == int(100 * (4 * 1.7 + 0.4)).to_bytes(4, "big")
