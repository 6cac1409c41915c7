'use strict';
// Members of each message and the limits of their values (SPEC.md 3.2 to 9).

const { decode64 } = require('./canonical');
const { FormatError } = require('./errors');
const { ED25519, P256, deviceId, keyId, usable } = require('./keys');

const MAX = Number.MAX_SAFE_INTEGER;
const NO_END = 253402300799;
const DAY = 86400;
const KINDS = ['mac', 'disk', 'board', 'cpu'];
const ENVS = ['physical', 'vm', 'container'];
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const TOKEN = /^[A-Za-z0-9+/=._:-]{1,128}$/;
const HEX64 = /^[0-9a-f]{64}$/;
const KEYID = /^sha256:[0-9a-f]{32}$/;
const DATE = /^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$/;

const KEY = { alg: 'string', pub: 'string' };
const ROOTS = { threshold: 'number', keys: [KEY] };
const PROFILE = { req: ['string'], w: { board: 'number', disk: 'number', mac: 'number', cpu: 'number' }, min: 'number', floor: 'number' };
const CHAIN = { seq: 'number', head: 'string', ks: 'number', rn: 'string', st: 'number' };
const SHAPES = {
  keyset: {
    v: 'number', iss: 'string', ver: 'number', nbf: 'number', exp: 'number', roots: ROOTS,
    keys: [{ kid: 'string', use: 'string', alg: 'string', pub: 'string', nbf: 'number', min: 'number' }],
    revoked: ['string'], revlic: ['string'],
  },
  license: {
    v: 'number', iss: 'string', lic: 'string', prod: 'string', ed: 'string', seats: 'number', feat: ['string'],
    lim: [{ name: 'string', value: 'number' }],
    dev: {
      id: 'string', env: 'string', fpv: 'number', salt: 'string', fp: [{ kind: 'string', h: ['string'] }],
      pol: { name: 'string', phys: PROFILE, virt: PROFILE }, dk: KEY,
    },
    iat: 'number', nbf: 'number', exp: 'number', ren: 'number', grc: 'number', ...CHAIN,
  },
  notice: { v: 'number', iss: 'string', lic: 'string', prod: 'string', dev: 'string', state: 'string', reason: 'string', ...CHAIN },
  proof: { v: 'number', nonce: 'string', prod: 'string', sha: 'string', phase: 'string', runs: 'boolean', missing: ['string'], time: 'number', boot: 'string' },
  request: {
    v: 'number', kind: 'string', iss: 'string', prod: 'string', code: 'string', lic: 'string', dev: 'string', dk: KEY, seq: 'number',
    head: 'string', n: 'string', fp: 'string', env: 'string', parts: [{ kind: 'string', state: 'string', alt: ['string'] }],
    days: ['string'], peak: 'number', ks: 'number', time: 'number', off: 'boolean', agent: 'string',
  },
  // Absent members of an anchor file are left out, not empty.
  anchor(value) {
    const shape = { v: 'number', iss: 'string', roots: ROOTS };
    for (const name of ['merchant', 'tls_roots']) if (value && value[name]) shape[name] = 'string';
    return shape;
  },
};
const PHASES = new Map([
  ['active', true], ['expiring', true], ['grace', true],
  ['suspended', false], ['expired', false], ['revoked', false], ['wrong-device', false], ['clock-suspect', false],
]);

function that(ok, field) {
  if (!ok) throw new FormatError('limits', field);
}
const name = (s, field) => that(NAME.test(s), field);
const id = (s, field) => that(ID.test(s), field);
const token = (s, field) => that(TOKEN.test(s), field);
const number = (n, least, most, field) => that(least <= n && n <= most, field);
const time = (t, field) => number(t, 0, NO_END, field);
const text = (s, least, most, field) => that(least <= s.length && s.length <= most && /^[ -~]*$/.test(s), field);
const key = (k, field, algorithms) => that(algorithms.includes(k.alg) && usable(k), field);

function b64(s, size, field) {
  const data = decode64(s);
  that(data && data.length === size, field);
}

// All texts are ASCII here, so that comparing code units is comparing bytes.
function ascending(list, most, field) {
  that(list.length <= most && list.every((v, i) => i === 0 || list[i - 1] < v), field);
}

function chain(p) {
  number(p.seq, 1, MAX, 'seq');
  token(p.head, 'head');
  number(p.ks, 1, MAX, 'ks');
  b64(p.rn, 32, 'rn');
  time(p.st, 'st');
}

function roots(r) {
  number(r.keys.length, 1, 8, 'roots');
  number(r.threshold, 1, Math.min(4, r.keys.length), 'roots');
  r.keys.forEach((k) => key(k, 'roots', [ED25519]));
  that(new Set(r.keys.map((k) => k.pub)).size === r.keys.length, 'roots');
}

