"""Seats: a connection that stays open and ends with the process."""

import os
import threading
import time

from .errors import AgentError

RESUME = 10.0  # seconds that an agent may take to be started anew
_PAUSE = 0.05  # between two attempts
_AGAIN = ("busy", "agent-not-running", "agent-timeout", "agent-bad-answer")


class Seat:
    """One concurrent use of a product, from Checker.seat. It ends with close, with
    the end of a ``with`` block, with its checker's close, or with this process,
    whatever way that ends; the program sends no heartbeat. ``verdict`` is what was
    verified when it was taken."""

    def __init__(self, checker, product, user, wait):
        self._checker, self._product, self._user = checker, product, user
        self._held, self._closed, self._pid = None, False, os.getpid()
        self._lock = threading.Lock()  # of _held and _closed; not held while the agent is asked
        self._asking = threading.Lock()  # one thread takes the seat up again
        self.verdict = None
        self._take(wait, wait + checker.timeout, ("busy",))

    def _over(self):
        return self._closed or self._checker.closed

    def _take(self, wait, patience, again):
        # All of it, each attempt with its check, ends within patience.
        began, first = time.monotonic(), True
        while True:
            left = max(began + wait - time.monotonic(), 0)
            try:
                verdict, held = self._checker.take_seat(self._product, self._user, left, began + patience)
                break
            except AgentError as e:
                # An agent that is started anew sends those who wait away, and then nobody
                # listens for a moment. Who finds nobody at first need not wait.
                restarts = e.code == "agent-bad-answer" or not first and e.code == "agent-not-running"
                passed = time.monotonic() - began
                more = e.code in again and passed + _PAUSE < patience or restarts and passed < wait
                if more and not self._over():
                    time.sleep(_PAUSE)
                if not more or self._over():
                    raise
            first = False
        with self._lock:
            if not self._closed:
                self.verdict, self._held = verdict, held
                return
        self._checker.drop_seat(held)  # closed while it was taken

    def held(self):
        """Says whether the seat is still held. Does not wait, but when the agent was
        started anew: then the same seat is taken up again, for up to ten seconds.
        When it is lost, raises AgentError with the reason, and says False from then;
        also after close, after that of the checker, and in a fork of the process
        that took it."""
        if self._pid != os.getpid():
            return False
        with self._asking:
            held = self._held
            if held is None or not held.ended():
                return held is not None and not self._over()
            self._let_go()
            if self._over():
                return False
            try:
                self._take(0, RESUME, _AGAIN)
            except AgentError:
                if self._over():
                    return False
                raise
            return self._held is not None

    def close(self):
        """Gives the seat back."""
        self._closed = True
        self._let_go()

    def _let_go(self):
        if self._pid != os.getpid():
            return  # the seat is the other process's, which another thread of it may be locking
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            self._checker.drop_seat(held)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
