"""Opening signed messages and deciding (SPEC.md sections 4 to 11).

The functions raise FormatError with the code of SPEC.md section 11; what they
return has passed every check.
"""

import hashlib
from dataclasses import dataclass
from typing import Optional

from . import limits
from .canonical import Envelope, compact, decode, encode64
from .errors import FormatError
from .keys import key_id, verify

_TYPE = "application/vnd.license-agent.%s.v1+json"
_SIZES = {"keyset": 128 << 10, "request": 64 << 10}
DEFAULT_TOLERANCE = 400 * limits.DAY
MAX_AGE = 5.0


def _envelope(data, kind):
    return Envelope(data, _TYPE % kind, _SIZES.get(kind, 16 << 10))


def parse_anchor(text):
    """Reads a trust anchor file (bytes or str); every failure is "anchor"."""
    if isinstance(text, str):
        text = text.encode("utf-8", "surrogatepass")
    try:
        if len(text) > 64 << 10:
            raise FormatError("too-large")
        value = decode(compact(text), limits.anchor_shape, newline=True)
        limits.anchor(value)
    except FormatError as e:
        raise FormatError("anchor", str(e)) from None
    return value


def _signed_by(key, env):
    name = key_id(key)
    return bool(name) and any(i == name and verify(key, env.message, s) for i, s in env.signatures)


def _reached(roots, env):
    # Each key counts once however often it signs or is listed.
    return sum(_signed_by(k, env) for k in {k["pub"]: k for k in roots["keys"]}.values()) >= roots["threshold"]


def open_keyset(anchor, data, previous=None):
    """Verifies a key set by the root keys of the anchor, of the set held before
    if there is one, and its own."""
    env = _envelope(data, "keyset")
    if not _reached(anchor["roots"], env) or previous and not _reached(previous["roots"], env):
        raise FormatError("threshold")
    ks = decode(env.payload, limits.KEYSET)
    limits.keyset(ks)
    if not _reached(ks["roots"], env):
        raise FormatError("threshold", "own roots")
    if ks["iss"] != anchor["iss"] or previous and previous["iss"] != ks["iss"]:
        raise FormatError("issuer")
    if previous and (ks["ver"] < previous["ver"] or ks["ver"] == previous["ver"] and ks != previous):
        raise FormatError("keyset-rollback")
    return ks


def _open(ks, data, kind, date):
    env = _envelope(data, kind)
    keys = [
        k for i, s in env.signatures for k in ks["keys"]
        if k["kid"] == i and k["use"] == kind and verify(k, env.message, s)
    ]
    if not keys:
        raise FormatError("signature")
    value = decode(env.payload, getattr(limits, kind.upper()))
    getattr(limits, kind)(value)
    problems = [_problem(ks, k, value[date]) for k in keys]
    if all(problems):
        raise FormatError(problems[0])
    if value["iss"] != ks["iss"]:
        raise FormatError("issuer")
    if ks["ver"] < value["ks"]:
        raise FormatError("keyset-too-old")
    return value


def _problem(ks, key, made):
    if key["kid"] in ks["revoked"]:
        return "key-revoked"
    if made < key["nbf"]:
        return "key-not-yet"
    return "key-revoked" if made < key["min"] else ""


def open_license(ks, data):
    """Verifies a license by an open key set. Whether its id is taken back
    (revlic) and what time it is are asked separately."""
    return _open(ks, data, "license", "iat")


def open_notice(ks, data):
    """Verifies a notice by an open key set."""
    return _open(ks, data, "notice", "st")


def open_proof(key, data):
    """Verifies a proof by the device key of a license."""
    env = _envelope(data, "proof")
    if not _signed_by(key, env):
        raise FormatError("signature")
    value = decode(env.payload, limits.PROOF)
    limits.proof(value)
    return value


