"""Shared by all tests."""

import os
import shutil
import socket
from pathlib import Path

import pytest
import torch


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist's own, which reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `-n 2 --dist loadgroup`, keep a file together, and all tests that share one workspace of trained models."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        group = "workspace" if "planned" in getattr(item, "fixturenames", ()) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The third-party data of $ACNN_DATA or ../shared/data; they are never part of the repository."""
    folder = Path(os.environ.get("ACNN_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} does not exist (set ACNN_DATA)")
    return folder


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request, monkeypatch) -> torch.device:
    """The CPU, where a test shows that it runs at all, and the GPU; full float32 precision on both."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return torch.device(request.param)


@pytest.fixture
def free_port() -> int:
    """A TCP port on this machine for processes that talk to each other."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def chromium() -> dict:
    """How playwright starts a Chromium that is installed."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium (scripts/test.sh does it for root)")
    return {"executable_path": found, "args": ["--no-sandbox"]}


@pytest.fixture(scope="module")
def browser(chromium):
    """A headless Chromium, shared by a module's tests: playwright's event loop must not outlast them."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: it is in the dev extra")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(**chromium)
        yield started
        started.close()
