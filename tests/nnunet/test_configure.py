"""Derived configurations in a plans file."""

import json

import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from acnn_nnunet import cli
from acnn_nnunet.nnunet.configure import configure, describe_key, list_keys, parse_assignments
from acnn_nnunet.nnunet.settings import rules


@pytest.fixture
def plans_file(tmp_path, monkeypatch):
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        monkeypatch.setenv(name, str(tmp_path / name))
    folder = tmp_path / "nnUNet_preprocessed" / "Dataset005_Toy"
    folder.mkdir(parents=True)
    plans = {"plans_name": "nnUNetPlans", "configurations": {"3d_fullres": {"batch_size": 2}}}
    (folder / "nnUNetPlans.json").write_text(json.dumps(plans))
    return folder / "nnUNetPlans.json"


def run(name="quick", base="3d_fullres", assignments=("num_epochs=5",), dataset="5"):
    return configure(dataset, base=base, name=name, plans_identifier="nnUNetPlans", assignments=list(assignments))


def configurations(plans_file):
    return json.loads(plans_file.read_text())["configurations"]


def test_it_inherits_and_shares_everything_else(plans_file):
    assert "wrote configuration quick" in run()
    assert configurations(plans_file) == {
        "3d_fullres": {"batch_size": 2},
        "quick": {"inherits_from": "3d_fullres", "acnn": {"num_epochs": 5}},
    }


def test_a_child_gets_the_whole_merged_block(plans_file):
    run()
    run(name="child", base="quick", assignments=["prior_weight=0"], dataset="Dataset005_Toy")
    assert configurations(plans_file)["child"] == {
        "inherits_from": "quick",
        "acnn": {"num_epochs": 5, "prior_weight": 0},
    }


def test_settings_that_go_together_are_checked_in_the_merged_block(plans_file):
    run(name="box", assignments=["grid=roi"])
    run(name="outside", base="box", assignments=["outside_weight=1"])
    assert configurations(plans_file)["outside"]["acnn"] == {"grid": "roi", "outside_weight": 1}
    before = plans_file.read_text()
    for base, word in (("3d_fullres", "outside_weight=1"), ("outside", "grid=patch")):
        with pytest.raises(ValueError, match=r"^Bad setting: outside_weight needs grid=roi"):
            run(base=base, assignments=[word])
    assert plans_file.read_text() == before


def test_a_second_stage_of_a_cascade_is_entered_in_the_first(plans_file):
    plans = json.loads(plans_file.read_text())
    plans["configurations"]["3d_fullres"]["architecture"] = {}
    plans["configurations"] |= {
        "3d_lowres": {"inherits_from": "3d_fullres", "next_stage": "3d_cascade_fullres"},
        "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
    }
    plans_file.write_text(json.dumps(plans))

    assert "3d_lowres has to predict for it" in run(name="short", base="3d_cascade_fullres")
    assert "has to predict" not in run(name="short", base="3d_cascade_fullres", assignments=["num_epochs=6"])
    run(name="shorter", base="short")

    # Where the host's trainer of the first stage looks for whom it predicts, and that of the second for what it reads.
    manager = PlansManager({**plans, "configurations": configurations(plans_file)})
    assert manager.get_configuration("3d_lowres").next_stage_names == ["3d_cascade_fullres", "short", "shorter"]
    assert manager.get_configuration("shorter").previous_stage_name == "3d_lowres"


def test_it_can_be_repeated_with_other_settings(plans_file):
    run()
    run(assignments=["num_epochs=6"])
    assert configurations(plans_file)["quick"]["acnn"] == {"num_epochs": 6}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "3d_fullres"}, "3d_fullres is a configuration of its own"),
        ({"base": "3d_lowres"}, "has no configuration 3d_lowres, only 3d_fullres"),
        ({"dataset": "6"}, "There is no dataset 6"),
        ({"name": "a/b"}, "cannot train a configuration named 'a/b': -n takes letters"),
        ({"name": "t__x"}, "named 't__x'.*without '__'"),
        ({"name": ""}, "named ''"),
        ({"name": " "}, "named ' '"),
        ({"name": "two words"}, "named 'two words'"),
        ({"name": "quick\n"}, "named 'quick"),
        ({"name": "-f"}, "named '-f'"),
        ({"name": ".."}, r"named '\.\.'"),
        ({"assignments": ["num_epochs=-1"]}, "num_epochs must be an integer of at least 1, got -1"),
    ],
)
def test_refusals_leave_the_plans_alone(plans_file, arguments, message):
    before = plans_file.read_text()
    with pytest.raises(ValueError, match=message):
        run(**arguments)
    assert plans_file.read_text() == before


def test_a_configuration_that_the_base_inherits_from_is_not_replaced_by_its_own_heir(plans_file):
    run(name="first")
    run(name="second", base="first")
    run(name="third", base="second")
    before = plans_file.read_text()
    with pytest.raises(ValueError, match=r"third inherits from first in .*choose another name with -n"):
        run(name="first", base="third")
    assert plans_file.read_text() == before


