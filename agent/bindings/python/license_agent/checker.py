"""Asking the agent and verifying its answer."""

import os
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Dict, List

from . import probe
from .canonical import decode64, encode64, loads
from .errors import AgentError, FormatError, failure, words
from .fingerprint import compare
from .license import Verifier, license_hash, open_notice, parse_anchor
from .seat import Seat
from .transport import Transport

REASON_AGENT = "agent-says-no"
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Verdict:
    """What was verified. Everything in it ends in the vendor's root keys, but
    ``message``, ``next_step`` and ``flags``, which are the agent's words; where the
    agent says yes and the own time rule no, and from files, the first two are the
    words of this package."""

    runs: bool
    phase: str  # active, expiring, grace, suspended, …; by the own time rule and from files: valid, valid-stale, not-valid
    reason: str  # a stable code when runs is false
    license: str
    edition: str
    seats: int
    features: List[str]
    limits: Dict[str, int]
    expires: datetime  # end of the entitlement
    renew_by: datetime
    grace_until: datetime
    device: dict = field(repr=False)  # see fingerprint.compare
    message: str = ""
    next_step: str = ""
    flags: List[str] = field(default_factory=list)
    keyset: int = 0  # version of the vendor's key set; see min_keyset

    def has(self, feature):
        """Says whether the license grants a feature."""
        return feature in self.features


def _clock():
    if hasattr(time, "CLOCK_BOOTTIME"):  # goes on while the machine sleeps
        return int(time.time()), time.clock_gettime(time.CLOCK_BOOTTIME)
    return int(time.time()), time.monotonic()


