"""The shared fingerprint vectors, and recorded hosts."""
import base64
import os
import tempfile
import unittest

from license_agent import fingerprint as fp
from license_agent import probe

from .shared import cases, count, load

VECTORS = load("fingerprint/testdata/vectors.json")
HOSTS = load("agent/bindings/testdata/hosts.json")
PRESETS = load("agent/bindings/testdata/conversation.json")["presets"]


class Fingerprint(unittest.TestCase):
    def format(self, v):
        self.assertEqual(fp.format_device(v["device"]), (v["string"], v["dropped_disks"], v["dropped_macs"]))

    def parse(self, v):
        try:
            got = fp.parse_text(v["string"])
        except fp.TextError as e:
            self.assertEqual(e.code, v.get("error"))
            return
        self.assertEqual(got, v.get("parsed"))

    def canonical(self, v):
        value = bytes.fromhex(v["input_hex"]) if "input_hex" in v else v["input"]
        self.assertEqual(fp.canonical(value), v["output"])
        self.assertEqual(fp.canonical(v["output"]), v["output"])

    def hash(self, v):
        self.assertEqual(fp.hash_value(bytes.fromhex(v["salt"]), v["kind"], v["value"]), v["hash"])

    def placeholder(self, v):
        self.assertEqual(fp.placeholder(v["kind"], v["value"]), v["placeholder"], v["value"])

    def cpu_forms(self, v):
        self.assertEqual(fp.cpu_forms(v["value"]), v["forms"])

    def compare(self, v):
        salt = bytes.fromhex(v["salt"])
        got = fp.compare(PRESETS[v["preset"]], v["then"]["env"]["kind"], salt, fp.enroll(salt, v["then"]), v["now"])
        for member, want in v["want"].items():
            if member == "results" and isinstance(want, list):
                want = {r["kind"]: r["result"] for r in want}
            self.assertEqual(got[member], want, v["name"] + " " + member)


for _list in ("format", "parse", "canonical", "hash", "placeholder", "cpu_forms", "compare"):
    count("fingerprint", cases(Fingerprint, _list, VECTORS[_list], getattr(Fingerprint, _list)))


class Hosts(unittest.TestCase):
    """Recorded machines: the same values as the reader written in Go."""

    def host(self, h):
        with tempfile.TemporaryDirectory() as root:
            unpack(root, h)
            got = probe.observe(root)
        for kind in ("mac", "disk", *(["board"] if h["firmware"] else [])):
            texts = [v["text"] for v in got[kind].get("values", ())]
            # Which disk lies behind "/" is not looked up in a recording.
            self.assertEqual(sorted(texts), sorted(h[kind]), h["name"] + " " + kind)
        self.assertEqual(got["env"]["kind"] == "container", h["container"])


def unpack(root, h):
    for name, content in h["files"].items():
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "wb") as f:
            f.write(base64.b64decode(content))
    for name, target in h["links"].items():
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        os.symlink(target, os.path.join(root, name))


count("hosts", cases(Hosts, "host", HOSTS, Hosts.host))


class ThisMachine(unittest.TestCase):
    def test_reads_without_error(self):
        got = probe.observe()
        for kind in fp.KINDS:
            self.assertIn(got[kind]["state"], ("ok", "absent", "unreadable", "placeholder"))
        again = probe.observe()
        self.assertEqual(got, again)