@pytest.mark.parametrize("name", ["x", "3d_fullres_λ0.2", "a-b+c", "_x"])
def test_other_names_are_taken(plans_file, name):
    assert f"wrote configuration {name} (from" in run(name=name)


@pytest.fixture
def sided(plans_file):
    """Plans of three axes, slices along x, and a dataset with two sides."""
    plans = json.loads(plans_file.read_text())
    plans["transpose_forward"] = [2, 0, 1]
    plans["configurations"]["3d_fullres"]["patch_size"] = [8, 8, 8]
    plans_file.write_text(json.dumps(plans))
    labels = {"background": 0, "left": 1, "right": 2}
    plans_file.with_name("dataset.json").write_text(json.dumps({"labels": labels}))


def test_mirrored_axes_are_named_as_those_of_the_files(sided, plans_file):
    said = run(assignments=["mirroring=0", "mirrored_labels=left:right"])
    assert said.splitlines()[1].startswith(
        "Mirrors along axis 0 (x of the files); labels 1:2 change places along axis 0,"
    )
    assert run(name="child", base="quick", assignments=["mirroring=0,1", "mirrored_labels=none"]).endswith(
        "\nMirrors along axes 0 (x of the files), 1 (z of the files)."
    )
    assert configurations(plans_file)["quick"]["acnn"] == {"mirroring": 0, "mirrored_labels": "left:right"}
    assert "\n" not in run(assignments=["mirroring=true"])


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (
            ["mirroring=3"],
            "^Bad setting for 3d_fullres of Dataset005_Toy: mirroring names axis 3, and .* 0, 1, 2 only",
        ),
        (
            ["mirroring=0", "mirrored_labels=left:middle"],
            "mirrored_labels names 'middle', which the dataset lacks",
        ),
        (["mirroring=0,1", "mirrored_labels=1:2"], "add mirrored_labels_axis=AXIS"),
        (["mirrored_labels=1:2"], "needs mirroring along an axis"),
        (["mirrored_labels_axis=0"], "goes with mirrored_labels alone"),
    ],
)
def test_mirroring_that_the_data_does_not_have_is_refused_before_anything_is_written(
    sided, plans_file, assignments, message
):
    before = plans_file.read_text()
    with pytest.raises(ValueError, match=message):
        run(assignments=assignments)
    assert plans_file.read_text() == before


def test_missing_plans(plans_file):
    plans_file.unlink()
    with pytest.raises(FileNotFoundError, match="make them with nnUNetv2_plan_and_preprocess -d 5"):
        run()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--help"], 0, "grid=patch  (patch, roi)"),
        (["4", "-c", "3d_fullres", "-h"], 0, "usage: acnn-nnunet configure"),
        (["--help", "grid"], 0, "grid: what the prior sees"),
        (["--help", "grids"], 2, "unknown key 'grids', allowed are preset"),
    ],
)
def test_the_help_of_all_keys_and_of_one(words, code, said, capsys):
    with pytest.raises(SystemExit, match=str(code)):
        cli.main(["configure", *words])
    assert said in "".join(capsys.readouterr())


def test_words_of_a_command_line():
    words = ["num_epochs=5", "prior_weight=0.2", "cpu_autocast=True", "prior=/a/b=c.pth", "seed=none"]
    assert parse_assignments(words) == {
        "num_epochs": 5,
        "prior_weight": 0.2,
        "cpu_autocast": True,
        "prior": "/a/b=c.pth",
        "seed": None,
    }


@pytest.mark.parametrize("word", ["num_epochs", "num_epochs=ten", "epochs=3"])
def test_bad_words(word):
    with pytest.raises(ValueError, match=word.split("=")[0]):
        parse_assignments([word])


def test_the_help_of_a_key():
    assert describe_key("prior_weight").splitlines() == [
        "prior_weight: λ1, the prior's weight; 0 trains without a prior",
        "  default   0.3",
        "  allowed   number ≥ 0",
        "  concerns  loss",
        "  preset    paper: 0.01",
    ]
    assert "  default   none (nnU-Net's 1000)" in describe_key("num_epochs").splitlines()
    with pytest.raises(ValueError, match="unknown key 'epochs', allowed are preset, num_epochs"):
        describe_key("epochs")


def test_all_keys_in_short():
    assert "  grid=patch  (patch, roi)" in list_keys().splitlines()
    assert len(list_keys().splitlines()) == 1 + len(rules())


@pytest.mark.parametrize("key", rules())
def test_every_key_says_whom_it_concerns_and_its_help_fits_a_terminal(key):
    assert rules()[key].concerns in ("trainer", "prior", "loss", "thick slices")
    assert max(map(len, describe_key(key).splitlines())) <= 100