function anchor(a) {
  that(a.v === 1, 'v');
  name(a.iss, 'iss');
  roots(a.roots);
  if ('merchant' in a) {
    text(a.merchant, 9, 256, 'merchant');
    that(a.merchant.startsWith('https://') && !/[ "\\]/.test(a.merchant), 'merchant');
  }
  if ('tls_roots' in a) {
    that(a.tls_roots.startsWith('-----BEGIN CERTIFICATE-----\n'), 'tls_roots');
    text(a.tls_roots.replaceAll('\n', ' '), 1, 32768, 'tls_roots');
  }
}

function keyset(k) {
  that(k.v === 1, 'v');
  name(k.iss, 'iss');
  number(k.ver, 1, MAX, 'ver');
  time(k.nbf, 'nbf');
  time(k.exp, 'exp');
  that(k.nbf < k.exp && k.exp <= k.nbf + 400 * DAY, 'exp');
  roots(k.roots);
  const root = new Set(k.roots.keys.map(keyId));
  for (const o of k.keys) {
    key(o, 'keys', [ED25519]);
    that(o.kid === keyId(o) && !root.has(o.kid), 'keys.kid');
    that(['license', 'notice', 'bundle'].includes(o.use), 'keys.use');
    time(o.nbf, 'keys.nbf');
    time(o.min, 'keys.min');
  }
  ascending(k.keys.map((o) => o.kid), 32, 'keys');
  k.revoked.forEach((i) => that(KEYID.test(i) && !root.has(i), 'revoked'));
  ascending(k.revoked, 256, 'revoked');
  k.revlic.forEach((i) => id(i, 'revlic'));
  ascending(k.revlic, 1024, 'revlic');
}

function kinds(list, field) {
  const order = list.map((k) => KINDS.indexOf(k));
  that(order.every((n, i) => n >= 0 && (i === 0 || order[i - 1] < n)), field);
}

function sortedKinds(list, field) {
  that(list.every((k) => KINDS.includes(k)), field);
  ascending(list, 4, field);
}

function profile(p, field) {
  sortedKinds(p.req, field);
  Object.values(p.w).forEach((n) => number(n, 0, 1000, field));
  number(p.min, 1, 100, field);
  number(p.floor, 0, 100, field);
}

function device(d) {
  token(d.id, 'dev.id');
  that(ENVS.includes(d.env), 'dev.env');
  that(d.fpv === 1, 'dev.fpv');
  b64(d.salt, 32, 'dev.salt');
  kinds(d.fp.map((p) => p.kind), 'dev.fp');
  for (const p of d.fp) {
    that(p.h.length > 0 && p.h.every((h) => HEX64.test(h)), 'dev.fp.h');
    ascending(p.h, 16, 'dev.fp.h');
  }
  name(d.pol.name, 'dev.pol.name');
  profile(d.pol.phys, 'dev.pol.phys');
  profile(d.pol.virt, 'dev.pol.virt');
  key(d.dk, 'dev.dk', [ED25519, P256]);
}

function license(c) {
  that(c.v === 1, 'v');
  name(c.iss, 'iss');
  id(c.lic, 'lic');
  name(c.prod, 'prod');
  if (c.ed) name(c.ed, 'ed');
  number(c.seats, 1, 1000000000, 'seats');
  c.feat.forEach((f) => name(f, 'feat'));
  ascending(c.feat, 64, 'feat');
  for (const l of c.lim) {
    name(l.name, 'lim.name');
    number(l.value, 0, MAX, 'lim.value');
  }
  ascending(c.lim.map((l) => l.name), 64, 'lim');
  device(c.dev);
  for (const t of ['iat', 'nbf', 'exp', 'ren', 'grc']) time(c[t], t);
  that(c.nbf < c.exp && c.nbf <= c.ren && c.ren <= c.grc, 'exp, ren, grc');
  chain(c);
  if (c.dev.id !== deviceId(c.dev.dk)) throw new FormatError('device', 'dev.id');
}

function notice(n) {
  that(n.v === 1, 'v');
  name(n.iss, 'iss');
  id(n.lic, 'lic');
  name(n.prod, 'prod');
  token(n.dev, 'dev');
  that(['active', 'suspended', 'revoked', 'released', 'contested'].includes(n.state), 'state');
  if (n.reason) name(n.reason, 'reason');
  chain(n);
}

function proof(p) {
  that(p.v === 1, 'v');
  b64(p.nonce, 32, 'nonce');
  name(p.prod, 'prod');
  that(HEX64.test(p.sha), 'sha');
  that(PHASES.has(p.phase) && PHASES.get(p.phase) === p.runs, 'phase');
  sortedKinds(p.missing, 'missing');
  time(p.time, 'time');
  token(p.boot, 'boot');
}

function request(r) {
  that(r.v === 1, 'v');
  name(r.iss, 'iss');
  that(['activate', 'renew', 'release', 'rebind'].includes(r.kind), 'kind');
  const contact = r.kind === 'renew' || r.kind === 'release';
  if (r.prod || contact) name(r.prod, 'prod');
  if (contact) that(r.code === '', 'code');
  else {
    text(r.code, 1, 128, 'code');
    that(!r.code.includes(' '), 'code');
  }
  if (r.kind === 'activate') that(r.lic === '', 'lic');
  else if (r.lic || contact) id(r.lic, 'lic');
  token(r.dev, 'dev');
  key(r.dk, 'dk', [ED25519, P256]);
  number(r.seq, 0, MAX, 'seq');
  that((r.seq === 0) === (r.head === ''), 'head');
  if (r.head) token(r.head, 'head');
  b64(r.n, 32, 'n');
  text(r.fp, 3, 5000, 'fp');
  that(r.fp.split('|').length === 4, 'fp');
  that(ENVS.includes(r.env), 'env');
  kinds(r.parts.map((p) => p.kind), 'parts');
  for (const p of r.parts) {
    that(['ok', 'absent', 'unreadable', 'placeholder'].includes(p.state), 'parts.state');
    p.alt.forEach((a) => text(a, 1, 256, 'parts.alt'));
    ascending(p.alt, 16, 'parts.alt');
  }
  that(r.days.every((d) => DATE.test(d)), 'days');
  ascending(r.days, 400, 'days');
  number(r.peak, 0, 1000000000, 'peak');
  number(r.ks, 0, MAX, 'ks');
  time(r.time, 'time');
  text(r.agent, 0, 64, 'agent');
  if (r.dev !== deviceId(r.dk)) throw new FormatError('device', 'dev');
}

module.exports = { DAY, KINDS, SHAPES, limits: { anchor, keyset, license, notice, proof, request } };
