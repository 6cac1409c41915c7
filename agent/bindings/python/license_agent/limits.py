"""Members of each message and the limits of their values (SPEC.md 3.2 to 9)."""

import re

from .canonical import MAX_INT, decode64
from .errors import FormatError
from .keys import ED25519, P256, device_id, key_id, usable

NO_END = 253402300799
DAY = 86400
KINDS = ("mac", "disk", "board", "cpu")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TOKEN = re.compile(r"[A-Za-z0-9+/=._:-]{1,128}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_KEYID = re.compile(r"sha256:[0-9a-f]{32}")
_DAY = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")

_KEY = {"alg": str, "pub": str}
_ROOTS = {"threshold": int, "keys": [_KEY]}
_PROFILE = {"req": [str], "w": {"board": int, "disk": int, "mac": int, "cpu": int}, "min": int, "floor": int}
_CHAIN = {"seq": int, "head": str, "ks": int, "rn": str, "st": int}
KEYSET = {
    "v": int, "iss": str, "ver": int, "nbf": int, "exp": int, "roots": _ROOTS,
    "keys": [{"kid": str, "use": str, "alg": str, "pub": str, "nbf": int, "min": int}],
    "revoked": [str], "revlic": [str],
}
LICENSE = {
    "v": int, "iss": str, "lic": str, "prod": str, "ed": str, "seats": int, "feat": [str],
    "lim": [{"name": str, "value": int}],
    "dev": {
        "id": str, "env": str, "fpv": int, "salt": str, "fp": [{"kind": str, "h": [str]}],
        "pol": {"name": str, "phys": _PROFILE, "virt": _PROFILE}, "dk": _KEY,
    },
    "iat": int, "nbf": int, "exp": int, "ren": int, "grc": int, **_CHAIN,
}
NOTICE = {"v": int, "iss": str, "lic": str, "prod": str, "dev": str, "state": str, "reason": str, **_CHAIN}
PROOF = {"v": int, "nonce": str, "prod": str, "sha": str, "phase": str, "runs": bool, "missing": [str], "time": int, "boot": str}
REQUEST = {
    "v": int, "kind": str, "iss": str, "prod": str, "code": str, "lic": str, "dev": str, "dk": _KEY, "seq": int,
    "head": str, "n": str, "fp": str, "env": str, "parts": [{"kind": str, "state": str, "alt": [str]}],
    "days": [str], "peak": int, "ks": int, "time": int, "off": bool, "agent": str,
}
PHASES = {
    "active": True, "expiring": True, "grace": True,
    "suspended": False, "expired": False, "revoked": False, "wrong-device": False, "clock-suspect": False,
}


def anchor_shape(value):
    """The members of an anchor file; absent ones are left out, not empty."""
    shape = {"v": int, "iss": str, "roots": _ROOTS}
    for name in ("merchant", "tls_roots"):
        if isinstance(value, dict) and value.get(name):
            shape[name] = str
    return shape


def _that(ok, field):
    if not ok:
        raise FormatError("limits", field)


def _name(s, field):
    _that(_NAME.fullmatch(s), field)


def _id(s, field):
    _that(_ID.fullmatch(s), field)


def _token(s, field):
    _that(_TOKEN.fullmatch(s), field)


def _number(n, least, most, field):
    _that(least <= n <= most, field)


def _time(t, field):
    _number(t, 0, NO_END, field)


def _b64(s, size, field):
    data = decode64(s)
    _that(data is not None and len(data) == size, field)


def _text(s, least, most, field):
    _that(least <= len(s) <= most and all(" " <= c <= "~" for c in s), field)


def _ascending(values, most, field):
    _that(len(values) <= most and all(a < b for a, b in zip(values, values[1:])), field)


def _key(key, field, algorithms):
    _that(key["alg"] in algorithms and usable(key), field)


def _chain(p):
    _number(p["seq"], 1, MAX_INT, "seq")
    _token(p["head"], "head")
    _number(p["ks"], 1, MAX_INT, "ks")
    _b64(p["rn"], 32, "rn")
    _time(p["st"], "st")


def roots(r, field="roots"):
    """Checks a set of root keys."""
    keys = r["keys"]
    _number(len(keys), 1, 8, field)
    _number(r["threshold"], 1, min(4, len(keys)), field)
    for k in keys:
        _key(k, field, (ED25519,))
    _that(len({k["pub"] for k in keys}) == len(keys), field)


def anchor(a):
    """Checks the limits of a trust anchor."""
    _that(a["v"] == 1, "v")
    _name(a["iss"], "iss")
    roots(a["roots"])
    if "merchant" in a:
        m = a["merchant"]
        _text(m, 9, 256, "merchant")
        _that(m.startswith("https://") and not set(m) & set(' "\\'), "merchant")
    if "tls_roots" in a:
        _that(a["tls_roots"].startswith("-----BEGIN CERTIFICATE-----\n"), "tls_roots")
        _text(a["tls_roots"].replace("\n", " "), 1, 32768, "tls_roots")


def keyset(k):
    """Checks the limits of a key set."""
    _that(k["v"] == 1, "v")
    _name(k["iss"], "iss")
    _number(k["ver"], 1, MAX_INT, "ver")
    _time(k["nbf"], "nbf")
    _time(k["exp"], "exp")
    _that(k["nbf"] < k["exp"] <= k["nbf"] + 400 * DAY, "exp")
    roots(k["roots"])
    root = {key_id(r) for r in k["roots"]["keys"]}
    for o in k["keys"]:
        _key(o, "keys", (ED25519,))
        _that(o["kid"] == key_id(o) and o["kid"] not in root, "keys.kid")
        _that(o["use"] in ("license", "notice", "bundle"), "keys.use")
        _time(o["nbf"], "keys.nbf")
        _time(o["min"], "keys.min")
    _ascending([o["kid"] for o in k["keys"]], 32, "keys")
    for i in k["revoked"]:
        _that(_KEYID.fullmatch(i) and i not in root, "revoked")
    _ascending(k["revoked"], 256, "revoked")
    for i in k["revlic"]:
        _id(i, "revlic")
    _ascending(k["revlic"], 1024, "revlic")


def _kinds(values, field):
    order = [KINDS.index(v) if v in KINDS else -1 for v in values]
    _that(-1 not in order and all(a < b for a, b in zip(order, order[1:])), field)


def _sorted_kinds(values, field):
    _that(all(k in KINDS for k in values), field)
    _ascending(values, 4, field)


def _profile(p, field):
    _sorted_kinds(p["req"], field)
    for n in p["w"].values():
        _number(n, 0, 1000, field)
    _number(p["min"], 1, 100, field)
    _number(p["floor"], 0, 100, field)


def _device(d):
    _token(d["id"], "dev.id")
    _that(d["env"] in ("physical", "vm", "container"), "dev.env")
    _that(d["fpv"] == 1, "dev.fpv")
    _b64(d["salt"], 32, "dev.salt")
    _kinds([p["kind"] for p in d["fp"]], "dev.fp")
    for p in d["fp"]:
        _that(p["h"] and all(_HEX64.fullmatch(h) for h in p["h"]), "dev.fp.h")
        _ascending(p["h"], 16, "dev.fp.h")
    _name(d["pol"]["name"], "dev.pol.name")
    _profile(d["pol"]["phys"], "dev.pol.phys")
    _profile(d["pol"]["virt"], "dev.pol.virt")
    _key(d["dk"], "dev.dk", (ED25519, P256))


def license(c):
    """Checks the limits of a license, then the device id against the device key."""
    _that(c["v"] == 1, "v")
    _name(c["iss"], "iss")
    _id(c["lic"], "lic")
    _name(c["prod"], "prod")
    if c["ed"]:
        _name(c["ed"], "ed")
    _number(c["seats"], 1, 1000000000, "seats")
    for f in c["feat"]:
        _name(f, "feat")
    _ascending(c["feat"], 64, "feat")
    for limit in c["lim"]:
        _name(limit["name"], "lim.name")
        _number(limit["value"], 0, MAX_INT, "lim.value")
    _ascending([limit["name"] for limit in c["lim"]], 64, "lim")
    _device(c["dev"])
    for t in ("iat", "nbf", "exp", "ren", "grc"):
        _time(c[t], t)
    _that(c["nbf"] < c["exp"] and c["nbf"] <= c["ren"] <= c["grc"], "exp, ren, grc")
    _chain(c)
    if c["dev"]["id"] != device_id(c["dev"]["dk"]):
        raise FormatError("device", "dev.id")


def notice(n):
    """Checks the limits of a notice."""
    _that(n["v"] == 1, "v")
    _name(n["iss"], "iss")
    _id(n["lic"], "lic")
    _name(n["prod"], "prod")
    _token(n["dev"], "dev")
    _that(n["state"] in ("active", "suspended", "revoked", "released", "contested"), "state")
    if n["reason"]:
        _name(n["reason"], "reason")
    _chain(n)


def proof(p):
    """Checks the limits of a proof."""
    _that(p["v"] == 1, "v")
    _b64(p["nonce"], 32, "nonce")
    _name(p["prod"], "prod")
    _that(_HEX64.fullmatch(p["sha"]), "sha")
    _that(p["phase"] in PHASES and PHASES[p["phase"]] == p["runs"], "phase")
    _sorted_kinds(p["missing"], "missing")
    _time(p["time"], "time")
    _token(p["boot"], "boot")


def _code(s):
    _text(s, 1, 128, "code")
    _that(" " not in s, "code")


def request(r):
    """Checks the limits of a request, then the device id against the device key."""
    kind = r["kind"]
    _that(r["v"] == 1, "v")
    _name(r["iss"], "iss")
    _that(kind in ("activate", "renew", "release", "rebind"), "kind")
    if r["prod"] or kind in ("renew", "release"):
        _name(r["prod"], "prod")
    if kind in ("activate", "rebind"):
        _code(r["code"])
    else:
        _that(r["code"] == "", "code")
    if kind == "activate":
        _that(r["lic"] == "", "lic")
    elif r["lic"] or kind != "rebind":
        _id(r["lic"], "lic")
    _token(r["dev"], "dev")
    _key(r["dk"], "dk", (ED25519, P256))
    _number(r["seq"], 0, MAX_INT, "seq")
    _that((r["seq"] == 0) == (r["head"] == ""), "head")
    if r["head"]:
        _token(r["head"], "head")
    _b64(r["n"], 32, "n")
    _text(r["fp"], 3, 5000, "fp")
    _that(r["fp"].count("|") == 3, "fp")
    _that(r["env"] in ("physical", "vm", "container"), "env")
    _kinds([p["kind"] for p in r["parts"]], "parts")
    for p in r["parts"]:
        _that(p["state"] in ("ok", "absent", "unreadable", "placeholder"), "parts.state")
        for a in p["alt"]:
            _text(a, 1, 256, "parts.alt")
        _ascending(p["alt"], 16, "parts.alt")
    _that(all(_DAY.fullmatch(d) for d in r["days"]), "days")
    _ascending(r["days"], 400, "days")
    _number(r["peak"], 0, 1000000000, "peak")
    _number(r["ks"], 0, MAX_INT, "ks")
    _time(r["time"], "time")
    _text(r["agent"], 0, 64, "agent")
    if r["dev"] != device_id(r["dk"]):
        raise FormatError("device", "dev")
