"""What the joblib backends for clusters share: results as they come, and a lost task that spares the others.

A call is sent as it is, with a way to fetch the files that it needs, which each worker does once. A task whose worker died
is given to another one by the cluster. One that no worker survives ends in `Lost`, as a result like any other.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from joblib.parallel import ParallelBackendBase

from llmrl_lib.experiments.clusters import Standard


@dataclass(frozen=True)
class Lost:
    """The result of a call that no worker brought to its end."""

    number: int
    why: str


class _NotSent(Future[Any]):
    """A call that the cluster did not take, with the reason as its error."""


class ClusterBackend(ParallelBackendBase):
    """What joblib needs to know of a cluster. A submitted (call, (ticket,), {}) is made as `call(ticket, fetch)`.

    `ticket.number` and `ticket.title` tell it from others; `fetch` gives what stands in `parcels` under a digest of
    `ticket.needs`.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1
    supports_sharedmem = False
    uses_threads = False
    patience = 60.0  # seconds, with workers that are asked how they are

    def __init__(self) -> None:
        super().__init__(nesting_level=0)
        self.parcels: dict[str, Mapping[str, bytes]] = {}  # by digest, what tickets need
        self._laid_out: dict[str, Any] = {}
        self._running: dict[int, tuple[Any, int]] = {}  # by id, a future and its ticket's number
        self._lock = threading.Lock()
        self._callbacks = ThreadPoolExecutor(1)

    def workers(self) -> int:
        """How many calls the cluster can make at once now."""
        raise NotImplementedError

    def examined(self, standard: Standard) -> list[tuple[str, str | BaseException]]:
        """Each worker, and what keeps it from working to a standard."""
        raise NotImplementedError

    def _start(self, call: Callable[..., Any], ticket: Any) -> Any:
        raise NotImplementedError

    def _lay_out(self, digest: str) -> Any:
        """Makes a parcel ready for whichever worker fetches it."""
        raise NotImplementedError

    def _take_away(self, laid_out: Any) -> None:
        """Undoes `_lay_out`, given what that returned."""

    def _result(self, future: Any) -> Any:
        return future.result()

    def _why(self, error: BaseException) -> str:
        raise NotImplementedError

    def _cancel(self, futures: list[Any]) -> None:
        raise NotImplementedError

    def effective_n_jobs(self, n_jobs: int) -> int:  # noqa: ARG002 (joblib's word)
        """At least 2: joblib makes the calls itself where one worker is all there is.

        Also where the cluster is gone: then each call that is submitted says so.
        """
        try:
            return max(2, self.workers())
        except Exception:  # whatever a client says that has lost its cluster
            return 2

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> Any:
        ((call, (ticket,), _),) = func.items
        with self._lock:
            try:
                for digest in ticket.needs:
                    if digest not in self._laid_out:
                        self._laid_out[digest] = self._lay_out(digest)
                future = self._start(call, ticket)
            except Exception as error:  # joblib drops what is raised here, and would wait for ever
                future = _NotSent()
                future.set_exception(error)
            self._running[id(future)] = future, ticket.number
        if callback is not None:
            future.add_done_callback(lambda done: self._callbacks.submit(callback, done))
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        with self._lock:
            _, number = self._running.pop(id(out))
        try:
            return [out.result() if isinstance(out, _NotSent) else self._result(out)]
        except (Exception, CancelledError) as error:
            return [Lost(number, self._why(error))]

    def abort_everything(self, ensure_ready: bool = True) -> None:  # noqa: ARG002 (joblib's word)
        """Takes back what waits, and lets what is under way know that nobody waits for it."""
        with self._lock:
            futures, self._running = [future for future, _ in self._running.values()], {}
        if futures:
            self._cancel(futures)

    def forget_parcels(self) -> None:
        """Takes all parcels away; the calls that need them have ended."""
        with self._lock:
            for laid_out in self._laid_out.values():
                with contextlib.suppress(Exception):  # they go with a cluster that is gone
                    self._take_away(laid_out)
            self._laid_out.clear()
            self.parcels.clear()
