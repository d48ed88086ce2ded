"""A signal is heard while requests are in flight, wherever the operating system delivers it."""

import signal
import threading
import time

import pytest

from llmrl_lib.language.side_by_side import side_by_side

PATIENCE = 20  # seconds after which a request is answered anyhow


@pytest.mark.parametrize("stopped_early", [False, True])
def test_a_signal_that_wakes_no_wait_is_heard(stopped_early):
    """A handler runs in the main thread alone; a signal delivered to another thread does not wake the main one."""
    heard, second = threading.Event(), threading.Event()

    def ask(request):
        if request == "first" and stopped_early:
            second.wait(PATIENCE)
            return request
        second.set()
        time.sleep(0.5)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        heard.wait(PATIENCE)
        return request

    before = signal.signal(signal.SIGUSR1, lambda *_: heard.set())
    try:
        began = time.monotonic()
        answers = side_by_side(ask, ["first", "second"], 2)
        if stopped_early:
            assert next(answers) == (0, "first")
            answers.close()
        else:
            assert dict(answers) == {0: "first", 1: "second"}
        assert time.monotonic() - began < PATIENCE / 2
    finally:
        signal.signal(signal.SIGUSR1, before)
