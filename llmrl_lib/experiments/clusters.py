"""Where the work of a run is done: by processes of this machine, or by the workers of a Dask or Ray cluster.

joblib hands the work out in all three cases. For clusters it does so through two small backends of ours: joblib's own one
for Dask waits for ever for a task that the scheduler gave up, and Ray's gives no result before all are there.

Who works together is looked at before any work begins: every worker must answer, hold this state of the package, and, with
shared storage, see the run folder and the dataset where this machine does.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmrl_lib import __version__
from llmrl_lib.experiments.folders import ExperimentError, explain

if TYPE_CHECKING:
    from llmrl_lib.experiments.joblib_backends import ClusterBackend

BACKENDS, STORAGES = ("loky", "dask", "ray"), ("shared", "return")
SECONDS_TO_ANSWER = 10.0  # of a scheduler
SECONDS_FOR_WORKERS = 60.0  # until the first worker of a cluster has come
SCHEMES = {"dask": ("", "tcp", "tls", "ucx", "ucxx", "ws", "wss"), "ray": ("", "ray")}  # of addresses
OTHER_ADDRESSES = {"dask": (), "ray": ("auto", "local")}
NUMBERS_DEPEND_ON = ("torch", "numpy", "pandas")  # packages


@dataclass(frozen=True)
class Cluster:
    """Where a run computes. Raises ExperimentError for what cannot be."""

    backend: str = "loky"  # processes of this machine; dask, ray
    address: str = ""  # of the cluster's scheduler (Dask) or head (Ray)
    storage: str = (
        "shared"  # workers see the run folder where this machine does; return: they are sent files, and send files
    )

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ExperimentError(f"there is no backend {self.backend!r}; choose from {', '.join(BACKENDS)}")
        if self.storage not in STORAGES:
            raise ExperimentError(f"storage is {self.storage!r}; choose from {', '.join(STORAGES)}")
        if self.backend == "loky":
            if self.address or self.storage != "shared":
                given = f"the address {self.address}" if self.address else "--storage return"
                raise ExperimentError(
                    f"loky works on this machine alone, and {given} is given; add --backend dask or ray"
                )
            return
        needed = "distributed" if self.backend == "dask" else "ray"
        if util.find_spec(needed) is None:
            raise ExperimentError(
                f"the backend {self.backend} needs the package {needed} on all machines: in each one's checkout, pip install "
                f'-e ".[{self.backend}]"'
            )
        if not self.address:
            example = "tcp://10.0.0.1:8786" if self.backend == "dask" else "10.0.0.1:6379"
            raise ExperimentError(
                f"the backend {self.backend} needs the cluster's address, such as --address {example}"
            )
        _refuse_malformed(self.backend, self.address)


def _refuse_malformed(backend: str, address: str) -> None:
    """Raises ExperimentError for what names no host and port. Clients of clusters would try it for a while all the same."""
    scheme, _, rest = address.rpartition("://")
    if address in OTHER_ADDRESSES[backend] or scheme == "inproc":
        return
    try:
        place = urlsplit(f"//{rest}")
        good = bool(place.hostname and place.port) and scheme in SCHEMES[backend]
    except ValueError:  # no number, or none of a port
        good = False
    if not good:
        title, forms = (
            backend.capitalize(),
            "tcp://HOST:PORT" if backend == "dask" else "HOST:PORT, ray://HOST:PORT or auto",
        )
        raise ExperimentError(f"{address!r} is no address of a {title} cluster; give {forms}")


@dataclass(frozen=True)
class Standard:
    """What every worker must have in common with the machine that a run is started on."""

    package: str
    digest: str  # of the package's source
    python: str
    versions: tuple[tuple[str, str], ...]
    host: str
    token: str = ""  # what stands in the file `marker`; blank: nothing is shared
    marker: Path | None = None
    data: Path | None = None
    data_digest: str = ""

    @classmethod
    def of_this_machine(cls) -> Standard:
        found = tuple((name, metadata.version(name).split("+")[0]) for name in NUMBERS_DEPEND_ON)
        python = ".".join(platform.python_version_tuple()[:2])
        return cls(__version__, _source_digest(), python, found, socket.gethostname())

    def sharing(self, marker: Path, data: Path) -> Standard:
        """The same, with a file of the run folder and a dataset that everybody must see; paths are absolute."""
        return replace(
            self, marker=marker, token=marker.read_text("utf-8"), data=data, data_digest=_digest_of(data)
        )  # fmt: skip


def defect_here(standard: Standard) -> str:
    """What keeps the machine that calls this from working to a standard, in words; blank if nothing does."""
    here = Standard.of_this_machine()
    both = [("Python", here.python, standard.python), ("llmrl", here.package, standard.package)]
    both += [(name, mine, other) for (name, mine), (_, other) in zip(here.versions, standard.versions, strict=True)]
    for name, mine, other in both:
        if mine != other:
            return f"it has {name} {mine}, and {other} is at work on {standard.host}; install the same on both"
    if here.digest != standard.digest:
        return f"its llmrl {here.package} is of other source than that on {standard.host}; install the same on both"
    if standard.marker is None or standard.data is None:
        return ""
    folder, remedy = standard.marker.parent, "name a place that all machines share, or say --storage return"
    try:
        token = standard.marker.read_text("utf-8")
    except OSError as error:
        return f"it does not see {folder} ({error.strerror or error}); {remedy}"
    if token != standard.token:
        return f"what it sees in {folder} is not what {standard.host} works on; {remedy}"
    if _digest_of(standard.data) != standard.data_digest:
        return f"it does not see the dataset in {standard.data} as {standard.host} does; {remedy}"
    trial = folder / f".{uuid.uuid4().hex}.trial"
    try:
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        return f"it cannot write to {folder} ({error.strerror or error}); {remedy}"
    return ""


@contextmanager
def joined(cluster: Cluster, standard: Standard) -> Iterator[ClusterBackend]:
    """A cluster whose workers all meet the standard, until the block ends. Not for loky, which needs none.

    Raises ExperimentError for an address that does not answer, a cluster without workers, and workers that cannot take
    part, by name.
    """
    from llmrl_lib.experiments import dask_backend, ray_backend

    join = dask_backend.dask_cluster if cluster.backend == "dask" else ray_backend.ray_cluster
    with join(cluster.address, SECONDS_TO_ANSWER, SECONDS_FOR_WORKERS) as backend:
        _refuse(backend.examined(standard), standard)
        yield backend


def _refuse(found: Sequence[tuple[str, str | BaseException]], standard: Standard) -> None:
    """Raises ExperimentError for the first worker that has a defect, and says how many others have one."""
    defects = [(worker, said) for worker, said in found if said]
    if not defects:
        return
    worker, said = defects[0]
    if isinstance(said, ImportError):
        said = f"it has no llmrl {standard.package} ({said}); install the same there as on {standard.host}"
    words = explain(said) if isinstance(said, BaseException) else said
    others = f" ({len(defects) - 1} more of the {len(found)} workers cannot either)" if len(defects) > 1 else ""
    raise ExperimentError(f"the worker {worker} cannot take part: {words}{others}")


@functools.cache
def _source_digest() -> str:
    from llmrl_lib.experiments.execution import library_digest

    return library_digest().hex()


def _digest_of(data: Path) -> str:
    """A digest of a dataset's description, which tells datasets apart at little cost; blank where there is none."""
    from llmrl_lib.market.description import FILE

    try:
        return hashlib.sha256((data / FILE).read_bytes()).hexdigest()
    except OSError:
        return ""


def name_of_this_worker() -> str:
    """Host and process, for messages."""
    return f"process {os.getpid()} on {socket.gethostname()}"
