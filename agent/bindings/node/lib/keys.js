'use strict';
// Public keys and raw signatures (SPEC.md section 1).

const crypto = require('node:crypto');
const { decode64 } = require('./canonical');

const ED25519 = 'ed25519';
const P256 = 'p256-sha256';
const P = 2n ** 255n - 19n;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
// y of the points of order 1, 2, 4 and 8: under such a key one signature fits
// many messages, and libraries disagree about them.
const WEAK = new Set([
  0n, 1n, P - 1n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
]);
// The fixed beginnings of SubjectPublicKeyInfo (RFC 8410, RFC 5480).
const SPKI = {
  [ED25519]: Buffer.from('302a300506032b6570032100', 'hex'),
  [P256]: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
};
const loaded = new Map();
const KEEP = 256;

/** Raw bytes, the library's key and the digest, or null for an unusable key. */
function load({ alg, pub }) {
  const name = `${alg} ${pub}`;
  if (!loaded.has(name)) {
    if (loaded.size >= KEEP) loaded.delete(loaded.keys().next().value);
    loaded.set(name, make(alg, pub));
  }
  return loaded.get(name);
}

function make(alg, pub) {
  const raw = decode64(pub);
  if (!raw) return null;
  if (alg === ED25519) {
    if (raw.length !== 32) return null;
    const y = BigInt(`0x${Buffer.from(raw).reverse().toString('hex')}`) & (2n ** 255n - 1n);
    if (y >= P || WEAK.has(y)) return null;
  } else if (alg !== P256 || raw.length !== 65 || raw[0] !== 4) return null;
  try {
    const key = crypto.createPublicKey({ key: Buffer.concat([SPKI[alg], raw]), format: 'der', type: 'spki' });
    const digest = crypto.createHash('sha256').update(`${alg}\n`).update(raw).digest('hex').slice(0, 32);
    return { key, digest };
  } catch {
    return null; // not a point of the curve
  }
}

/** Says whether a key {alg, pub} can be used at all. */
const usable = (key) => load(key) !== null;
/** The id of a key, "" for an unusable one. */
const keyId = (key) => (usable(key) ? `sha256:${load(key).digest}` : '');
/** The id of the device with this key, "" for an unusable one. */
const deviceId = (key) => (usable(key) ? `dev:${load(key).digest}` : '');

/** Checks one raw signature of exactly 64 bytes. */
function verify(key, message, signature) {
  const k = load(key);
  if (!k || signature.length !== 64) return false;
  if (key.alg === ED25519) return crypto.verify(null, message, k.key, signature);
  for (const half of [signature.subarray(0, 32), signature.subarray(32)]) {
    const n = BigInt(`0x${half.toString('hex')}`);
    if (n <= 0n || n >= N) return false;
  }
  return crypto.verify('sha256', message, { key: k.key, dsaEncoding: 'ieee-p1363' }, signature);
}

module.exports = { ED25519, P256, deviceId, keyId, usable, verify };