class Checker:
    """Asks whether a product may run and verifies the answer by itself.

    ``anchor`` is the vendor's trust anchor file (bytes or str), built into the
    program. Everything else has a default: ``socket`` (path) or ``instance``
    (name) say which agent; ``owners`` are further user ids that it may run as;
    ``timeout`` bounds each call in seconds (that of a seat beside its ``wait``); ``language`` is "en" or "zh-CN";
    ``min_keyset`` is the highest ``Verdict.keyset`` that the program remembers from
    earlier runs (a checker remembers what it has verified), ``tolerance`` how many
    seconds past its expiry a key set is still accepted (0: 400 days); ``observe`` reads the machine, at most every ``reread``
    seconds; ``clock`` returns (UTC seconds, monotonic seconds).

    Safe for concurrent use.
    """

    def __init__(self, anchor, *, socket="", instance="", owners=(), timeout=5.0, language="en",
                 min_keyset=0, tolerance=0, observe=probe.observe, reread=3600.0, clock=_clock):
        try:
            self.anchor = parse_anchor(anchor)
        except FormatError as e:
            raise failure("anchor", language, "anchor", str(e)) from None
        self._transport = Transport(socket, instance, owners, language)
        self._timeout, self._observe, self._reread, self._clock = timeout, observe, reread, clock
        self._options = {"min_keyset": min_keyset, "tolerance": tolerance}
        self._verifier, self._lock = Verifier(self.anchor), threading.Lock()
        self._device, self._read_at, self._compared, self._result = None, 0.0, "", None
        self._ended = threading.Event()

    def close(self):
        """Ends all connections, and with them a watch and every seat. It cannot be
        used any more: a call raises AgentError, a seat says that it is not held."""
        self._ended.set()
        self._transport.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def check(self, product):
        """Asks for a fresh proof and verifies the whole chain, failing closed:
        key set, license, proof over a nonce just drawn, this machine's
        fingerprint, time. A genuine "no" is a Verdict with runs False;
        everything else raises AgentError, and nothing is licensed then."""
        return self._check(product, time.monotonic() + self._timeout)

    def _check(self, product, deadline):
        # Both questions have one deadline.
        verdict, missing = self._ask(product, False, deadline)
        if _other_machine(verdict.device, missing):
            # By readings that may be old, the agent's older than this program's:
            # both read again before that is believed.
            with self._lock:
                self._device = None
            verdict, missing = self._ask(product, True, deadline)
        if _other_machine(verdict.device, missing):
            raise self._wrong_device(verdict.device)
        return verdict

    def _ask(self, product, reread, deadline):
        # One question: (verdict, what the agent misses on its machine).
        nonce = os.urandom(32)
        _, asked = self._clock()
        ask = {"product": product, "issuer": self.anchor["iss"], "nonce": encode64(nonce)}
        if reread:
            ask["reread"] = True
        answer = self._transport.call("POST", "/v1/check", ask, deadline)
        now, arrived = self._clock()
        parts = [_member(answer, k) for k in ("license", "keyset", "proof")]
        parts = [decode64(p) if isinstance(p, str) else None for p in parts]
        if None in parts:
            raise self._transport.fail("agent-bad-answer", "an envelope is not base64")
        try:
            with self._lock:
                checked = self._verifier.check(product, nonce, now, arrived - asked, *parts, **self._options)
                device = self._compare(checked, license_hash(parts[0]), arrived)
        except FormatError as e:
            raise self._transport.fail("agent-untrusted", e, e.code) from None
        said = answer.get("verdict") if isinstance(answer.get("verdict"), dict) else {}
        flags = said.get("flags")
        flags = [f for f in flags if isinstance(f, str)] if isinstance(flags, list) else []
        reason = checked.reason or ("" if checked.runs else REASON_AGENT)
        phase, message, step = checked.proof["phase"], _text(said.get("message")), _text(said.get("next_step"))
        if checked.proof["runs"] and not checked.runs:
            phase, (message, step) = checked.state, self._no(reason)
        return self._verdict(checked, device, checked.runs, phase, reason, message, step, flags), checked.proof["missing"]

    def check_files(self, product, file):
        """Verifies a file of the agent's public folder (bytes or str) without
        asking anybody. Weaker than check: it shows that the vendor issued the
        license for this machine, not that the agent here holds the device key."""
        now, mono = self._clock()
        try:
            files = _read_files(file)
            with self._lock:
                checked = self._verifier.files(product, now, files["license"], files["keyset"], **self._options)
                device = self._compare(checked, license_hash(files["license"]), mono)
            if device["outcome"] == "different":  # no agent here says what it misses
                raise self._wrong_device(device)
            runs, phase, reason = checked.runs, checked.state, checked.reason
            said = ("", "") if runs else self._no(reason)
            if files["notice"]:
                n = open_notice(checked.keyset, files["notice"])
                about = n["lic"] == checked.claims["lic"] and n["seq"] >= checked.claims["seq"]
                if about and n["state"] in ("suspended", "revoked", "released"):
                    runs, phase, reason = False, n["state"], n["reason"]
                    said = self._no(phase)  # the reason is the vendor's own word
        except FormatError as e:
            raise self._transport.fail("agent-untrusted", e, e.code) from None
        return self._verdict(checked, device, runs, phase, reason, *said)

    def seat(self, product, user="", wait=0.0):
        """Takes one of the concurrent uses that the license allows on this machine,
        then checks as check does, so that a held seat stands on a verified verdict
        that runs. ``user`` counts a named user instead of this process; ``wait`` is
        how many seconds to stand in the queue. Codes beside those of check:
        ``seats-taken``, ``not-licensed``, ``busy``."""
        return Seat(self, product, user, wait)

    def take_seat(self, product, user, wait, until):
        """One attempt: (verdict, connection). For Seat. It and its check have their
        usual time each, but end by until."""
        ask = {"product": product, "issuer": self.anchor["iss"]}
        if user:
            ask["user"] = user
        if wait > 0:
            ask["wait_ms"] = int(wait * 1000)
        answer, held = self._transport.call("POST", "/v1/seats", ask, min(until, time.monotonic() + wait + self._timeout), own=True)
        try:
            seat, count = answer.get("seat"), answer.get("count")
            total = count.get("total") if isinstance(count, dict) else None
            if not isinstance(seat, dict) or not seat.get("id") or type(total) is not int:
                raise self._transport.fail("agent-bad-answer", "not the answer to a request for a seat")
            verdict = self._check(product, min(until, time.monotonic() + self._timeout))
            if not verdict.runs:
                raise self._transport.fail("not-licensed", verdict.reason, verdict.reason)
            if total > verdict.seats:
                detail = "the agent counts %d seats, the license has %d" % (total, verdict.seats)
                raise self._transport.fail("agent-untrusted", detail, "seats")
        except BaseException:
            self._transport.drop(held)
            raise
        return verdict, held

    def drop_seat(self, held):
        """Ends the connection of a seat."""
        self._transport.drop(held)

    @property
    def closed(self):
        """Whether close was called."""
        return self._ended.is_set()

    @property
    def timeout(self):
        """Seconds that bound each call."""
        return self._timeout

    def watch(self, wait=30.0, pause=None):
        """Yields at the start and whenever something about the instance's
        licenses changed: check again then. The value is the agent's answer
        {"serial", "events"}, which proves nothing. An agent that is not running
        is waited for; close() from another thread ends it."""
        since, first, delay = 0, True, 1.0
        while not self.closed:
            ask = 0 if first else wait
            try:
                answer = self._transport.call("GET", "/v1/events?since=%d&wait=%gs" % (since, ask), None, time.monotonic() + ask + self._timeout)
                serial = answer.get("serial")
                if type(serial) is not int or serial < 0:
                    raise self._transport.fail("agent-bad-answer", "no serial")
            except AgentError:
                if self.closed:
                    return
                # The serial begins anew with the next agent.
                since, first = 0, True
                (pause or self._ended.wait)(delay)
                delay = min(2 * delay, 30.0)
                continue
            delay = 1.0
            if first or answer.get("missed") or serial != since:
                yield answer
            since, first = serial, False

    def _compare(self, checked, sha, mono):
        # Called with the lock held, when key set and license are verified; once per
        # license and reading.
        claims = checked.claims
        self._options["min_keyset"] = max(self._options["min_keyset"], checked.keyset["ver"])
        if self._device is None or mono - self._read_at >= self._reread:
            self._device, self._read_at, self._compared = self._observe(), mono, ""
        if self._compared != sha:
            dev = claims["dev"]
            self._result = compare(dev["pol"], dev["env"], decode64(dev["salt"]), dev["fp"], self._device)
            self._compared = sha
        return self._result

    def _wrong_device(self, device):
        return self._transport.fail("agent-wrong-device", ", ".join("%s %s" % p for p in device["results"].items()))

    def _no(self, reason):
        # The sentence and the next step of a "no" of which no agent has said why.
        return words("not-licensed", self._transport.language, reason)

    def _verdict(self, checked, device, runs, phase, reason, message, step, flags=()):
        c = checked.claims
        return Verdict(
            runs, phase, reason, c["lic"], c["ed"], c["seats"], list(c["feat"]), {m["name"]: m["value"] for m in c["lim"]},
            *(_EPOCH + timedelta(seconds=c[t]) for t in ("exp", "ren", "grc")), device=device, keyset=checked.keyset["ver"],
            message=message, next_step=step, flags=list(flags))


def _other_machine(device, missing):
    # At least the policy's minimum of what this process can read must match; what it
    # cannot read is no evidence. The exception is a machine with replaced parts, for
    # which the agent decides or waits: it names in its proof what is missing on its
    # own machine, and one that runs elsewhere does not miss what is lost here.
    short = device["strong_changed"] and device["matched"] < device["need"]
    lost = [kind for kind, result in device["results"].items() if result in ("changed", "absent", "placeholder")]
    return (device["outcome"] == "different" or short) and (not device["strong_match"] or not set(lost) <= set(missing))


def _member(value, name):
    # Null is as good as missing.
    return "" if value.get(name) is None else value[name]


def _text(value):
    return value if isinstance(value, str) else ""


def _read_files(file):
    try:
        value = loads(file)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise FormatError("envelope", "not a file of the agent's public folder")
    parts = {k: _member(value, k) for k in ("license", "keyset", "notice")}
    if not all(isinstance(p, str) for p in parts.values()) or not parts["license"] or not parts["keyset"]:
        raise FormatError("envelope", "not a file of the agent's public folder")
    return {k: p.encode("utf-8", "surrogatepass") for k, p in parts.items()}
