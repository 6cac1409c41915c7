"""Errors with a stable code, a sentence for people and the next step."""

import json
import os

_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "messages.json")
with open(_FILE, encoding="utf-8") as _f:
    _MESSAGES = json.load(_f)


class AgentError(Exception):
    """Nothing is licensed as far as the program can tell.

    ``code`` is stable and may be switched on: ``agent-not-running``,
    ``agent-timeout``, ``agent-wrong-owner``, ``agent-no-access``,
    ``agent-bad-answer``, ``agent-untrusted``, ``agent-wrong-device``, ``not-licensed`` (a seat of a
    license that does not run), ``config-invalid``, ``anchor``, or a code that the agent sent, such as ``not-activated``. ``cause`` is the
    word of the format specification behind ``agent-untrusted`` (``nonce``,
    ``signature``, …), or the merchant's code. ``message`` and ``hint`` are for
    people; ``detail`` is for a log.
    """

    def __init__(self, code, cause="", message="", hint="", detail=""):
        self.code, self.cause, self.message, self.hint, self.detail = code, cause, message, hint, detail
        text = code + (" (%s)" % cause if cause else "") + (": " + message if message else "")
        super().__init__(text + (" [%s]" % detail if detail else ""))


def words(code, language="en", cause=""):
    """The sentence and the next step of a code, (str, str)."""
    said = _MESSAGES.get("%s/%s" % (code, cause)) or _MESSAGES[code]
    said = said.get(language, said["en"])
    return said["message"], said["hint"]


def failure(code, language="en", cause="", detail=""):
    """An error that arises in the program, with the sentences of its code."""
    return AgentError(code, cause, *words(code, language, cause), detail)


class FormatError(Exception):
    """A message, key or file that the format does not allow. ``code`` is the
    word of SPEC.md section 11. It never quotes the message: a request holds an
    authorization code."""

    def __init__(self, code, detail=""):
        self.code, self.detail = code, detail
        super().__init__(code + (": " + detail if detail else ""))
