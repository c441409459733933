"""Words of the thick-slice commands as options objects, and what does not go together."""

from pathlib import Path

import pytest

from acnn_nnunet.casewise.execution import Execution
from acnn_nnunet.casewise.work import Excluded, Outcome
from acnn_nnunet.cli import main
from acnn_nnunet.refinement.command import RefineOptions
from acnn_nnunet.sr.degradation.acquisition import Acquisition
from acnn_nnunet.sr.degradation.command import DegradeOptions
from acnn_nnunet.sr.inference.command import Inference, PredictHROptions
from acnn_nnunet.sr.inference.interpolation import InterpolationOptions
from acnn_nnunet.sr.planning.command import PlanHROptions


@pytest.fixture
def called(monkeypatch):
    """The arguments that the functions behind the commands were called with; each leaves out one case."""
    calls = []

    def record(*arguments):
        calls.append(arguments)
        return Outcome("done", (Excluded("a", "a is spoilt."),))

    for function in ("degradation.command.degrade_folder", "inference.command.predict_hr"):
        monkeypatch.setattr(f"acnn_nnunet.sr.{function}", record)
    monkeypatch.setattr("acnn_nnunet.sr.inference.interpolation.interpolate_folder", record)
    monkeypatch.setattr(
        "acnn_nnunet.sr.planning.command.plan_hr", lambda *words: (record(*words), Outcome("planned"))[1]
    )
    return calls


def run(words):
    return main(words.split())


def test_plan_hr(called, capsys):
    assert run("plan-hr 4 --factor 5 -c 3d_low -p Other -n thick --axis 1") == 0
    assert capsys.readouterr().out == "planned\n"
    assert run("plan-hr 4 --factor 5") == 0
    assert called == [("4", PlanHROptions(5, "3d_low", "Other", "thick", 1)), ("4", PlanHROptions(5))]


def test_degrade(called, capsys):
    assert run("degrade -i hr -o lr --factor 4 --profile boxcar --motion-mm 2 --drop 0.5 --axis 0 --seed 3") == 1
    acquisition = Acquisition(4, profile="boxcar", motion_mm=2, drop=0.5)
    assert called == [(Path("hr"), Path("lr"), DegradeOptions(acquisition, 0, 3))]
    assert capsys.readouterr().out == "done\n"


def test_predict_hr(called):
    model = "predict-hr -i lr -o hr -d 4 -c 3d_hr_x5 -tr SRTrainer -device cpu"
    run(f"{model} -f 1 all -step_size 0.75 --disable_tta --continue_prediction")
    run(model)
    inference = Inference(0.75, mirroring=False, device="cpu", show_progress=True)
    assert [options for _, _, options in called] == [
        PredictHROptions(
            "4", "3d_hr_x5", "SRTrainer", folds=(1, "all"), inference=inference, execution=Execution(go_on=True)
        ),
        PredictHROptions("4", "3d_hr_x5", "SRTrainer"),
    ]


def test_the_baseline(called):
    run("predict-hr -i lr -o hr --baseline bspline --factor 3 --axis 2 --labels")
    assert called == [(Path("lr"), Path("hr"), InterpolationOptions("bspline", 3, 2, labels=True))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-d 4", "predict-hr needs -c, -tr, or --baseline."),
        ("-d 4 -c x -tr y -device cpu --labels", "--factor, --axis and --labels go with --baseline: a model has its"),
        ("--baseline linear --factor 2 -d 4 -c x", "--baseline uses no model: leave out -d, -c."),
        ("--baseline linear", "--baseline needs --factor: how many thin slices a thick one becomes."),
        ("--baseline linear --factor 1", "2 or more, not 1"),
    ],
)
def test_words_that_do_not_go_together(called, capsys, words, message):
    assert run(f"predict-hr -i lr -o hr {words}") == 1
    assert message in capsys.readouterr().err
    assert not called


def test_predict_hr_refines_its_label_maps(called, monkeypatch, tmp_path, capsys):
    class OfLabels:
        predicts_image = False

    refined = []
    monkeypatch.setattr("acnn_nnunet.nnunet.models.find_trainer_class", lambda name: OfLabels)
    monkeypatch.setattr("acnn_nnunet.fold_prior.loading.choose_prior", lambda file, **model: (file, model["fold"]))
    monkeypatch.setattr(
        "acnn_nnunet.refinement.command.refine", lambda *words: refined.append(words) or Outcome("refined")
    )

    words = "predict-hr -i lr -o hr -d 4 -c 3d_hr_x5 -tr Any -f 1 2 -device cpu --refine"
    assert run(f"{words} -num_parts 2 -part_id 0") == 1
    assert "--refine needs all label maps" in capsys.readouterr().err
    assert called == []
    assert run(f"{words} -np 3 --continue") == 1

    assert capsys.readouterr().out == "done\nrefined\n"
    options = RefineOptions(prior_file=(None, "1"), device="cpu", execution=Execution(num_processes=3, go_on=True))
    assert refined == [(Path("hr"), Path("hr/refined"), options)]


def test_images_are_not_refined(called, monkeypatch, capsys):
    monkeypatch.setattr(
        "acnn_nnunet.nnunet.models.find_trainer_class", lambda name: type("OfImages", (), {"predicts_image": True})
    )

    assert run("predict-hr -i lr -o hr -d 4 -c 3d_hr_x5 -tr SRTrainer -device cpu --refine") == 1
    assert "SRTrainer predicts images" in capsys.readouterr().err
    assert run("predict-hr -i lr -o hr --baseline linear --factor 5 --refine") == 1
    assert "leave it out with --baseline" in capsys.readouterr().err
    assert called == []
