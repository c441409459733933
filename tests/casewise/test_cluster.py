"""A Dask cluster: the same results as one process, and one clear sentence for what is wrong with it."""

import hashlib
import json
import signal
import threading
import time

import pytest
from dask_cluster import ProcessCluster, cluster_here
from distributed.security import Security
from worker_cases import Load, LoadHere, UseModel, full_disk, sleep_and_square, square

from acnn_nnunet.casewise import cluster
from acnn_nnunet.casewise.cluster import on_cluster
from acnn_nnunet.casewise.connection import ClusterError
from acnn_nnunet.casewise.execution import Scheduler
from acnn_nnunet.casewise.processes import KILLED
from acnn_nnunet.casewise.work import Result, SetUpError
from acnn_nnunet.files.safe_writes import WriteError


@pytest.fixture(scope="module")
def address():
    with cluster_here(num_workers=2) as address:
        yield address


def named(*numbers):
    return {f"case_{number}": number for number in numbers}


def by_case(results):
    found = list(results)
    assert len({result.case for result in found}) == len(found)  # none twice
    return {result.case: result for result in found}


def run(work, cases, address):
    return by_case(on_cluster(work, cases, scheduler=Scheduler(address)))


def test_every_case_once(address):
    results = run(square, named(*range(100)), address)

    assert {case: result.value for case, result in results.items()} == {f"case_{n}": n * n for n in range(100)}


def test_no_cases_need_no_cluster():
    assert list(on_cluster(square, {}, scheduler=Scheduler("127.0.0.1:1"))) == []


def test_a_bad_file_costs_its_own_case(address):
    assert run(square, named(-1, 2), address) == {
        "case_-1": Result("case_-1", error="-1.nii.gz is negative"),
        "case_2": Result("case_2", 4),
    }


def test_a_model_is_loaded_once_per_worker(address, tmp_path):
    run(UseModel(Load(tmp_path)), named(*range(40)), address)

    assert len(list(tmp_path.iterdir())) == 2  # this process twice: for itself and for its worker threads


def test_a_full_disk_ends_it_all(address):
    with pytest.raises(WriteError, match="Could not write"):
        run(full_disk, named(*range(5)), address)


def test_what_an_earlier_run_left_under_way_ends_first(address):
    ended = []

    def end_soon():
        time.sleep(1.5)
        ended.append(cluster._active.pop())

    mark = hashlib.sha256(b"/out/parts/part_0_of_1.jsonl").hexdigest()[:16]
    cluster._active.append(f"acnn-{mark}-before")
    threading.Thread(target=end_soon).start()
    where = {"scheduler": Scheduler(address), "place": "/out/parts/part_0_of_1.jsonl"}

    results = on_cluster(square, named(1), **where)

    assert next(results).value == 1
    assert ended
    results.close()


def test_files_that_a_worker_does_not_see(address, tmp_path, monkeypatch):
    (tmp_path / "a.nii.gz").touch()
    where = {"scheduler": Scheduler(address), "must_see": [tmp_path / "a.nii.gz", tmp_path / "nowhere"]}
    assert len(list(on_cluster(square, named(1), **where))) == 1  # what is nowhere is its case's own trouble

    monkeypatch.setattr("acnn_nnunet.casewise.connection._absent", lambda files: files)
    with pytest.raises(ClusterError, match=r"the worker tcp://\S+ does not see .*a\.nii\.gz: mount the folder there"):
        list(on_cluster(square, named(1), **where))


@pytest.mark.parametrize("error", [ImportError("No module named 'edt'"), Exception("No module named 'edt'")])
def test_a_worker_where_a_library_is_missing(address, tmp_path, monkeypatch, error):
    def fail(files):
        raise error

    monkeypatch.setattr("acnn_nnunet.casewise.connection._absent", fail)
    with pytest.raises(ClusterError, match=r"the worker tcp://\S+ cannot open the work \(No module named 'edt'\)"):
        list(on_cluster(square, named(1), scheduler=Scheduler(address), must_see=[tmp_path]))


def test_a_worker_that_dies_while_it_is_asked_is_left_out(address, tmp_path, monkeypatch):
    def die(files):
        raise ConnectionError("closed")

    monkeypatch.setattr("acnn_nnunet.casewise.connection._absent", die)
    assert len(list(on_cluster(square, named(1, 2), scheduler=Scheduler(address), must_see=[tmp_path]))) == 2


def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr("acnn_nnunet.casewise.connection._SECONDS_TO_CONNECT", 0.3)
    with pytest.raises(ClusterError, match=r"No Dask scheduler answers at 127\.0\.0\.1:1 .*: start one"):
        run(square, named(1), "127.0.0.1:1")


