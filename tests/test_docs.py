"""The documentation says what the code does: settings, command lines and links."""

import importlib
import re
import shlex
import subprocess
from argparse import _SubParsersAction
from pathlib import Path

import pytest

from acnn_nnunet import __version__
from acnn_nnunet.cli import _parse, build_parser
from acnn_nnunet.nnunet.configure import parse_assignments
from acnn_nnunet.shape_prior.training.stages import StageSchedule
from acnn_nnunet.sweep.plan import read_plan

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SETTINGS_PAGE = ROOT / "docs" / "reference" / "settings.md"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def table_below(heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading of docs/reference/settings.md, its own heading left out."""
    section = SETTINGS_PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code_of(page: Path) -> tuple[list[str], list[str]]:
    """Return the lines of a page's code blocks, and its code spans."""
    prose, *blocks = re.split(r"^```\w*\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    return "\n".join(blocks[::2]).splitlines(), re.findall(r"`([^`\n]+)`", prose + "\n".join(blocks[1::2]))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links to other files or headings."""
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in target]


def slugs(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_page_is_what_the_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("write_settings_page")

    assert SETTINGS_PAGE.read_text().split(script.MARKER)[1] == script.tables(), "run scripts/write_settings_page.py"


@pytest.mark.parametrize("row", table_below("Keys"), ids=lambda row: row[0].strip("`"))
def test_what_the_table_allows_is_allowed_and_choices_are_complete(row):
    key, allowed = row[0].strip("`"), re.findall(r"`([^`]+)`", row[2])

    for value in allowed:
        parse_assignments([f"{key}={value}"])
    try:
        parse_assignments([f"{key}=nonsense"])
    except ValueError as error:
        if choices := re.search(r"one of (.*), got", str(error)):
            assert sorted(allowed) == sorted(choices[1].split(", "))
    if "`none`" not in row[2]:
        with pytest.raises(ValueError, match=f"{key} must be"):
            parse_assignments([f"{key}=none"])


def test_the_stages_are_described_with_their_shares():
    page = (ROOT / "docs" / "reference" / "shape_prior.md").read_text()

    for stage, share in StageSchedule.SHARES.items():
        assert re.search(rf"^\| {stage.value} \|.* after {100 * share:.0f} % of", page, flags=re.MULTILINE)
    assert f"improved by {100 * StageSchedule.TOLERANCE:g} %" in page


@each_page
def test_command_lines_parse(page):
    lines, spans = code_of(page)
    commands = [match[1] for code in [*lines, *spans] if (match := re.search(r"\bacnn-nnunet ([a-z][^)]*)", code))]
    for command in commands:
        words = shlex.split(command.replace("$SLURM_ARRAY_TASK_ID", "0"), comments=True)
        if len(words) == 1 or "--help" in words:  # a command that is mentioned, not called, exists if it has a help
            with pytest.raises(SystemExit, match=r"^0$"):
                _parse(words if "--help" in words else [*words, "--help"])
        else:
            _parse(words)


def test_a_command_line_was_found():
    lines, _ = code_of(ROOT / "README.md")

    assert sum(line.startswith("acnn-nnunet ") for line in lines) >= 3


def test_every_command_is_in_the_readme_or_a_guide():
    pages = [ROOT / "README.md", *ROOT.glob("docs/guide/*.md")]
    text = "\n".join(line for page in pages for code in code_of(page) for line in code)
    commands = next(action for action in build_parser()._actions if isinstance(action, _SubParsersAction)).choices

    assert not [command for command in commands if f"acnn-nnunet {command}" not in text]


def test_every_page_is_reached_from_the_index():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}

    assert {page for page in PAGES if page.is_relative_to(index.parent)} - linked == {index}


def test_pages_that_code_names_exist():
    files = [file for folder in ("acnn_nnunet", "scripts") for file in (ROOT / folder).rglob("*.py")]
    named = {page for file in files for page in re.findall(r"\bdocs/[\w/]+\.md\b", file.read_text())}

    assert "docs/reference/settings.md" in named
    assert not [page for page in named if not (ROOT / page).is_file()]


@each_page
def test_links_between_files_resolve(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        linked = page.parent / path if path else page
        assert linked.is_file(), f"{page.name} links to {target}"
        assert not anchor or anchor in slugs(linked), f"{page.name} links to {target}"


@each_page
def test_scripts_that_are_named_exist(page):
    text = page.read_text()
    for script in re.findall(r"\bscripts/[\w/]+\.(?:sh|py)\b", text):
        assert (ROOT / script).is_file(), f"{page.name} names {script}"
    for module in re.findall(r"\bpython -m (scripts[.\w]+)", text):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{page.name} names {module}"


def test_contributing_names_every_room_in_the_order_of_the_house():
    page = (ROOT / "CONTRIBUTING.md").read_text()
    tree = re.findall(r"^  (\w+)/ ", page, flags=re.MULTILINE)
    order = re.findall(r"`(\w+)`", page.split("**Order of the rooms.**")[1].split("`tests/")[0])
    rooms = {path.parent.name for path in (ROOT / "acnn_nnunet").glob("*/__init__.py")}

    assert set(tree) == rooms
    assert set(order) == rooms | {"cli"}
    assert [order.index(room) for room in ("files", "casewise", "evaluation", "trainers", "cli")] == sorted(
        order.index(room) for room in ("files", "casewise", "evaluation", "trainers", "cli")
    )


def test_the_citation_is_of_this_version():
    citation = (ROOT / "CITATION.cff").read_text()

    assert f"\nversion: {__version__}\n" in citation


def blocks_of(page: str, language: str) -> list[str]:
    """Return the code blocks of a guide in a language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / "docs/guide" / page).read_text(), re.DOTALL | re.MULTILINE
    )


def test_the_shell_scripts_of_the_cluster_guide_are_whole(tmp_path):
    for block in blocks_of("cluster.md", "bash"):
        script = tmp_path / "script.sh"
        script.write_text(block)
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_slurm_gets_the_job_that_the_cluster_guide_asks_for(tmp_path):
    (program,) = blocks_of("cluster.md", "python")
    made = program.split("cluster.scale")[0].replace(
        "SLURMCluster(", "SLURMJob(scheduler='tcp://127.0.0.1:1', name='w', "
    )
    made = made.replace("dask_jobqueue import SLURMCluster", "dask_jobqueue.slurm import SLURMJob")
    made = re.sub(r"\n    (scheduler_options|processes)=.*", "", made)
    names: dict = {}
    exec(made, names)

    script = names["cluster"].job_script()
    (tmp_path / "job.sh").write_text(script)
    subprocess.run(["bash", "-n", str(tmp_path / "job.sh")], check=True)
    assert "#SBATCH -p cpu" in script
    assert "#SBATCH -t 04:00:00" in script
    assert "#SBATCH --mem=8G" in script


def test_the_plan_of_the_cluster_guide_is_one(tmp_path):
    (tmp_path / "plan.yaml").write_text(blocks_of("cluster.md", "yaml")[0])

    assert len(read_plan(tmp_path / "plan.yaml").runs("Dataset027_ACDC")) == 8
