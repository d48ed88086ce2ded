"""joblib backends for the workers of a Dask or Ray cluster: results as they come, and a lost task that spares the others.

A call is sent as it is, with the files that it needs (`needs`, by digest) sent to each worker once. A task whose worker
died is given to another one by the cluster. One that no worker survives ends in `Lost`, as a result like any other.

Dask gives up after as many deaths as its scheduler's `allowed-failures` says and one more (4 by default), Ray after 4.
"""

from __future__ import annotations

import socket
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joblib.parallel import ParallelBackendBase

from llmrl_lib.experiments.clusters import Standard, defect_here
from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.experiments.work import is_wanted, scratch

ATTEMPTS = 4  # that Ray makes of a task whose workers die: as many as Dask does if nobody says otherwise


@dataclass(frozen=True)
class Lost:
    """The result of a call that no worker brought to its end."""

    number: int
    why: str


class ClusterBackend(ParallelBackendBase):
    """What joblib needs to know of a cluster; `call` of a submitted (call, (ticket,), {}) gets the ticket and its needs."""

    supports_retrieve_callback = True
    default_n_jobs = -1
    supports_sharedmem = False
    uses_threads = False
    patience = 60.0  # seconds, with workers that are asked how they are

    def __init__(self) -> None:
        super().__init__(nesting_level=0)
        self.parcels: dict[str, Mapping[str, bytes]] = {}  # by digest, what tickets need
        self._sent: dict[str, Any] = {}
        self._running: dict[int, tuple[Any, int]] = {}  # by id, a future and its ticket's number
        self._lock = threading.Lock()
        self._callbacks = ThreadPoolExecutor(1)

    def workers(self) -> int:
        """How many calls the cluster can make at once now."""
        raise NotImplementedError

    def examined(self, standard: Standard) -> list[tuple[str, str | BaseException]]:
        """Each worker, and what keeps it from working to a standard."""
        raise NotImplementedError

    def _start(self, call: Callable[..., Any], ticket: Any, parcels: list[Any]) -> Any:
        raise NotImplementedError

    def _send(self, digest: str) -> Any:
        """Lays a parcel out for whichever worker wants it, once."""
        raise NotImplementedError

    def _result(self, future: Any) -> Any:
        return future.result()

    def _why(self, error: BaseException) -> str:
        raise NotImplementedError

    def _cancel(self, futures: list[Any]) -> None:
        raise NotImplementedError

    def effective_n_jobs(self, n_jobs: int) -> int:  # noqa: ARG002 (joblib's word)
        """At least 2: joblib makes the calls itself where one worker is all there is."""
        return max(2, self.workers())

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        ((call, (ticket,), _),) = func.items
        with self._lock:
            for digest in ticket.needs:
                if digest not in self._sent:
                    self._sent[digest] = self._send(digest)
            future = self._start(call, ticket, [self._sent[digest] for digest in ticket.needs])
            self._running[id(future)] = future, ticket.number
        if callback is not None:
            future.add_done_callback(lambda done: self._callbacks.submit(callback, done))
        return future

    def retrieve_result_callback(self, out: Any) -> list[Any]:
        with self._lock:
            _, number = self._running.pop(id(out))
        try:
            return [self._result(out)]
        except (Exception, CancelledError) as error:
            return [Lost(number, self._why(error))]

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 (joblib's word)
        """Takes back what waits, and lets what is under way know that nobody waits for it."""
        with self._lock:
            futures, self._running = [future for future, _ in self._running.values()], {}
        if futures:
            self._cancel(futures)

    def forget_parcels(self) -> None:
        """Lets workers throw away what was sent; what comes later is sent anew."""
        with self._lock:
            self._sent.clear()
            self.parcels.clear()


def _unchanged(parcel: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return parcel


@contextmanager
def dask_cluster(address: str, patience: float, wait: float) -> Iterator[ClusterBackend]:
    """The Dask cluster behind a scheduler's address. Raises ExperimentError where none answers, or no worker comes."""
    from distributed import Client

    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ExperimentError(
            f"no Dask scheduler answers at {address} within {patience:.0f} s ({type(error).__name__}); start one with: dask "
            "scheduler"
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=wait)
        except TimeoutError:
            raise ExperimentError(
                f"the scheduler at {address} has had no worker for {wait:.0f} s; start some with: dask worker {address} "
                "--nworkers -1 --nthreads 1"
            ) from None
        for worker, threads in client.nthreads().items():
            if threads != 1:
                raise ExperimentError(
                    f"the worker {worker} has {threads} threads, which would share one set of torch's settings; start it "
                    f"with: dask worker {address} --nworkers {threads} --nthreads 1"
                )
        backend = DaskBackend(client, address)
        backend.patience = wait
        yield backend
    finally:
        client.close(timeout=patience)


class DaskBackend(ClusterBackend):
    """Calls as tasks of a Dask scheduler."""

    def __init__(self, client: Any, address: str) -> None:
        super().__init__()
        self._client, self._address = client, address
        self._group = (
            f"llmrl-{uuid.uuid4().hex[:8]}"  # one group, so that the scheduler holds back what nobody is free for
        )

    def workers(self) -> int:
        return len(self._client.nthreads())

    def examined(self, standard: Standard) -> list[tuple[str, str | BaseException]]:
        asked = self._callbacks.submit(self._client.run, defect_here, standard, on_error="return")
        try:
            return list(asked.result(self.patience).items())
        except FutureTimeoutError:
            raise ExperimentError(
                f"some workers of {self._address} have not answered for {self.patience:.0f} s; stop those that hang"
            ) from None

    def _start(self, call: Callable[..., Any], ticket: Any, parcels: list[Any]) -> Any:
        key = (self._group, f"{ticket.title} {uuid.uuid4().hex[:8]}")
        return self._client.submit(_wanted_by_dask, call, ticket, *parcels, key=key, pure=False)

    def _send(self, digest: str) -> Any:
        # a task, and no scattered data: the scheduler can make it anew when the only worker that holds it dies
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph")
            key = (f"{self._group}-files", digest)
            return self._client.submit(_unchanged, self.parcels[digest], key=key, pure=False)

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        finally:
            future.release()  # else it would be made again if the worker that still holds it died

    def _why(self, error: BaseException) -> str:
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            deaths, last = error.allowed_failures + 1, getattr(error.last_worker, "address", "")
            many = f"{deaths} workers died at it, {last} the last" if deaths > 1 else f"the worker {last} died at it"
            return f"{many}; perhaps for want of memory"
        if isinstance(error, CancelledError):
            return f"the scheduler at {self._address} has let go of it; give the same command again when it answers"
        return f"its worker could not take or give it ({type(error).__name__}: {error})"

    def _cancel(self, futures: list[Any]) -> None:
        self._client.cancel(futures, force=True)


def _wanted_by_dask(call: Callable[..., Any], ticket: Any, *parcels: Mapping[str, bytes]) -> Any:
    """Makes a call in a worker; it can ask whether the scheduler has taken it back, and uses the worker's own folder."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    before, elsewhere = is_wanted.set(wanted), scratch.set(worker.local_directory)
    try:
        return call(ticket, *parcels)
    finally:
        is_wanted.reset(before)
        scratch.reset(elsewhere)


@contextmanager
def ray_cluster(address: str, patience: float, wait: float) -> Iterator[ClusterBackend]:
    """The Ray cluster behind an address (HOST:PORT, ray://HOST:PORT, auto or local), as `dask_cluster`."""
    import logging
    import os

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    _refuse_silent(address, patience)
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ExperimentError(f"no Ray cluster answers at {address} ({' '.join(str(error).split())[:200]})") from None
    try:
        backend = RayBackend(address)
        if not backend.workers():
            raise ExperimentError(
                f"the Ray cluster at {address} has no processor to work with; start nodes with: ray start"
            )
        backend.patience = wait
        yield backend
    finally:
        ray.shutdown()


def _refuse_silent(address: str, patience: float) -> None:
    """Raises ExperimentError where nothing listens at an address that names host and port; Ray itself would wait long."""
    if address in ("auto", "local"):
        return
    try:
        place = urlsplit(address if "//" in address else f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise ExperimentError(f"{address!r} is no address of a Ray cluster; give HOST:PORT, ray://HOST:PORT or auto")
    try:
        socket.create_connection((host, port), patience).close()
    except OSError as error:
        raise ExperimentError(
            f"no Ray cluster answers at {address} within {patience:.0f} s ({error.strerror or error}); start one with: ray "
            "start --head"
        ) from None


class RayBackend(ClusterBackend):
    """Calls as tasks of Ray, one per processor."""

    def __init__(self, address: str) -> None:
        import ray

        super().__init__()
        self._ray, self._address = ray, address
        self._remote: dict[Any, Any] = {}
        self._references: dict[Any, Any] = {}  # by future

    def workers(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def examined(self, standard: Standard) -> list[tuple[str, str | BaseException]]:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = {}
        for node in self._ray.nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                probe = self._ray.remote(num_cpus=0, scheduling_strategy=there, max_retries=0)(defect_here)
                asked[f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"] = probe.remote(standard)
        found: list[tuple[str, str | BaseException]] = []
        for name, reference in asked.items():
            try:
                found.append((name, self._ray.get(reference, timeout=self.patience)))
            except Exception as error:  # whatever a worker cannot do is said of that worker
                found.append((name, getattr(error, "cause", None) or error))
        return found

    def _start(self, call: Callable[..., Any], ticket: Any, parcels: list[Any]) -> Any:
        if call not in self._remote:
            self._remote[call] = self._ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(call)
        reference = self._remote[call].remote(ticket, *parcels)
        future = reference.future()
        self._references[future] = reference
        return future

    def _send(self, digest: str) -> Any:
        return self._ray.put(self.parcels[digest])

    def _result(self, future: Any) -> Any:
        self._references.pop(future, None)
        return future.result()

    def _why(self, error: BaseException) -> str:
        if isinstance(error, self._ray.exceptions.WorkerCrashedError | self._ray.exceptions.OutOfMemoryError):
            return f"{ATTEMPTS} workers died at it; perhaps for want of memory"
        return f"its worker could not take or give it ({type(error).__name__}: {' '.join(str(error).split())[:200]})"

    def _cancel(self, futures: list[Any]) -> None:
        for future in futures:
            if (reference := self._references.pop(future, None)) is not None:
                self._ray.cancel(reference)
