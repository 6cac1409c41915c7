'use strict';
// Opening signed messages and deciding (SPEC.md sections 4 to 11). The functions
// throw FormatError with the code of section 11; what they return has passed
// every check.

const crypto = require('node:crypto');
const { compact, decode, parseEnvelope } = require('./canonical');
const { FormatError } = require('./errors');
const { keyId, verify } = require('./keys');
const { DAY, SHAPES, limits } = require('./limits');

const SIZES = { keyset: 128 << 10, request: 64 << 10 };
const DEFAULT_TOLERANCE = 400 * DAY;
const MAX_AGE_MS = 5000;
const KEEP = 16;

const envelope = (data, kind) => parseEnvelope(data, `application/vnd.license-agent.${kind}.v1+json`, SIZES[kind] || 16 << 10);

function payload(env, kind) {
  const value = decode(env.payload, SHAPES[kind]);
  limits[kind](value);
  return value;
}

/** Reads a trust anchor file (Buffer or string); every failure is "anchor". */
function parseAnchor(file) {
  const data = Buffer.from(file);
  try {
    if (data.length > 64 << 10) throw new FormatError('too-large');
    const value = decode(compact(data), SHAPES.anchor, true);
    limits.anchor(value);
    return value;
  } catch (e) {
    if (!(e instanceof FormatError)) throw e;
    throw new FormatError('anchor', e.message);
  }
}

function signedBy(key, env) {
  const name = keyId(key);
  return name !== '' && env.signatures.some((s) => s.keyid === name && verify(key, env.message, s.sig));
}

// Each key counts once however often it signs or is listed.
function reached(roots, env) {
  const keys = new Map(roots.keys.map((k) => [k.pub, k]));
  return [...keys.values()].filter((k) => signedBy(k, env)).length >= roots.threshold;
}

/** Verifies a key set by the roots of the anchor, of the set held before if there is one, and its own. */
function openKeySet(anchor, data, previous = null) {
  const env = envelope(data, 'keyset');
  if (!reached(anchor.roots, env) || (previous && !reached(previous.roots, env))) throw new FormatError('threshold');
  const ks = payload(env, 'keyset');
  if (!reached(ks.roots, env)) throw new FormatError('threshold', 'own roots');
  if (ks.iss !== anchor.iss || (previous && previous.iss !== ks.iss)) throw new FormatError('issuer');
  if (previous && (ks.ver < previous.ver || (ks.ver === previous.ver && JSON.stringify(ks) !== JSON.stringify(previous)))) {
    throw new FormatError('keyset-rollback');
  }
  return ks;
}

function problem(ks, key, made) {
  if (ks.revoked.includes(key.kid)) return 'key-revoked';
  if (made < key.nbf) return 'key-not-yet';
  return made < key.min ? 'key-revoked' : '';
}

function open(ks, data, kind, date) {
  const env = envelope(data, kind);
  const keys = env.signatures.flatMap((s) => ks.keys.filter((k) => k.kid === s.keyid && k.use === kind && verify(k, env.message, s.sig)));
  if (keys.length === 0) throw new FormatError('signature');
  const value = payload(env, kind);
  const problems = keys.map((k) => problem(ks, k, value[date]));
  if (problems.every((p) => p !== '')) throw new FormatError(problems[0]);
  if (value.iss !== ks.iss) throw new FormatError('issuer');
  if (ks.ver < value.ks) throw new FormatError('keyset-too-old');
  return value;
}

/** Verifies a license by an open key set; revlic and time are asked separately. */
const openLicense = (ks, data) => open(ks, data, 'license', 'iat');
/** Verifies a notice by an open key set. */
const openNotice = (ks, data) => open(ks, data, 'notice', 'st');

/** Verifies a proof by the device key of a license. */
function openProof(key, data) {
  const env = envelope(data, 'proof');
  if (!signedBy(key, env)) throw new FormatError('signature');
  return payload(env, 'proof');
}

/** Verifies a request by the key that it carries. */
function openRequest(data) {
  const env = envelope(data, 'request');
  const value = payload(env, 'request');
  if (!signedBy(value.dk, env)) throw new FormatError('signature');
  return value;
}

const sha256 = (data) => crypto.createHash('sha256').update(data).digest('hex');

/** State and reason of a license at UTC second t. */
function timeState(claims, t) {
  if (t < claims.nbf) return ['not-valid', 'not-yet-valid'];
  if (t >= claims.exp) return ['not-valid', 'entitlement-ended'];
  if (t >= claims.grc) return ['not-valid', 'grace-ended'];
  return [t >= claims.ren ? 'valid-stale' : 'valid', ''];
}

function decide(claims, keyset, proof, now) {
  // Signed times can only move the clock forward.
  const time = Math.max(now, proof ? proof.time : 0, claims.st);
  let [state, reason] = timeState(claims, time);
  if (keyset.revlic.includes(claims.lic)) [state, reason] = ['not-valid', 'license-revoked'];
  const runs = state !== 'not-valid' && (!proof || proof.runs);
  return { claims, keyset, proof, time, state, reason, runs, keysetExpired: time >= keyset.exp };
}

/** Verifies answers for one anchor and remembers by hash what was verified, so that only the proof is verified anew. */
class Verifier {
  constructor(anchor) {
    this.anchor = anchor;
    this.keysets = new Map();
    this.licenses = new Map();
  }

  opened({ product, now, issuer = '', tolerance = 0, minKeySet = 0 }, license, keyset) {
    if (!product || tolerance < 0 || now < 0) throw new FormatError('options');
    if (issuer && issuer !== this.anchor.iss) throw new FormatError('issuer');
    const ksHash = sha256(keyset);
    const ks = remember(this.keysets, ksHash, () => openKeySet(this.anchor, keyset));
    if (ks.ver < minKeySet) throw new FormatError('keyset-rollback');
    if (now - (tolerance || DEFAULT_TOLERANCE) >= ks.exp) throw new FormatError('keyset-expired');
    const hash = sha256(license);
    const claims = remember(this.licenses, ksHash + hash, () => openLicense(ks, license));
    if (claims.prod !== product) throw new FormatError('product', 'license');
    return { ks, claims, hash };
  }

  /** Steps 1, 2, 3 and 5 of SPEC.md section 8; ageMs is from drawing the nonce to the end of the answer. */
  check(options, license, keyset, proof) {
    if (options.nonce.length !== 32) throw new FormatError('options', 'nonce');
    const { ks, claims, hash } = this.opened(options, license, keyset);
    const p = openProof(claims.dev.dk, proof);
    if (p.nonce !== options.nonce.toString('base64')) throw new FormatError('nonce');
    if (p.prod !== options.product) throw new FormatError('product', 'proof');
    if (p.sha !== hash) throw new FormatError('hash');
    if (!(options.ageMs >= 0 && options.ageMs <= MAX_AGE_MS)) throw new FormatError('stale');
    return decide(claims, ks, p, options.now);
  }

  /** Steps 1, 2 and 5: without a proof. */
  files(options, license, keyset) {
    const { ks, claims } = this.opened(options, license, keyset);
    return decide(claims, ks, null, options.now);
  }
}

function remember(cache, name, make) {
  if (!cache.has(name)) {
    const value = make();
    if (cache.size >= KEEP) cache.delete(cache.keys().next().value);
    cache.set(name, value);
  }
  return cache.get(name);
}

module.exports = { Verifier, openKeySet, openLicense, openNotice, openProof, openRequest, parseAnchor, sha256, timeState };
