"""`acnn-nnunet prior-report`: is this prior worth using?"""

from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from acnn_nnunet import __version__
from acnn_nnunet.files.safe_writes import make_output_folder, refuse_file, write_json, write_text
from acnn_nnunet.fold_prior.loading import PRIOR_TRAINER, label_space, load_fold_prior
from acnn_nnunet.nnunet.devices import check_device
from acnn_nnunet.nnunet.folds import view_fold
from acnn_nnunet.nnunet.plans import dataset_id, train_command
from acnn_nnunet.prior_report.examination import Examination
from acnn_nnunet.prior_report.page import render_prior_page
from acnn_nnunet.prior_report.verdict import how_to_change, judge, overall, verdict_text

JSON_FILE, PAGE_FILE = "prior_report.json", "report.html"
_REPORTED_SETTINGS = (
    "prior_num_epochs",
    "prior_weight",
    "prior_weighting",
    "prior_distance",
    "feature_weight",
    "reconstruction_weight",
)


def prior_report(
    dataset: str, configuration: str, fold: int | str, *, plans_identifier: str, output: Path, device: str
) -> str:
    """Measure the prior of a configuration and fold on held-out cases and write `prior_report.json` and `report.html`.

    Args:
        dataset: id or name.
        configuration: the one that would be trained with this prior.
        fold: its number.
        plans_identifier: as on the host's -p.
        output: folder to write; it may be there if it is empty or holds an earlier report.
        device: cpu, cuda or mps.

    Returns:
        The verdict, to be printed.

    Raises:
        ValueError: for an unknown dataset, configuration or fold, a prior that does not fit, a missing device, or an
            output folder with other content.
        FileNotFoundError: if there is no prior, no plans or no preprocessed cases.
        OSError: if the output cannot be written.
    """
    start = perf_counter()
    _refuse_other_content(output)
    check_device(device)
    view = view_fold(dataset, configuration, fold, plans_identifier=plans_identifier)
    bundle = view.bundle
    prior = load_fold_prior(
        bundle.plans,
        bundle.name,
        bundle.dataset_json,
        view.fold,
        validation_cases=view.validation_cases,
        device=device,
    )
    labels = label_space(bundle.plans, bundle.dataset_json)
    with tqdm(desc="prior-report", unit="case") as progress:
        examination = Examination(view, prior, labels, device=device, advance=progress.update)
        progress.reset(examination.num_steps)
        measures, _ = examination.run()
    report = {
        "acnn_nnunet": __version__,
        "where": {
            "dataset": bundle.dataset_name,
            "id": dataset_id(bundle.dataset_name),
            "configuration": bundle.name,
            "plans": bundle.plans.plans_name,
            "plans_flag": "" if bundle.plans.plans_name == "nnUNetPlans" else f" -p {bundle.plans.plans_name}",
            "fold": view.fold,
            "new_command": train_command(bundle.dataset_name, "NEW", view.fold, PRIOR_TRAINER, bundle.plans.plans_name),
        },
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
    page = render_prior_page(report, examination)
    report["seconds"] = perf_counter() - start
    make_output_folder(output)
    write_json(output / JSON_FILE, report)
    write_text(output / PAGE_FILE, page)
    return f"{verdict_text(report)}\nreport: {output / PAGE_FILE}"


def _refuse_other_content(output: Path) -> None:
    refuse_file(output)
    if output.is_dir() and (others := sorted({path.name for path in output.iterdir()} - {JSON_FILE, PAGE_FILE})):
        raise ValueError(f"{output} holds other things, such as {others[0]}: name another folder with -o.")
