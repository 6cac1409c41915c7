"""Public keys and raw signatures (SPEC.md section 1)."""

import functools
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from .canonical import decode64

ED25519, P256 = "ed25519", "p256-sha256"
_P = 2**255 - 19
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# y of the points of order 1, 2, 4 and 8: under such a key one signature fits
# many messages, and libraries disagree about them.
_WEAK = frozenset(
    (0, 1, _P - 1)
    + (
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)


@functools.lru_cache(maxsize=256)
def _load(alg, pub):
    """Raw bytes and the library's key, or None for an unusable key."""
    raw = decode64(pub)
    if raw is None:
        return None
    try:
        if alg == ED25519 and len(raw) == 32:
            y = int.from_bytes(raw, "little") & (2**255 - 1)
            if y >= _P or y in _WEAK:
                return None
            return raw, Ed25519PublicKey.from_public_bytes(raw)
        if alg == P256 and len(raw) == 65 and raw[0] == 4:
            return raw, ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw)
    except ValueError:
        pass
    return None


def usable(key):
    """Says whether a key {"alg", "pub"} can be used at all."""
    return _load(key["alg"], key["pub"]) is not None


def _name(prefix, key):
    loaded = _load(key["alg"], key["pub"])
    if loaded is None:
        return ""
    return prefix + hashlib.sha256(key["alg"].encode() + b"\n" + loaded[0]).hexdigest()[:32]


def key_id(key):
    """The id of a key, "" for an unusable one."""
    return _name("sha256:", key)


def device_id(key):
    """The id of the device with this key, "" for an unusable one."""
    return _name("dev:", key)


def verify(key, message, signature):
    """Checks one raw signature of exactly 64 bytes."""
    loaded = _load(key["alg"], key["pub"])
    if loaded is None or len(signature) != 64:
        return False
    try:
        if key["alg"] == ED25519:
            loaded[1].verify(signature, message)
            return True
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        if not (0 < r < _N and 0 < s < _N):
            return False
        loaded[1].verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        return True
    except InvalidSignature:
        return False
