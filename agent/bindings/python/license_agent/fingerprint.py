"""Which device this is, and whether two observations are the same device.

An observation is a dict with the parts ``mac``, ``disk``, ``board`` and
``cpu``, each {"state", "values": [{"text", "alt"}], "rejected": [{"state"}]},
and ``env`` {"kind"}. The rules work on bytes of UTF-8.
"""

import hashlib
import hmac

from .placeholder import is_placeholder

KINDS = ("mac", "disk", "board", "cpu")
MAX_TEXT, MAX_VALUE = 5000, 256
_PADDING = " \t\n\v\f\r\x00"
_HEX = frozenset("0123456789ABCDEFabcdef")


class TextError(ValueError):
    """A string form that the rule does not allow; ``code`` says why."""

    def __init__(self, code):
        self.code = code
        super().__init__(code)


def _bytes(value):
    """One character per byte, so that the rules are the same for any input."""
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return value.decode("latin-1")


def canonical(value):
    """A value (str or bytes) as it stands in the string form."""
    out = []
    for c in _bytes(value).strip(_PADDING):
        if c == " " and out and out[-1] == " ":
            continue
        if c in "|," or c < " " or c > "~":
            c = "_"
        elif "a" <= c <= "z":
            c = c.upper()
        out.append(c)
    return "".join(out)


def spell(kind, value):
    """canonical, and the one spelling per kind that makes two readers agree."""
    value = canonical(value)
    if kind == "mac":
        if len(value) == 17 and value[2] == ":" and value[14] == ":":
            return value
        digits = value.translate({ord(c): None for c in ":-."})
        if len(digits) == 12 and _HEX.issuperset(digits):
            return ":".join(digits[i : i + 2] for i in range(0, 12, 2))
    elif kind == "cpu" and len(value) == 23 and set(value[2::3]) == {" "}:
        digits = value.replace(" ", "")
        if len(digits) == 16 and _HEX.issuperset(digits):
            return _reverse(digits)
    return value


def _reverse(digits):
    return "".join(digits[i : i + 2] for i in range(len(digits) - 2, -1, -2))


def cpu_forms(value):
    """The spellings of one CPU id: WMI's, dmidecode's with blanks and without."""
    wmi = spell("cpu", value)
    if len(wmi) != 16 or not _HEX.issuperset(wmi):
        return [wmi]
    packed = _reverse(wmi)
    return [wmi, " ".join(packed[i : i + 2] for i in range(0, 16, 2)), packed]


def placeholder(kind, value):
    """Says whether a value identifies nobody."""
    return bool(is_placeholder(kind, spell(kind, value)))


def hash_value(salt, kind, value):
    """The salted hash of one value as a license stores it."""
    return _sum(salt, kind, spell(kind, value))


def _sum(salt, kind, spelled):
    text = "license-agent fingerprint v1\n%s\n%s\n" % (kind, spelled)
    return hmac.new(salt, text.encode("latin-1"), hashlib.sha256).hexdigest()


def settled(kind, part):
    """Applies the rules to what a reader found, whatever state it claims."""
    state = part.get("state")
    rejected = list(part.get("rejected") or ())
    if state != "ok":
        if state not in ("absent", "placeholder"):
            state = "unreadable"
        return {"state": state, "values": [], "rejected": rejected}
    values, seen = [], {}
    for v in part.get("values") or ():
        text = spell(kind, v["text"])
        if not text:
            continue
        bad = _refuse(kind, text)
        if bad:
            rejected.append({"state": bad})
            continue
        alt = [a for a in v.get("alt") or () if spell(kind, a) and not _refuse(kind, spell(kind, a))]
        if text in seen:
            seen[text]["alt"].extend(alt)
            continue
        seen[text] = {"text": v["text"], "alt": alt}
        values.append(seen[text])
    if not values:
        states = [r.get("state") for r in rejected]
        state = "unreadable" if "unreadable" in states else "placeholder" if "placeholder" in states else "absent"
    return {"state": state, "values": values, "rejected": rejected}


def _refuse(kind, text):
    if len(text) > MAX_VALUE:
        return "unreadable"
    return "placeholder" if is_placeholder(kind, text) else ""


def enroll(salt, device):
    """The parts of a device as a license remembers them."""
    parts = []
    for kind in KINDS:
        values = settled(kind, device.get(kind) or {})["values"]
        hashes = []
        for text in [v["text"] for v in values] + [a for v in values for a in v["alt"]]:
            h = hash_value(salt, kind, text)
            if len(hashes) < 16 and h not in hashes:
                hashes.append(h)
        if hashes:
            parts.append({"kind": kind, "h": sorted(hashes)})
    return parts


