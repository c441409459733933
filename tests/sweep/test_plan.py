"""Plans of sweeps: what they say, and one sentence for what they cannot say."""

import pytest
import yaml

from acnn_nnunet.sweep.plan import EXAMPLE, read_plan


def write(path, **changes):
    content = {**yaml.safe_load(EXAMPLE), **changes}
    given = {key: value for key, value in content.items() if value is not None}
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


def test_folds_times_settings_times_seeds(tmp_path):
    plan = read_plan(write(tmp_path / "plan.yaml"))

    runs = plan.runs("Dataset027_ACDC")

    assert [run.name for run in runs] == [
        f"{arm}_seed{seed}_fold{fold}" for fold in (0, 1) for arm in ("baseline", "acnn") for seed in (0, 1)
    ]
    assert plan.arms()["baseline_seed1"] == {"prior_weight": 0, "seed": 1}
    assert runs[0].command == "nnUNetv2_train 27 3d_fullres_baseline_seed0 0 -tr ACNNTrainer"


def test_without_seeds_an_arm_is_a_setting(tmp_path):
    plan = read_plan(write(tmp_path / "plan.yaml", seeds=None, folds=[3], device="cpu"))

    assert plan.arms() == {"baseline": {"prior_weight": 0}, "acnn": {}}
    assert plan.runs("Dataset027_ACDC")[1].command == "nnUNetv2_train 27 3d_fullres_acnn 3 -tr ACNNTrainer -device cpu"


@pytest.mark.parametrize("written", ["027", "27", "Dataset027_ACDC"])
def test_a_dataset_is_what_is_written(tmp_path, written):
    (tmp_path / "plan.yaml").write_text(EXAMPLE.replace("dataset: 27", f"dataset: {written}"))

    assert read_plan(tmp_path / "plan.yaml").dataset == written  # 027 is 23 to YAML


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": [0], "gpu": 1}, r"plan\.yaml: unknown keys fold, gpu; there are dataset, configuration, trainer"),
        ({"trainer": None}, r"plan\.yaml: trainer is missing"),
        ({"trainer": None, "folds": None}, "trainer, folds are missing"),
        ({"folds": 0}, r"folds is no list such as \[0, 1\]"),
        ({"folds": []}, "there are no folds"),
        ({"folds": [0, 0]}, "folds are different whole numbers from 0 on, not"),
        ({"seeds": [-1]}, "seeds are different whole numbers"),
        ({"seeds": [True]}, "seeds are different whole numbers"),
        ({"settings": {}}, "there are no settings"),
        ({"settings": ["a"]}, "settings is no mapping of a name to settings"),
        ({"settings": {"a": 1}}, "the setting a is no mapping such as"),
        ({"settings": {"../../evil": {}}}, r"the setting '\.\./\.\./evil' has no name of letters"),
        ({"settings": {"a_b": {}}}, "the setting 'a_b' has no name of letters"),
        ({"settings": {"a": {"seed": 1}}}, "the setting a gives a seed, and so does seeds"),
        ({"device": "tpu"}, "device is cuda, cpu or mps, not tpu"),
    ],
)
def test_what_cannot_be(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_plan(write(tmp_path / "plan.yaml", **changes))


@pytest.mark.parametrize("content", ["a: [1", "a: b: c", "\t"])
def test_no_yaml(tmp_path, content):
    (tmp_path / "plan.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"plan\.yaml is no YAML"):
        read_plan(tmp_path / "plan.yaml")


@pytest.mark.parametrize("content", ["", "- 1", "!!python/object/apply:os.system ['true']"])
def test_no_mapping_and_nothing_that_runs_code(tmp_path, content):
    (tmp_path / "plan.yaml").write_text(content)
    with pytest.raises(ValueError, match=r"plan\.yaml.*(is no YAML|it is no mapping)"):
        read_plan(tmp_path / "plan.yaml")


def test_no_plan_shows_one(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"There is no plan .*nowhere\.yaml\. A plan looks like this:\ndataset: 27"
    ):
        read_plan(tmp_path / "nowhere.yaml")
