"""Writes genuine and broken messages for the fuzzer: corpus.py REPOSITORY FOLDER"""
import base64
import hashlib
import json
import os
import re
import sys

root, folder = sys.argv[1:]
os.makedirs(folder, exist_ok=True)


def put(kind, data):
    data = bytes([kind]) + data
    with open(os.path.join(folder, hashlib.sha1(data).hexdigest()), "wb") as f:
        f.write(data)


def payload(envelope):
    m = re.search(r'"payload":"([A-Za-z0-9+/=]*)"', envelope)
    return base64.b64decode(m.group(1)) if m else b""


def load(path):
    with open(os.path.join(root, path), encoding="utf-8") as f:
        return json.load(f)


vectors = load("activation/license/testdata/vectors.json")
for v in vectors["vectors"][::3]:
    text = v.get("input", "")
    text = vectors["data"][text[1:]] if text.startswith("@") else text
    try:
        inner = payload(text)
    except ValueError:
        continue
    kind = {"anchor": 0, "keyset": 1, "license": 2, "notice": 3, "proof": 4}.get(v["op"])
    if kind is not None and len(text) < 12000:
        put(kind, inner if kind in (2, 3) else text.encode())
talk = load("agent/bindings/testdata/conversation.json")
for f in talk["files"]:
    put(5, f["file"].encode())
for e in talk["endpoints"]:
    put(6, e["say"].split("\r\n\r\n")[0].encode() + b"\r\n\x00")
for e in talk["endpoints"]:
    put(8, b"\x05\x50" + e["say"].encode())
for c in talk["checks"]:
    raw = c.get("raw", "").encode()
    put(7, raw)
    head = "HTTP/1.1 %d Said\r\nContent-Length: %d\r\n\r\n"
    put(8, b"\x01\x00" + (head % (c.get("status", 200), len(raw))).encode() + raw)
    put(8, b"\x40\x50" + (head % (c.get("status", 200), len(raw) + 0x5000)).encode() + raw)
# The answer of a whole check, and what comes into it: the payload of the proof, and
# the words of the agent. The nonce is the one that the fuzzer draws.
data = talk["data"]
inner = payload(data["recorded proof"]).decode()
before, after = data["recorded proof"].split(base64.b64encode(inner.encode()).decode())
lines = ['{"license":"%s","keyset":"%s","proof":"' % tuple(base64.b64encode(data[k].encode()).decode() for k in ("license", "keyset")), before, after, talk["anchor"].strip()]
with open(folder + ".answer", "w", encoding="utf-8") as f:
    f.write("\n".join(lines) + "\n")
nonces = [base64.b64encode(bytes([b]) * 32).decode() for b in (0, 7)]
for proof in (inner, inner.replace(*nonces), inner.replace(*nonces).replace('"active","runs":true', '"suspended","runs":false')):
    for way in (b"\x00\x00", b"\x05\x50", b"\xff\xff"):
        for words in ("null", '{"message":"Said.","next_step":"Do.","flags":["drift", "b" ,"\\u4f60"]}', '{"flags":%s}' % json.dumps(["f"] * 20), '{"flags":["a",7,"b"'):
            put(9, way + proof.encode() + b"\x00" + words.encode())
put(7, json.dumps({"license": "e30=", "verdict": {"message": "\u4f60\U0001f600", "flags": ["a"]}, "serial": 7}).encode())