def compare(policy, env, salt, parts, device):
    """Compares an enrolled device with an observation. The result has outcome
    ("same", "different", "indeterminate"), results per part, and the points."""
    profile = policy["virt" if env in ("vm", "container") else "phys"]
    enrolled = {k: {h for p in parts if p["kind"] == k for h in p["h"]} for k in KINDS}
    results = {k: _compare_part(salt, k, enrolled[k], settled(k, device.get(k) or {})) for k in KINDS}
    t = _tally(profile, results)
    available = t["enrolled"] - t["unreadable"]
    need = _percent(profile["min"], available)
    outcome = _outcome(profile, t)
    left = 0
    if outcome == "same":
        left = max(min(_points_left(profile, results), t["matched"] - need), 0)
    return {
        "outcome": outcome, "results": results, "matched": t["matched"], "available": available,
        "enrolled": t["enrolled"], "need": need, "left": left,
        "strong_match": t["strong_match"] > 0, "strong_changed": t["strong_lost"] > 0, "drift": t["lost"],
    }


def _compare_part(salt, kind, enrolled, now):
    if not enrolled:
        return "not-enrolled"
    if now["state"] != "ok":
        return now["state"]
    for v in now["values"]:
        for text in [v["text"], *v["alt"]]:
            spelled = spell(kind, text)
            if _sum(salt, kind, spelled) in enrolled:
                return "match"
            if kind == "cpu" and len(spelled) == 16 and _HEX.issuperset(spelled) and _sum(salt, kind, _reverse(spelled)) in enrolled:
                return "match"
    # A candidate that could not be read may have been the enrolled one.
    unread = any(r.get("state") == "unreadable" for r in now["rejected"])
    return "unreadable" if unread else "changed"


def _percent(percent, points):
    return (percent * points + 99) // 100


def _tally(profile, results):
    t = dict.fromkeys(("enrolled", "matched", "unreadable", "strong", "strong_match", "strong_lost"), 0)
    t.update(lost=False, required_lost=False, required_unread=False)
    for kind, result in results.items():
        if result == "not-enrolled":
            continue
        weight, required = profile["w"][kind], kind in profile["req"]
        strong = kind != "cpu" and (weight > 0 or required)
        t["enrolled"] += weight
        t["strong"] += strong
        if result == "match":
            t["matched"] += weight
            t["strong_match"] += strong
        elif result == "unreadable":
            t["unreadable"] += weight
            t["required_unread"] |= required
        else:
            t["lost"] |= weight > 0 or required
            t["strong_lost"] += strong
            t["required_lost"] |= required
    return t


def _outcome(profile, t):
    available = t["enrolled"] - t["unreadable"]
    if t["strong"] == 0:
        return "indeterminate"
    if t["strong_match"] == 0:
        return "different" if t["strong_lost"] else "indeterminate"
    if t["required_lost"]:
        return "different"
    if t["required_unread"] or available < _percent(profile["floor"], t["enrolled"]):
        return "indeterminate"
    if t["strong_lost"] == 0 or t["matched"] >= _percent(profile["min"], available):
        return "same"
    if t["matched"] + t["unreadable"] >= _percent(profile["min"], t["enrolled"]):
        return "indeterminate"
    return "different"


def _points_left(profile, results):
    matching = [k for k, r in results.items() if r == "match"]
    cheapest = sum(profile["w"][k] for k in KINDS)
    for mask in range(1, 1 << len(matching)):
        gone = [k for i, k in enumerate(matching) if mask >> i & 1]
        cost = sum(profile["w"][k] for k in gone)
        after = dict(results, **dict.fromkeys(gone, "changed"))
        if cost < cheapest and _outcome(profile, _tally(profile, after)) != "same":
            cheapest = cost
    return max(cheapest - 1, 0)


def format_device(device):
    """The string form: (text, dropped disks, dropped addresses)."""
    texts = {k: [spell(k, v["text"]) for v in settled(k, device.get(k) or {})["values"]] for k in KINDS}

    def text():
        return "|".join((",".join(texts["mac"]), ",".join(texts["disk"]), *("".join(texts[k][:1]) for k in ("board", "cpu"))))

    dropped = {"disk": 0, "mac": 0}
    for kind in dropped:
        while texts[kind] and len(text()) > MAX_TEXT:
            texts[kind].pop()
            dropped[kind] += 1
    return text(), dropped["disk"], dropped["mac"]


def parse_text(text):
    """The inverse of format_device; raises TextError."""
    text = _bytes(text)
    if len(text) > MAX_TEXT:
        raise TextError("too-long")
    parts = text.split("|")
    if len(parts) != 4:
        raise TextError("parts")

    def values(kind, part):
        out = part.split(",") if part else []
        for i, v in enumerate(out):
            if not v:
                raise TextError("empty-value")
            _check(kind, v)
            if v in out[:i]:
                raise TextError("duplicate")
        return out

    macs, disks = values("mac", parts[0]), values("disk", parts[1])
    for kind, v in (("board", parts[2]), ("cpu", parts[3])):
        _check(kind, v)
    return {"macs": macs, "disks": disks, "board": parts[2], "cpu": parts[3]}


def _check(kind, value):
    if len(value) > MAX_VALUE:
        raise TextError("value-too-long")
    if spell(kind, value.encode("latin-1")) != value:
        raise TextError("not-canonical")