def open_request(data):
    """Verifies a request by the key that it carries."""
    env = _envelope(data, "request")
    value = decode(env.payload, limits.REQUEST)
    limits.request(value)
    if not _signed_by(value["dk"], env):
        raise FormatError("signature")
    return value


def license_hash(data):
    """SHA-256 of a license envelope in hex, as a proof names it."""
    return hashlib.sha256(data).hexdigest()


def time_state(claims, t):
    """State and reason of a license at UTC second t."""
    if t < claims["nbf"]:
        return "not-valid", "not-yet-valid"
    if t >= claims["exp"]:
        return "not-valid", "entitlement-ended"
    if t >= claims["grc"]:
        return "not-valid", "grace-ended"
    return ("valid-stale" if t >= claims["ren"] else "valid"), ""


@dataclass
class Checked:
    """What a check of license, key set and proof has shown."""

    claims: dict
    keyset: dict
    proof: Optional[dict]
    time: int
    state: str
    reason: str
    runs: bool
    keyset_expired: bool


class Verifier:
    """Verifies answers for one anchor and remembers by hash what was verified,
    so that only the proof is verified anew. Not safe for concurrent use."""

    KEEP = 16

    def __init__(self, anchor):
        self.anchor = anchor
        self._keysets, self._licenses = {}, {}

    def _remember(self, cache, key, make):
        if key not in cache:
            value = make()
            while len(cache) >= self.KEEP:
                del cache[next(iter(cache))]
            cache[key] = value
        return cache[key]

    def _opened(self, product, now, license_env, keyset_env, issuer, tolerance, min_keyset):
        if not product or tolerance < 0 or now < 0:
            raise FormatError("options")
        if issuer and issuer != self.anchor["iss"]:
            raise FormatError("issuer")
        ks_hash = hashlib.sha256(keyset_env).digest()
        ks = self._remember(self._keysets, ks_hash, lambda: open_keyset(self.anchor, keyset_env))
        if ks["ver"] < min_keyset:
            raise FormatError("keyset-rollback")
        if now - (tolerance or DEFAULT_TOLERANCE) >= ks["exp"]:
            raise FormatError("keyset-expired")
        name = (ks_hash, license_hash(license_env))
        claims = self._remember(self._licenses, name, lambda: open_license(ks, license_env))
        if claims["prod"] != product:
            raise FormatError("product", "license")
        return claims, ks, name[1]

    def check(self, product, nonce, now, age, license_env, keyset_env, proof_env, issuer="", tolerance=0, min_keyset=0):
        """Steps 1, 2, 3 and 5 of SPEC.md section 8; age is in seconds."""
        if len(nonce) != 32:
            raise FormatError("options", "nonce")
        claims, ks, sha = self._opened(product, now, license_env, keyset_env, issuer, tolerance, min_keyset)
        p = open_proof(claims["dev"]["dk"], proof_env)
        if p["nonce"] != encode64(nonce):
            raise FormatError("nonce")
        if p["prod"] != product:
            raise FormatError("product", "proof")
        if p["sha"] != sha:
            raise FormatError("hash")
        if not 0 <= age <= MAX_AGE:
            raise FormatError("stale")
        return _decide(claims, ks, p, now)

    def files(self, product, now, license_env, keyset_env, issuer="", tolerance=0, min_keyset=0):
        """Steps 1, 2 and 5: without a proof."""
        claims, ks, _ = self._opened(product, now, license_env, keyset_env, issuer, tolerance, min_keyset)
        return _decide(claims, ks, None, now)


def _decide(claims, ks, proof, now):
    # Signed times can only move the clock forward.
    t = max(now, proof["time"] if proof else 0, claims["st"])
    state, reason = time_state(claims, t)
    if claims["lic"] in ks["revlic"]:
        state, reason = "not-valid", "license-revoked"
    runs = state != "not-valid" and (proof is None or proof["runs"])
    return Checked(claims, ks, proof, t, state, reason, runs, t >= ks["exp"])
