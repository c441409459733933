"""`scripts/benchmarks/cohorts_page.py`: each target with what was measured, and what was missed first."""

from scripts.benchmarks.cohorts_page import PAGE, RESULTS, read_results, render

MACHINE = {"cpu": "C", "cores": 2, "python": "3.11", "distributed": "2026"}


def timed(wall_s: float, cases_s: float = 0.0) -> dict:
    return {"wall_s": wall_s, "cases_s": cases_s}


def test_what_is_missed_is_said_first():
    workers = {"1": timed(20.0), "2": timed(12.5)}
    found = {"machine": MACHINE, "small": {"maps": 2000, "workers": workers, "speedup": 1.6}}

    page = render({"throughput": found})

    assert page.splitlines()[2].startswith("0 of 1 targets are reached. Missed: `evaluate`, two workers against one")
    assert "Not measured: scale, executors, kills, broken, drivers, pages." in page
    assert "| ≥ 1.8 | 20.0 s → 12.5 s: 1.60 | **missed** |" in page


def test_the_cases_and_the_whole_command_are_told_apart():
    workers = {"1": timed(20.0, 18.0), "2": timed(12.5, 9.5)}
    large = {"maps": 1000, "workers": workers, "speedup": 1.6, "speedup_of_cases": 18 / 9.5}

    page = render({"throughput": {"machine": MACHINE, "large_pinned": large}})

    assert page.splitlines()[2].startswith("1 of 2 targets are reached.")
    what = "two workers against one, a core for each, 1,000 large maps"
    assert f"{what}, first case to last | ≥ 1.8 | 18.0 s → 9.5 s: 1.89 | reached |" in page
    assert f"{what}, whole command | ≥ 1.8 | 20.0 s → 12.5 s: 1.60 | **missed** |" in page


def test_memory_and_cost_have_limits_of_their_own():
    sizes = {"200": {}, "2000": {"peak_all_mib": 100.0}, "20000": {"peak_all_mib": 110.0}}
    both = {"sizes": sizes, "memory_of_all_ratio": 1.1, "cpu_ms_per_case_among_few": 10.0}
    good = {**both, "cpu_ms_per_case_among_many": 9.5, "cost_per_case_ratio": 0.95}
    bad = {**both, "cpu_ms_per_case_among_many": 11.5, "cost_per_case_ratio": 1.15}

    page = render({"scale": {"machine": MACHINE, "evaluate": good, "codes": bad}})

    assert "peak memory | ≤ +10 % | 100 → 110 MiB (+10.0%) | reached |" in page
    assert "cost per case | within 10 % | 10.0 → 9.5 ms (-5.0%) | reached |" in page
    assert "cost per case | within 10 % | 10.0 → 11.5 ms (+15.0%) | **missed** |" in page


def test_a_case_that_is_lost_is_a_miss():
    found = {"machine": MACHINE, "cases": 800, "broken": 8, "failed_rows": 8, "done": 791, "exit_code": 1}
    found |= {"failed_are_the_broken": True, "each_has_a_reason": True, "reasons": {"cut_off": "…"}}

    page = render({"broken": found})

    assert "| 791 of 792 others done, 8 rows with a reason, exit code 1 | **missed** |" in page
    assert "The damage: cut off." in " ".join(page.split())


def test_memory_of_a_command_s_own_process():
    sizes = {"20": {"peak_driver_mib": 100.0}, "2000": {"peak_driver_mib": 112.0}}
    found = {"machine": MACHINE, "commands": {"refine": {"sizes": sizes, "memory_ratio": 1.12}}}

    page = render({"drivers": found})

    what = "| `refine`, 20 → 2,000 cases: peak memory of the command's own process | ≤ +10 % |"
    assert f"{what} 100 → 112 MiB (+12.0%) | **missed** |" in page


def test_the_page_is_of_the_results():
    assert PAGE.read_text(encoding="utf-8") == render(read_results(RESULTS))
