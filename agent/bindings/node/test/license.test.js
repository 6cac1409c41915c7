'use strict';
// Every case of the license format's shared vectors.
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const test = require('node:test');
const { decode64, pae } = require('../lib/canonical');
const { FormatError } = require('../lib/errors');
const fingerprint = require('../lib/fingerprint');
const keys = require('../lib/keys');
const license = require('../lib/license');
const { count, load, report } = require('./shared');

const { data, vectors } = load('activation/license/testdata/vectors.json');
const hex = (s) => Buffer.from(s, 'hex');
const bytes = (v = '') => Buffer.from(v.startsWith('@') ? data[v.slice(1)] : v);
const payload = (value) => ({ payload: JSON.stringify(value) });
const anchorOf = (v) => license.parseAnchor(bytes(v.anchor));
const keySetOf = (v) => license.openKeySet(anchorOf(v), bytes(v.keyset));

const ops = {
  license: (v, input) => payload(license.openLicense(keySetOf(v), input)),
  notice: (v, input) => payload(license.openNotice(keySetOf(v), input)),
  keyset: (v, input) => payload(license.openKeySet(anchorOf(v), input, v.prev ? license.openKeySet(anchorOf(v), bytes(v.prev)) : null)),
  proof: (v, input) => payload(license.openProof(v.key, input)),
  request: (v, input) => payload(license.openRequest(input)),
  anchor: (v, input) => payload(license.parseAnchor(input)),
  check: decide,
  files: decide,
  time: (v) => {
    const [state, reason] = license.timeState(v.times, v.times.t);
    return { state, reason };
  },
  verify: (v) => {
    if (!keys.verify(v.key, ...v.args.map(hex))) throw new FormatError('signature');
    return {};
  },
  keyid: (v) => {
    if (!keys.usable(v.key)) throw new FormatError('key');
    return { text: keys.keyId(v.key), text2: keys.deviceId(v.key) };
  },
  pae: (v) => ({ text: pae(v.args[0], Buffer.from(v.args[1])).toString('hex') }),
  hash: (v) => ({ text: fingerprint.hashValue(hex(v.args[0]), v.args[1], v.args[2]) }),
};

function decide(v) {
  const o = v.options;
  const verifier = new license.Verifier(anchorOf(v));
  const options = { product: o.product, issuer: o.issuer, now: o.now, tolerance: o.tolerance, minKeySet: o.min_keyset, nonce: hex(o.nonce_hex), ageMs: o.age_ms };
  const once = () => (v.op === 'files' ? verifier.files(options, bytes(v.license), bytes(v.keyset)) : verifier.check(options, bytes(v.license), bytes(v.keyset), bytes(v.proof)));
  let first;
  try {
    first = once();
  } catch (e) {
    assert.throws(once, { code: e.code }, 'what is remembered changes the error');
    throw e;
  }
  assert.deepEqual(once(), first, 'what is remembered changes the verdict');
  return { state: first.state, reason: first.reason, runs: first.runs, time: first.time, keyset_expired: first.keysetExpired };
}

for (const v of [...vectors, ...load('agent/bindings/testdata/wycheproof.json').vectors]) {
  test(v.name, () => {
    let [code, got] = ['ok', {}];
    try {
      got = ops[v.op](v, v.input_hex ? hex(v.input_hex) : bytes(v.input));
    } catch (e) {
      if (!(e instanceof FormatError)) throw e;
      code = e.code;
    }
    assert.equal(code, v.want);
    const want = v.result || {};
    if ('state' in want) want.reason ??= '';
    for (const [member, value] of Object.entries(want)) assert.equal(got[member], value, member);
  });
}

test('there are enough vectors', () => assert.ok(vectors.length >= 600));

test('control: the library accepts what is refused here', () => {
  const weak = Buffer.concat([Buffer.of(1), Buffer.alloc(31)]); // the neutral element
  const signature = Buffer.concat([weak, Buffer.alloc(32)]);
  const key = crypto.createPublicKey({ key: Buffer.concat([hex('302a300506032b6570032100'), weak]), format: 'der', type: 'spki' });
  assert.ok(crypto.verify(null, Buffer.from('any message'), key, signature));
  assert.equal(keys.verify({ alg: 'ed25519', pub: weak.toString('base64') }, Buffer.from('any message'), signature), false);
  const open = load('agent/bindings/testdata/wycheproof.json').vectors.length;
  count('license', vectors.length);
  count('signatures', open);
  report('P10', `${vectors.length} license vectors and ${open} public signatures, 0 other verdicts`, 'the library alone accepts 1 of 1 signature that fits any message');
  assert.equal(decode64('AAA'), null);
  assert.equal(Buffer.from('AAA', 'base64').length, 2);
});
