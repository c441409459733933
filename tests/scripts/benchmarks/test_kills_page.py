"""`scripts/benchmarks/kills_page.py`: the page says what was measured, and how little."""

from scripts.benchmarks.kills_page import PAGE, RESULTS, read_results, render


def measured(*kills: tuple[bool, int, bool]) -> dict:
    return {
        "kills": [
            {
                "living": living,
                "from": "start",
                "new_files_at_kill": files,
                "differences": [] if equal else ["a is lost"],
            }
            for living, files, equal in kills
        ],
        "living": sum(living for living, _, _ in kills),
        "undisturbed_s": 9.51,
        "machine": {"load": 7.3},
    }


def test_runs_that_ended_before_their_moment_count_nowhere():
    page = render({"evaluate": measured((True, 0, True), (True, 3, True), (False, 4, False))})
    assert "| `evaluate`, two processes, `--continue` | 2 | 1 | 2 | 10 |" in page
    assert "No result was lost, none came twice, in 2 kills. Fewer than 20 kills so far: `evaluate`." in page


def test_harm_is_said_first():
    page = render({"prior": measured(*[(True, 1, True)] * 19, (True, 1, False))})
    assert page.splitlines()[2] == "1 of 20 kills did harm."
    assert "All count from the start" not in page


def test_the_page_is_of_the_results():
    assert PAGE.read_text(encoding="utf-8") == render(read_results(RESULTS))
