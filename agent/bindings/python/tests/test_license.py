"""Every case of the license format's shared vectors."""
import unittest

from license_agent import canonical, fingerprint, keys, license
from license_agent.errors import FormatError

from .shared import cases, count, load, report

VECTORS = load("activation/license/testdata/vectors.json")
DATA = VECTORS["data"]


def text(value):
    """The input as bytes; "@name" stands for an entry of data."""
    value = value or ""
    return (DATA[value[1:]] if value.startswith("@") else value).encode()


def run_op(v):
    op, args = v["op"], v.get("args", [])
    data = bytes.fromhex(v["input_hex"]) if "input_hex" in v else text(v.get("input"))
    if op in ("license", "notice"):
        ks = license.open_keyset(license.parse_anchor(text(v["anchor"])), text(v["keyset"]))
        return payload(getattr(license, "open_" + op)(ks, data))
    if op == "keyset":
        anchor = license.parse_anchor(text(v["anchor"]))
        prev = license.open_keyset(anchor, text(v["prev"])) if v.get("prev") else None
        return payload(license.open_keyset(anchor, data, prev))
    if op == "proof":
        return payload(license.open_proof(v["key"], data))
    if op == "request":
        return payload(license.open_request(data))
    if op == "anchor":
        return payload(license.parse_anchor(data))
    if op in ("check", "files"):
        return decide(v)
    if op == "time":
        state, reason = license.time_state(v["times"], v["times"]["t"])
        return {"state": state, "reason": reason}
    if op == "verify":
        if not keys.verify(v["key"], *map(bytes.fromhex, args)):
            raise FormatError("signature")
        return {}
    if op == "keyid":
        if not keys.usable(v["key"]):
            raise FormatError("key")
        return {"text": keys.key_id(v["key"]), "text2": keys.device_id(v["key"])}
    if op == "pae":
        return {"text": canonical.pae(args[0], args[1].encode()).hex()}
    if op == "hash":
        return {"text": fingerprint.hash_value(bytes.fromhex(args[0]), args[1], args[2])}
    raise AssertionError("unknown op " + op)


def decide(v):
    o = v["options"]
    verifier = license.Verifier(license.parse_anchor(text(v["anchor"])))
    extra = {k: o[k] for k in ("issuer", "tolerance", "min_keyset")}
    envelopes = text(v["license"]), text(v["keyset"])

    def once():
        if v["op"] == "files":
            return verifier.files(o["product"], o["now"], *envelopes, **extra)
        return verifier.check(o["product"], bytes.fromhex(o["nonce_hex"]), o["now"], o["age_ms"] / 1000, *envelopes, text(v.get("proof")), **extra)

    first = None
    try:
        first = once()
    except FormatError as e:
        first = e
    try:  # what is remembered must not change any verdict
        second = once()
    except FormatError as e:
        if not isinstance(first, FormatError) or e.code != first.code:
            raise AssertionError("the second call says %s" % e) from None
        raise
    if second != first:
        raise AssertionError("the second call says something else")
    return {"state": first.state, "reason": first.reason, "runs": first.runs, "time": first.time, "keyset_expired": first.keyset_expired}


def payload(value):
    return {"payload": canonical._dump(value).decode()}


class License(unittest.TestCase):
    def case(self, v):
        try:
            got, code = run_op(v), "ok"
        except FormatError as e:
            got, code = {}, e.code
        self.assertEqual(code, v["want"], v["name"])
        want = dict(v.get("result") or {})
        if "state" in want:
            want.setdefault("reason", "")
        for member, value in want.items():
            self.assertEqual(got.get(member), value, v["name"] + " " + member)

    def test_number_of_vectors(self):
        self.assertGreaterEqual(len(VECTORS["vectors"]), 600)

    def test_refuses_what_the_library_accepts(self):
        """Control: without the check of length and point the library says yes."""
        weak = {"alg": "ed25519", "pub": canonical.encode64(b"\x01" + bytes(31))}
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        signature = b"\x01" + bytes(63)  # R the neutral element, S zero
        Ed25519PublicKey.from_public_bytes(b"\x01" + bytes(31)).verify(signature, b"any message")
        self.assertFalse(keys.verify(weak, b"any message", signature))
        count("license", OWN)
        count("signatures", PUBLIC)
        report("P10", "Python: %d license vectors and %d public signatures, 0 other verdicts" % (OWN, PUBLIC),
               "the library alone accepts 1 of 1 signature that fits any message")


OWN = cases(License, "vector", VECTORS["vectors"], License.case)
PUBLIC = cases(License, "wycheproof", load("agent/bindings/testdata/wycheproof.json")["vectors"], License.case)