def test_a_scheduler_file(address, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": address}))
    assert run(square, named(3), str(file))["case_3"].value == 9

    file.write_text(json.dumps({"address": "tcp://10.0.0.1:8786"}))
    with pytest.raises(ValueError, match="is on another machine and without TLS"):
        run(square, named(3), str(file))
    file.write_text("{}")
    with pytest.raises(ValueError, match=r"scheduler\.json is no scheduler file of Dask"):
        run(square, named(3), str(file))


@pytest.mark.parametrize(
    ("who", "package", "version", "message"),
    [
        ("scheduler", "distributed", "2020.1.0", "the scheduler has distributed 2020.1.0, this machine"),
        ("workers", "python", "3.7.1.final.0", r"the worker tcp://\S+ has python 3.7.1"),
        ("workers", "acnn_nnunet", "0.0.1", r"the worker tcp://\S+ has acnn_nnunet 0.0.1, this machine"),
        ("workers", "acnn_nnunet", None, r"the worker tcp://\S+ has no acnn_nnunet, .*: install the same versions"),
    ],
)
def test_other_versions_are_refused(address, monkeypatch, who, package, version, message):
    from distributed import Client

    ask = Client.get_versions

    def changed(self, **options):
        found = ask(self, **options)
        for each in [found["scheduler"]] if who == "scheduler" else found["workers"].values():
            each["packages"][package] = version
        return found

    monkeypatch.setattr(Client, "get_versions", changed)
    with pytest.raises(ClusterError, match=message):
        run(square, named(1), address)


def test_certificates_of_our_own_open_the_door_and_no_others(tmp_path):
    ours, theirs = (write_certificates(tmp_path / name) for name in ("ours", "theirs"))
    roles = [(role, what) for role in ("scheduler", "worker", "client") for what in ("cert", "key")]
    files = {f"tls_{role}_{what}": str(ours[f"tls_{what}"]) for role, what in roles}
    security = Security(require_encryption=True, tls_ca_file=str(ours["tls_ca_file"]), **files)
    with cluster_here(security=security) as address:
        results = by_case(on_cluster(square, named(1, 2), scheduler=Scheduler(address, **ours)))
        assert results["case_2"].value == 4
        with pytest.raises(ClusterError, match="with the same certificates"):
            list(on_cluster(square, named(1), scheduler=Scheduler(address, **theirs)))


def write_certificates(folder):
    """Write a certificate that vouches for itself, and its key."""
    security = Security.temporary()
    folder.mkdir()
    contents = {"tls_ca_file": security.tls_ca_file}
    contents |= {"tls_cert": security.tls_client_cert, "tls_key": security.tls_client_key}
    files = {name: folder / f"{name}.pem" for name in contents}
    for name, content in contents.items():
        files[name].write_text(content)
    return files


@pytest.fixture
def processes(tmp_path):
    started = ProcessCluster(tmp_path)
    yield started
    started.stop()


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_nothing(processes):
    def kill():
        time.sleep(2)
        processes.workers[0].send_signal(signal.SIGKILL)

    threading.Thread(target=kill).start()
    results = run(sleep_and_square, named(*range(40)), str(processes.file))

    assert {case: result.value for case, result in results.items()} == {f"case_{n}": n * n for n in range(40)}


@pytest.mark.slow
def test_a_case_that_kills_its_workers_is_left_out(processes):
    from worker_cases import die_at_three

    processes.workers += [processes.add_worker() for _ in range(8)]
    results = run(die_at_three, named(*range(6)), str(processes.file))

    assert results.pop("case_3") == Result("case_3", error=KILLED)
    assert {case: result.value for case, result in results.items()} == {f"case_{n}": n * n for n in (0, 1, 2, 4, 5)}


@pytest.mark.slow
def test_a_model_that_a_worker_cannot_load_ends_it_all(processes):
    with pytest.raises(SetUpError, match=r"the worker tcp://\S+: prior\.pth is damaged"):
        run(UseModel(LoadHere()), named(1, 2, 3), str(processes.file))


@pytest.mark.slow
def test_a_scheduler_that_is_killed_ends_the_run(processes):
    results = on_cluster(sleep_and_square, named(*range(200)), scheduler=Scheduler(str(processes.file)))
    assert next(results).error is None
    processes.scheduler.kill()

    with pytest.raises(ClusterError, match=r"is gone: start it and its workers again, then go on with --continue"):
        list(results)
