"""Requests to a chat that answers one at a time, several in flight at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from llmrl_lib.language.chat import ChatError, Reply, Request

GLANCE = 0.2  # seconds; a signal that comes just before a wait begins is heard only when the wait ends


def side_by_side(
    ask: Callable[[Request], Reply], requests: Iterable[Request], concurrency: int
) -> Iterator[tuple[int, Reply | ChatError]]:
    """Yields (index, answer) as each is finished, with up to `concurrency` requests in flight.

    A ChatError of one request is yielded. A fatal one, or any other exception, is raised once the requests in flight are
    answered and yielded; nothing new is asked meanwhile. A caller that stops early waits for those in flight.
    """
    source = enumerate(requests)
    in_flight: dict[Future[Reply], int] = {}
    end: BaseException | None = None
    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="chat")
    try:
        while True:
            while end is None and len(in_flight) < concurrency and (following := next(source, None)) is not None:
                in_flight[pool.submit(ask, following[1])] = following[0]
            if not in_flight:
                break
            for future in sorted(wait(in_flight, GLANCE, FIRST_COMPLETED).done, key=in_flight.__getitem__):
                index, error = in_flight.pop(future), future.exception()
                if error is None:
                    yield index, future.result()
                elif isinstance(error, ChatError) and not error.fatal:
                    yield index, error
                else:
                    end = end or error
        if end is not None:
            raise end
    finally:
        while wait(in_flight, GLANCE).not_done:
            pass
        pool.shutdown(wait=True)
