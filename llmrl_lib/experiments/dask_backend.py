"""A joblib backend for the workers of a Dask scheduler.

Dask gives a task up after as many deaths of workers as its scheduler's `allowed-failures` says, and one more: 4 by default.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import Any

from llmrl_lib.experiments.clusters import Standard, defect_here
from llmrl_lib.experiments.folders import ExperimentError
from llmrl_lib.experiments.joblib_backends import ClusterBackend
from llmrl_lib.experiments.work import is_wanted, scratch, unfit

SECONDS_TO_FETCH = 60.0  # files from the scheduler


@contextmanager
def dask_cluster(address: str, patience: float, wait: float) -> Iterator[ClusterBackend]:
    """The Dask cluster behind a scheduler's address. Raises ExperimentError where none answers, or no worker comes."""
    from distributed import Client

    # what goes wrong is said once, by whoever asked; a lost scheduler would fill the terminal
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except (OSError, ValueError):
        raise ExperimentError(
            f"no Dask scheduler answers at {address} within {patience:.0f} s; start one with: dask scheduler"
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
                raise ExperimentError(f"the worker {worker} cannot take part: {_too_many(threads, address)}")
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
        # one group of keys, so that the scheduler holds back what nobody is free for
        self._group = f"llmrl-{uuid.uuid4().hex[:8]}"

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

    def _start(self, call: Callable[..., Any], ticket: Any) -> Any:
        if self._client.status != "running":  # what it is given while it looks for a lost scheduler may never end
            raise ConnectionError(f"the scheduler at {self._address} is gone")
        key = (self._group, f"{ticket.title} {uuid.uuid4().hex[:8]}")
        return self._client.submit(_make_on_worker, call, ticket, self._group, key=key, pure=False)

    def _lay_out(self, digest: str) -> Any:
        # at the scheduler, for workers to fetch: an argument of tasks would draw them all to the worker that has it, and be
        # lost with that worker
        from distributed import Variable

        place = Variable(f"{self._group}-{digest}", client=self._client)
        place.set(dict(self.parcels[digest]))
        return place

    def _take_away(self, laid_out: Any) -> None:
        laid_out.delete()

    def _result(self, future: Any) -> Any:
        try:
            return future.result()
        finally:
            future.release()  # else it would be made again if the worker that still holds it died

    def _why(self, error: BaseException) -> str:
        from distributed import KilledWorker

        if self._client.status != "running" or isinstance(error, CancelledError):
            return f"the scheduler at {self._address} has let go of it; give the same command again when it answers"
        if isinstance(error, KilledWorker):
            deaths, last = error.allowed_failures + 1, getattr(error.last_worker, "address", "")
            many = f"{deaths} workers died at it, {last} the last" if deaths > 1 else f"the worker {last} died at it"
            return f"{many}; perhaps for want of memory"
        return f"its worker could not take or give it ({type(error).__name__}: {error})"

    def _cancel(self, futures: list[Any]) -> None:
        self._client.cancel(futures, force=True)


def _too_many(threads: int, address: str) -> str:
    return (
        f"it has {threads} threads, which would share one set of torch's settings; start it with: dask worker {address} "
        f"--nworkers {threads} --nthreads 1"
    )


def _make_on_worker(call: Callable[..., Any], ticket: Any, group: str) -> Any:
    """Makes a call in a worker; it can ask whether the scheduler has taken it back, and uses the worker's own folder."""
    from distributed import Variable, get_client, get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing"

    def fetch(digest: str) -> Mapping[str, bytes]:
        return Variable(f"{group}-{digest}", client=get_client()).get(timeout=SECONDS_TO_FETCH)

    threads = worker.state.nthreads
    before, elsewhere = is_wanted.set(wanted), scratch.set(worker.local_directory)
    fit = unfit.set(_too_many(threads, worker.scheduler.address) if threads != 1 else "")
    try:
        return call(ticket, fetch)
    finally:
        is_wanted.reset(before)
        scratch.reset(elsewhere)
        unfit.reset(fit)
