'use strict';
// The shared fingerprint vectors, and recorded hosts.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const fp = require('../lib/fingerprint');
const { observe } = require('../lib/probe');
const { count, load } = require('./shared');

const vectors = load('fingerprint/testdata/vectors.json');
const hosts = load('agent/bindings/testdata/hosts.json');
const { presets } = load('agent/bindings/testdata/conversation.json');
const hex = (s) => Buffer.from(s, 'hex');

const lists = {
  format: (v) => assert.deepEqual(fp.formatDevice(v.device), { string: v.string, droppedDisks: v.dropped_disks, droppedMacs: v.dropped_macs }),
  parse: (v) => {
    if (v.error) assert.throws(() => fp.parseText(v.string), { code: v.error });
    else assert.deepEqual(fp.parseText(v.string), v.parsed);
  },
  canonical: (v) => {
    assert.equal(fp.canonical(v.input_hex ? hex(v.input_hex) : v.input), v.output);
    assert.equal(fp.canonical(v.output), v.output);
  },
  hash: (v) => assert.equal(fp.hashValue(hex(v.salt), v.kind, v.value), v.hash),
  placeholder: (v) => assert.equal(fp.placeholder(v.kind, v.value), v.placeholder),
  cpu_forms: (v) => assert.deepEqual(fp.cpuForms(v.value), v.forms),
  compare: (v) => {
    const got = fp.compare(presets[v.preset], v.then.env.kind, hex(v.salt), fp.enroll(hex(v.salt), v.then), v.now);
    for (const [member, want] of Object.entries(v.want)) {
      assert.deepEqual(got[member], Array.isArray(want) ? Object.fromEntries(want.map((r) => [r.kind, r.result])) : want, member);
    }
  },
};
for (const [list, run] of Object.entries(lists)) {
  count('fingerprint', vectors[list].length);
  vectors[list].forEach((v, i) => test(`${list} ${i} ${v.name || ''}`, () => run(v)));
}

function unpack(root, h) {
  const at = (name) => {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    return path.join(root, name);
  };
  for (const [name, content] of Object.entries(h.files)) fs.writeFileSync(at(name), Buffer.from(content, 'base64'));
  for (const [name, target] of Object.entries(h.links)) fs.symlinkSync(target, at(name));
}

count('hosts', hosts.length);
for (const h of hosts) {
  test(`host ${h.name}: the same values as the reader written in Go`, () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), 'host'));
    try {
      unpack(root, h);
      const got = observe(root);
      for (const kind of ['mac', 'disk', ...(h.firmware ? ['board'] : [])]) {
        // Which disk lies behind "/" is not looked up in a recording.
        assert.deepEqual((got[kind].values || []).map((v) => v.text).sort(), [...h[kind]].sort(), kind);
      }
      assert.equal(got.env.kind === 'container', h.container);
    } finally {
      fs.rmSync(root, { recursive: true });
    }
  });
}

test('this machine is read without an error, twice the same', () => {
  const got = observe();
  for (const kind of fp.KINDS) assert.ok(['ok', 'absent', 'unreadable', 'placeholder'].includes(got[kind].state));
  assert.deepEqual(observe(), got);
});
