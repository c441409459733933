"""The order of the rooms: which folder may import which, no cycles, no torch where an answer is wanted at once."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "acnn_nnunet"
ROOT = Path(__file__).parents[1]

# Every room may import the rooms named in its row, and itself. DESIGN, section 3.
GROUNDS = {"files", "pages", "casewise", "nnunet", "shape_prior", "evaluation", "fold_prior"}
CAPABILITIES = {"challenges", "prior_report", "latent", "plausibility", "refinement", "sr"}
ALLOWED = {
    "files": set(),
    "pages": {"files"},
    "casewise": {"files", "pages"},
    "nnunet": {"files", "pages", "casewise"},
    "shape_prior": {"files", "pages", "casewise"},
    "evaluation": {"files", "pages", "casewise", "nnunet", "shape_prior"},
    "fold_prior": {"files", "pages", "casewise", "nnunet", "shape_prior"},
    **{room: GROUNDS | (CAPABILITIES - {room}) for room in CAPABILITIES},
    "trainers": GROUNDS | CAPABILITIES,
    "sweep": {"files", "pages", "casewise", "nnunet", "evaluation"},
    "demo": GROUNDS | CAPABILITIES | {"trainers"},
    "commands": GROUNDS | CAPABILITIES | {"trainers", "sweep", "demo"},
    "cli": {"commands"},
}

# Arrows that the table above forbids, each with its reason.
EXCEPTIONS = {
    (f"{PACKAGE}.nnunet.ext_trainers.acnn_nnunet_trainers", "trainers"): "nnU-Net finds the trainers in this shim",
}

# Strings that name a module or class of ours, looked up at run time: arrows that no import shows.
RUN_TIME_NAMES: dict[tuple[str, str], str] = {
    (f"{PACKAGE}.pages.page", f"{PACKAGE}.pages"): "the folder in which Jinja2 finds the templates",
    (f"{PACKAGE}.evaluation.workers", f"{PACKAGE}.evaluation.cases"): "workers load it while the command still starts",
    (f"{PACKAGE}.evaluation.workers", f"{PACKAGE}.evaluation.pictures"): "workers load it while the command starts",
    (f"{PACKAGE}.nnunet.registration", f"{PACKAGE}.pth"): "a start-up file's name, not a module",
    (f"{PACKAGE}.nnunet.registration", f"{PACKAGE}.start"): "a start-up file's name, not a module",
}

# Modules that a program waits for before it can answer.
AT_ONCE = (
    "cli",
    "evaluation.command",
    "evaluation.comparison.command",
    "evaluation.images.command",
    "evaluation.reading.study.command",
    "evaluation.reading.scores.command",
    "challenges.command",
)

# The road from `-tr ACNNTrainer` to its loss is one that a newcomer can walk.
MOST_MODULES_BEHIND_THE_TRAINER = 20


@cache
def modules() -> dict[str, Path]:
    """File of each module of the package by its dotted name."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


@cache
def imports(module: str) -> frozenset[str]:
    """Modules of the package that a module imports, at its top or inside its functions."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import: the package's are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found.update(name if name in modules() else str(node.module) for name in names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return frozenset(name for name in found if name in modules() and name not in (module, PACKAGE))


def room(module: str) -> str:
    """Folder, or file beside the folders, that a module belongs to."""
    return module.split(".")[1] if "." in module else module


def reached(module: str) -> set[str]:
    """Modules that a module reaches by its imports, over all steps."""
    found, ahead = set(), [module]
    while ahead:
        for name in imports(ahead.pop()) - found:
            found.add(name)
            ahead.append(name)
    return found - {module}


def cycle(arrows: dict[str, set[str]]) -> list[str]:
    """Return nodes that lead back to the first of them; empty where there are none."""

    def walk(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for target in sorted(arrows[node]):
            if found := walk(target, [*path, node]):
                return found
        done.add(node)
        return []

    done: set[str] = set()
    return next((found for node in sorted(arrows) if (found := walk(node, []))), [])


def test_every_room_is_in_the_design():
    rooms = {room(module) for module in modules()} - {PACKAGE}

    assert rooms == set(ALLOWED)


def test_every_arrow_is_allowed():
    wrong = [
        f"{module} -> {target}"
        for module in modules()
        for target in imports(module)
        if room(module) not in (room(target), PACKAGE)
        and room(target) not in ALLOWED[room(module)]
        and (module, room(target)) not in EXCEPTIONS
    ]

    assert not wrong, "\n".join(sorted(wrong))


def test_no_file_leads_back_to_itself():
    arrows = {module: set(imports(module)) for module in modules() if (module, "trainers") not in EXCEPTIONS}

    assert not cycle({module: targets & arrows.keys() for module, targets in arrows.items()})


def test_no_folder_leads_back_to_itself():
    folders = {module: module.rpartition(".")[0] for module in modules()}
    arrows: dict[str, set[str]] = {folder: set() for folder in folders.values()}
    for module, folder in folders.items():
        if (module, "trainers") not in EXCEPTIONS:
            arrows[folder] |= {folders[target] for target in imports(module)} - {folder, ""}

    assert not cycle(arrows)


def test_nothing_in_the_package_holds_a_name_that_is_imported_later():
    found = {
        (module, node.value)
        for module in modules()
        for node in ast.walk(ast.parse(modules()[module].read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(f"{PACKAGE}.")
    }

    assert found == set(RUN_TIME_NAMES)


def test_the_trainer_is_reached_by_few_steps():
    behind = reached(f"{PACKAGE}.trainers.acnn_trainer")

    assert len(behind) <= MOST_MODULES_BEHIND_THE_TRAINER, "\n".join(sorted(behind))


@pytest.mark.parametrize("module", AT_ONCE)
def test_no_torch_where_an_answer_is_wanted_at_once(module):
    script = f"import sys, {PACKAGE}.{module}; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0
