"""Where the cases of a command are done, which of them, and whether an earlier run goes on."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Scheduler:
    """A Dask scheduler, and the files that prove who we are.

    Attributes:
        address: such as tcp://127.0.0.1:8786, tls://node:8786, or a scheduler file of Dask (`*.json`).
        insecure: take a scheduler on another machine without TLS.
        tls_ca_file: certificate of the authority that signed everyone's.
        tls_cert: our certificate.
        tls_key: our private key.

    Raises:
        ValueError: for TLS files that do not go together or with the address, or plain text to another machine.
        FileNotFoundError: if a file does not exist.
    """

    address: str
    insecure: bool = False
    tls_ca_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        files = {"--tls-ca-file": self.tls_ca_file, "--tls-cert": self.tls_cert, "--tls-key": self.tls_key}
        given = {option: path for option, path in files.items() if path is not None}
        if given and len(given) < len(files):
            raise ValueError(f"{', '.join(files)} go together: {', '.join(files.keys() - given.keys())} is missing.")
        for option, path in given.items():
            if not path.is_file():
                raise FileNotFoundError(f"{option} {path} does not exist.")
        if not self.address.endswith(".json"):
            self.check(self.address)

    @property
    def has_tls(self) -> bool:
        """Whether certificates are given."""
        return self.tls_cert is not None

    def check(self, address: str) -> None:
        """Raise ValueError for an address that certificates do not suit, or for plain text to another machine."""
        protocol, _, place = address.rpartition("://")
        if self.has_tls and protocol != "tls":
            raise ValueError(f"--scheduler {address}: with certificates the address begins with tls://.")
        if protocol == "tls" and not self.has_tls:
            raise ValueError(f"--scheduler {address} needs --tls-ca-file, --tls-cert and --tls-key.")
        if protocol != "tls" and not _is_loopback(place) and not self.insecure:
            raise ValueError(
                f"--scheduler {address} is on another machine and without TLS: anyone on the network could run code "
                "as you. Start it with certificates and give tls://…, --tls-ca-file, --tls-cert and --tls-key; or "
                "say --insecure on a network that you trust."
            )


@dataclass(frozen=True)
class Execution:
    """How a command goes through its cases.

    Attributes:
        num_processes: cases at a time on this machine; 1 works in this process.
        scheduler: of a Dask cluster that does the cases instead.
        num_parts: of how many parts this run is one; `merge` joins them.
        part_id: which part, from 0.
        go_on: keep what an earlier run has done.

    Raises:
        ValueError: for processes or parts that cannot be.
    """

    num_processes: int = 1
    scheduler: Scheduler | None = None
    num_parts: int = 1
    part_id: int = 0
    go_on: bool = False

    def __post_init__(self) -> None:
        if self.num_processes < 1:
            raise ValueError(f"-np {self.num_processes}: at least one process is needed.")
        if not 0 <= self.part_id < self.num_parts:
            raise ValueError(f"-part_id {self.part_id} is no part of -num_parts {self.num_parts}: parts count from 0.")

    @property
    def uses_processes(self) -> bool:
        """Whether processes of this machine do the work."""
        return self.scheduler is None and self.num_processes > 1


HERE = Execution()
"""Every case in this process."""


def _is_loopback(place: str) -> bool:
    """Return whether HOST:PORT is this machine's own network, which no other machine reaches."""
    host = place.rpartition(":")[0] or place
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
