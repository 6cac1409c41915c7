"""The one spelling of payloads and envelopes (SPEC.md sections 2 and 3)."""

import base64
import binascii
import json
import re

from .errors import FormatError

MAX_INT = 2**53 - 1
MAX_DEPTH = 8
_STRING = re.compile(rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"')
_STRING_NL = re.compile(rb'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\n])*"')
_OUTSIDE = re.compile(rb"[{}\[\]:,truefals0-9]*")
_SPACE = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', re.S)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]*")
_HEAD = re.compile(rb'\{"payloadType":"([A-Za-z0-9./+-]{1,128})","payload":"([A-Za-z0-9+/=]{1,131072})","signatures":\[')
_SIGNATURE = re.compile(rb'\{"keyid":"([A-Za-z0-9+/=._:-]{1,128})","sig":"([A-Za-z0-9+/=]{1,16384})"\}')


def lexical(data, newline=False):
    """Refuses the bytes that parsers of different languages treat differently.

    Strings are cut out first; what is left may hold brackets, separators,
    digits and the letters of true and false. Both expressions are linear in
    the length of the input.
    """
    rest = (_STRING_NL if newline else _STRING).sub(b"", data)
    if not _OUTSIDE.fullmatch(rest):
        raise FormatError("payload", "a byte or escape that is not allowed")
    depth = 0
    for c in rest:
        if c in b"{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise FormatError("payload", "nested too deep")
        elif c in b"}]":
            depth -= 1
    for number in re.findall(rb"[0-9]+", rest):
        if len(number) > 16 or int(number) > MAX_INT:
            raise FormatError("payload", "number above 2^53-1")


def loads(text):
    """json.loads that refuses what no message of an agent holds. int() takes
    quadratic time on Python before 3.10.7, so that long integers would hang."""
    return json.loads(text, parse_int=_integer)


def _integer(digits):
    if len(digits) > 20:
        raise ValueError("integer too long")
    return int(digits)


def _dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def fits(value, shape):
    """Says whether a parsed value has exactly this shape: a dict gives the
    members in their order, a list the shape of its entries, else a type."""
    if isinstance(shape, dict):
        return type(value) is dict and list(value) == list(shape) and all(fits(value[k], s) for k, s in shape.items())
    if isinstance(shape, list):
        return type(value) is list and all(fits(v, shape[0]) for v in value)
    return type(value) is shape  # bool is not int here


def decode(payload, shape, newline=False):
    """Parses a payload that must be canonical, else FormatError("payload").

    Writing it again must give the same bytes: json.loads keeps the last of two
    members of one name, and the comparison finds the first one missing.
    """
    lexical(payload, newline)
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise FormatError("payload", "not JSON") from None
    want = shape(value) if callable(shape) and not isinstance(shape, type) else shape
    if not fits(value, want) or _dump(value) != payload:
        raise FormatError("payload", "not canonical, or not of this kind")
    return value


def compact(text):
    """Removes the white space between tokens of a file that people may indent."""
    try:
        loads(text.decode("ascii"))
    except (ValueError, RecursionError):
        raise FormatError("payload", "not JSON") from None
    return _SPACE.sub(lambda m: m.group(1) or b"", text)


def decode64(text):
    """Standard base64 with padding and zero unused bits, else None."""
    if not _BASE64.fullmatch(text):
        return None
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def encode64(data):
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


def pae(media_type, payload):
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    return b"DSSEv1 %d %s %d %s" % (len(media_type), media_type.encode(), len(payload), payload)


class Envelope:
    """A parsed DSSE envelope. Nothing in it is trusted yet."""

    __slots__ = ("payload", "signatures", "message")

    def __init__(self, data, media_type, limit):
        if len(data) > limit:
            raise FormatError("too-large", "%d bytes, at most %d" % (len(data), limit))
        head = _HEAD.match(data)
        if not head:
            raise FormatError("envelope")
        self.payload = _data(head.group(2))
        self.signatures = []
        at = head.end()
        while True:
            one = _SIGNATURE.match(data, at)
            if not one or len(self.signatures) == 4:
                raise FormatError("envelope")
            self.signatures.append((one.group(1).decode(), _data(one.group(2))))
            at = one.end()
            if data[at : at + 1] != b",":
                break
            at += 1
        if data[at:] != b"]}":
            raise FormatError("envelope")
        if head.group(1) != media_type.encode():
            raise FormatError("media-type", "want " + media_type)
        self.message = pae(media_type, self.payload)


def _data(text):
    data = decode64(text.decode())
    if not data:
        raise FormatError("envelope", "base64")
    return data
