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
for c in talk["checks"]:
    put(7, c.get("raw", "").encode())
put(7, json.dumps({"license": "e30=", "verdict": {"message": "\u4f60\U0001f600", "flags": ["a"]}, "serial": 7}).encode())
