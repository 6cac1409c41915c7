"""Seats: a connection that stays open and ends with the process."""

import time

from .errors import AgentError

RESUME = 10.0  # seconds that an agent may take to be started anew
_AGAIN = ("busy", "agent-not-running", "agent-timeout", "agent-bad-answer")


class Seat:
    """One concurrent use of a product, from Checker.seat. It ends with close, with
    the end of a ``with`` block, or with this process, whatever way that ends; the
    program sends no heartbeat. ``verdict`` is what was verified when it was taken."""

    def __init__(self, checker, product, user, wait):
        self._checker, self._product, self._user, self._held = checker, product, user, None
        self.verdict = None
        end = time.monotonic() + wait
        self._take(lambda: max(end - time.monotonic(), 0), wait + checker.timeout, ("busy",))

    def _take(self, wait, patience, again):
        until, closes, first = time.monotonic() + patience, self._checker.closes(), True
        while True:
            try:
                self.verdict, self._held = self._checker.take_seat(self._product, self._user, wait())
                return
            except AgentError as e:
                # An agent that is started anew sends those who wait away, and then nobody
                # listens for a moment. Who finds nobody at first need not wait.
                restarts = e.code == "agent-bad-answer" or not first and e.code == "agent-not-running"
                more = e.code in again and time.monotonic() < until or restarts and wait() > 0
                if more:
                    time.sleep(0.05)
                if not more or self._checker.closes() != closes:
                    raise
            first = False

    def held(self):
        """Says whether the seat is still held. Does not wait, but when the agent was
        started anew: then the same seat is taken up again, for up to ten seconds.
        When it is lost, raises AgentError with the reason, and says False from then."""
        if self._held is None:
            return False
        if not self._held.ended():
            return True
        self.close()
        self._take(lambda: 0, RESUME, _AGAIN)
        return True

    def close(self):
        """Gives the seat back."""
        if self._held is not None:
            self._checker.drop_seat(self._held)
        self._held = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
