"""Ask the license agent of this machine, and verify the answer.

    from license_agent import Checker
    verdict = Checker(ANCHOR).check("studio")

A program compiles in its vendor's trust anchor and trusts nothing else: not
the agent, not the files, not the socket.
"""

from .checker import REASON_AGENT, Checker, Verdict
from .errors import AgentError
from .seat import Seat

__all__ = ["AgentError", "Checker", "REASON_AGENT", "Seat", "Verdict"]
__version__ = "1.0.0"
