"""Where cases are done: what cannot be, and whom our cases are shown to."""

import pytest

from acnn_nnunet.casewise.execution import HERE, Execution, Scheduler


@pytest.fixture
def certificates(tmp_path):
    files = {name: tmp_path / f"{name}.pem" for name in ("tls_ca_file", "tls_cert", "tls_key")}
    for file in files.values():
        file.touch()
    return files


def test_this_process_by_default():
    assert not HERE.uses_processes
    assert Execution(num_processes=2).uses_processes
    assert not Execution(num_processes=2, scheduler=Scheduler("127.0.0.1:8786")).uses_processes


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_processes": 0}, "-np 0: at least one process is needed"),
        ({"num_parts": 2, "part_id": 2}, "-part_id 2 is no part of -num_parts 2: parts count from 0"),
        ({"num_parts": 0}, "-part_id 0 is no part of -num_parts 0"),
        ({"part_id": -1}, "-part_id -1 is no part"),
    ],
)
def test_what_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        Execution(**values)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8786", "tcp://127.0.0.1:8786", "tcp://127.3.2.1:1", "tcp://localhost:8786", "tcp://[::1]:8786"],
)
def test_loopback_may_be_plain(address):
    assert Scheduler(address).address == address


@pytest.mark.parametrize(
    "address",
    [
        "tcp://10.0.0.1:8786",
        "node17:8786",
        "tcp://0.0.0.0:8786",
        "ws://10.0.0.1:80",
        "tcp://localhost.example.org:8786",  # looks like ours, and is not
        "tcp://127.example.org:8786",
        "tcp://[fe80::1]:8786",
    ],
)
def test_plain_text_to_another_machine_is_refused(address):
    with pytest.raises(ValueError, match=r"is on another machine and without TLS: .*--insecure"):
        Scheduler(address)
    assert Scheduler(address, insecure=True).insecure


def test_tls_needs_all_three_files(certificates):
    assert Scheduler("tls://10.0.0.1:8786", **certificates).has_tls
    with pytest.raises(ValueError, match=r"tls://10\.0\.0\.1:8786 needs --tls-ca-file, --tls-cert and --tls-key"):
        Scheduler("tls://10.0.0.1:8786")
    lacking = {name: file for name, file in certificates.items() if name != "tls_key"}
    with pytest.raises(ValueError, match="go together: --tls-key is missing"):
        Scheduler("tls://10.0.0.1:8786", **lacking)
    with pytest.raises(ValueError, match="with certificates the address begins with tls://"):
        Scheduler("tcp://127.0.0.1:8786", **certificates)
    certificates["tls_cert"].unlink()
    with pytest.raises(FileNotFoundError, match=r"--tls-cert .*tls_cert\.pem does not exist"):
        Scheduler("tls://10.0.0.1:8786", **certificates)
