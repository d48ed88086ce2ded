"""A joblib backend for the workers of a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from llmrl_lib.experiments.clusters import Standard, defect_here
from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.experiments.joblib_backends import ClusterBackend

ATTEMPTS = 4  # that Ray makes of a task whose workers die: as many as Dask does if nobody says otherwise


@contextmanager
def ray_cluster(address: str, patience: float, wait: float) -> Iterator[ClusterBackend]:
    """The Ray cluster behind an address (HOST:PORT, ray://HOST:PORT, auto or local), as `dask_cluster`."""
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
    place = urlsplit(address if "//" in address else f"//{address}")  # Cluster has looked at its form
    try:
        socket.create_connection((place.hostname or "", place.port or 0), patience).close()
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
        self._remote = ray.remote(num_cpus=1, max_retries=ATTEMPTS - 1)(_make_on_worker)
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

    def _start(self, call: Callable[..., Any], ticket: Any) -> Any:
        parcels = [self._laid_out[digest] for digest in ticket.needs]
        reference = self._remote.remote(call, ticket, *parcels)
        future = reference.future()
        self._references[future] = reference
        return future

    def _lay_out(self, digest: str) -> Any:
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


def _make_on_worker(call: Callable[..., Any], ticket: Any, *parcels: Mapping[str, bytes]) -> Any:
    """Makes a call in a worker, where the parcels already are."""
    return call(ticket, dict(zip(ticket.needs, parcels, strict=True)).__getitem__)
