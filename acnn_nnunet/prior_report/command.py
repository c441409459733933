"""`acnn-nnunet prior-report`: is this prior worth using?"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from tqdm import tqdm

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import make_output_folder, names_in, refuse_file, write_json, write_text
from acnn_nnunet.fold_prior.loading import PRIOR_TRAINER, label_space, load_fold_prior
from acnn_nnunet.nnunet.devices import check_device
from acnn_nnunet.nnunet.folds import FoldView, view_fold
from acnn_nnunet.nnunet.plans import dataset_id, train_command
from acnn_nnunet.prior_report.measures import (
    answer_to_defects,
    check_gradient,
    defect_cases,
    describe_codes,
    draw_patches,
    judge_predictor,
    num_batches,
)
from acnn_nnunet.prior_report.page import render_prior_page
from acnn_nnunet.prior_report.reconstruction import fit_pca, measure_reconstruction, pca_cases
from acnn_nnunet.prior_report.subject import Subject
from acnn_nnunet.prior_report.verdict import how_to_change, judge, overall, verdict_text
from acnn_nnunet.shape_prior.label_maps.pca import LinearShapeModel

JSON_FILE, PAGE_FILE = "prior_report.json", "report.html"
_REPORTED_SETTINGS = (
    "prior_num_epochs",
    "elastic_deformation",
    "prior_weight",
    "prior_weighting",
    "prior_distance",
    "outside_weight",
)


@dataclass(frozen=True)
class PriorReportOptions:
    """The prior that is reported on.

    Attributes:
        dataset: id or name.
        configuration: the one that would be trained with this prior.
        fold: its number.
        plans_identifier: as on the host's -p.
        device: cpu, cuda or mps.
    """

    dataset: str
    configuration: str
    fold: int | str
    plans_identifier: str = "nnUNetPlans"
    device: str = "cpu"


def prior_report(output: Path, options: PriorReportOptions) -> str:
    """Measure a prior on held-out cases, write `prior_report.json` and `report.html`, and return the verdict to print.

    Args:
        output: folder to write; it may be there if it is empty or holds an earlier report.
        options: which prior.

    Raises:
        ValueError: for an unknown dataset, configuration or fold, a prior that does not fit, a missing device, or an
            output folder with other content.
        FileNotFoundError: if there is no prior, no plans or no preprocessed cases.
        OSError: if the output cannot be written.
    """
    start = perf_counter()
    _refuse_other_content(output)
    check_device(options.device)
    view = view_fold(options.dataset, options.configuration, options.fold, plans_identifier=options.plans_identifier)
    bundle = view.bundle
    prior = load_fold_prior(
        bundle.plans,
        bundle.name,
        bundle.dataset_json,
        view.fold,
        validation_cases=view.validation_cases,
        device=options.device,
    )
    subject = Subject(view, prior, label_space(bundle.plans, bundle.dataset_json), options.device)
    measures, pca = _measure(subject)
    report = {
        "acnn_nnunet": __version__,
        "where": _where(view),
        "prior": {"path": str(prior.path), "sha256": prior.sha256, **prior.spec.as_plain()},
        "settings": {name: getattr(view.settings, name) for name in _REPORTED_SETTINGS},
        **measures,
    }
    checks = judge(report)
    report["verdict"] = {
        "overall": overall(checks),
        "how": how_to_change(report, checks),
        "checks": [asdict(check) for check in checks],
    }
    page = render_prior_page(report, subject, pca)
    report["seconds"] = perf_counter() - start
    make_output_folder(output)
    write_json(output / JSON_FILE, report)
    write_text(output / PAGE_FILE, page)
    return f"{verdict_text(report)}\nreport: {output / PAGE_FILE}"


def _measure(subject: Subject) -> tuple[dict[str, Any], LinearShapeModel]:
    """Return all measures as plain values, and the PCA that reconstructions were compared with."""
    groups = (pca_cases(subject), subject.view.validation_cases, defect_cases(subject))
    with tqdm(desc="prior-report", unit="case", total=sum(map(len, groups)) + num_batches(subject)) as bar:
        subject = replace(subject, advance=bar.update)
        pca = fit_pca(subject)
        reconstruction, held_out, predicted = measure_reconstruction(subject, pca)
        patches, training, target = draw_patches(subject)
        return {
            "reconstruction": reconstruction,
            "codes": describe_codes(held_out, training),
            "code_distance": answer_to_defects(subject, held_out),
            "predictor": judge_predictor(subject, predicted, held_out),
            "gradient": check_gradient(subject, target),
            "training_patches": patches,
        }, pca


def _where(view: FoldView) -> dict[str, Any]:
    dataset, plans = view.bundle.dataset_name, view.bundle.plans.plans_name
    return {
        "dataset": dataset,
        "id": dataset_id(dataset),
        "configuration": view.bundle.name,
        "plans": plans,
        "plans_flag": "" if plans == "nnUNetPlans" else f" -p {plans}",
        "fold": view.fold,
        "new_command": train_command(dataset, "NEW", view.fold, PRIOR_TRAINER, plans),
    }


def _refuse_other_content(output: Path) -> None:
    refuse_file(output)
    if others := [name for name in names_in(output) if name not in (JSON_FILE, PAGE_FILE)]:
        raise ValueError(f"{output} holds other things, such as {others[0]}: name another folder with -o.")
