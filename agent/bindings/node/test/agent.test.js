'use strict';
// Genuine and fake agents on a real Unix socket.
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const test = require('node:test');
const { AgentError, Checker } = require('..');
const { pae } = require('../lib/canonical');
const { keyId } = require('../lib/keys');
const { sha256 } = require('../lib/license');
const { installed } = require('../lib/relay');
const { socketPath } = require('../lib/transport');
const { REPOSITORY, count, load, report } = require('./shared');

const talk = load('agent/bindings/testdata/conversation.json');
const { data, start, product } = talk;
const PROOF = 'application/vnd.license-agent.proof.v1+json';
const base64 = (s) => Buffer.from(s).toString('base64');

/** The proof that a side in possession of the named key makes. */
function sealProof(p, nonce, reread) {
  if (!p) return '';
  if (p.data) return data[p.data];
  const n = Buffer.from(nonce);
  if (p.flip) n[0] ^= 1;
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(talk.seeds[p.key], 'hex')]);
  const key = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const pub = crypto.createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64');
  const payload = Buffer.from(JSON.stringify({
    v: 1, nonce: n.toString('base64'), prod: p.product, sha: sha256(data[p.license]), phase: p.phase, runs: p.runs,
    missing: p.late && !reread ? [] : p.missing || [], time: p.time, boot: 'boot-1',
  }));
  const sig = crypto.sign(null, pae(PROOF, payload), key).toString('base64');
  return `{"payloadType":"${PROOF}","payload":"${payload.toString('base64')}","signatures":[{"keyid":"${keyId({ alg: 'ed25519', pub })}","sig":"${sig}"}]}`;
}

/** Status and body that the answering side of a case sends. */
function answer(c, request) {
  if (c.raw) return [c.status || 200, c.raw];
  const proof = sealProof(c.proof, Buffer.from(request.nonce, 'base64'), request.reread);
  return [200, JSON.stringify({
    license: base64(data[c.license]), keyset: base64(data[c.keyset]), proof: base64(proof),
    verdict: { phase: 'active', runs: true, message: 'Said by the agent.', flags: ['drift'] },
  })];
}

/** Listens with server in a private directory while run runs. */
async function serving(server, run) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'agent'));
  const socket = path.join(dir, 'a.sock');
  const open = new Set();
  server.on('connection', (c) => {
    open.add(c);
    c.on('error', () => {}).on('close', () => open.delete(c));
  });
  await new Promise((resolve) => server.listen(socket, resolve));
  try {
    return await run(socket, open, dir);
  } finally {
    for (const c of open) c.destroy();
    await new Promise((resolve) => server.close(resolve));
    fs.rmSync(dir, { recursive: true });
  }
}

const agent = (handle) => http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (c) => chunks.push(c)).on('end', () => {
    const said = handle(request.url, Buffer.concat(chunks).toString());
    if (!said) return; // silence
    response.writeHead(said[0], { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(said[1]) });
    response.end(said[1]);
  });
});
const says = (c) => agent((url, body) => answer(c, JSON.parse(body)));
const genuine = () => says(talk.checks[0]);

function checker(socket, c = {}, options = {}) {
  let [calls, monoMs, reads] = [0, 1000, 0];
  const observe = () => (reads++ === 0 && c.before) || c.observe || talk.checks[0].observe;
  const clock = () => {
    if (++calls % 2 === 0) monoMs += c.age_ms || 0;
    return { now: start + (c.late || 0), monoMs };
  };
  return new Checker(talk.anchor, { socket, clock, observe, ...options });
}

async function codeOf(socket, options) {
  const k = checker(socket, {}, options);
  try {
    await k.check(product);
    return '';
  } catch (e) {
    assert.ok(e instanceof AgentError, e.stack);
    sentences(e);
    return e.code;
  } finally {
    k.close();
  }
}

/** What a support engineer needs: a sentence always, the next step when this side found the error. */
function sentences(error) {
  assert.ok(error.sentence, `${error.code} without a sentence`);
  assert.ok(error.hint || !error.code.startsWith('agent-'), `${error.code} without a next step`);
}

function judged(want, error, v) {
  if (error) {
    assert.ok(error instanceof AgentError, error.stack);
    assert.equal(error.code, want.code, error.message);
    if (want.cause) assert.equal(error.reason, want.cause);
    if (want.message) assert.equal(error.sentence, want.message);
    sentences(error);
    return;
  }
  assert.equal(want.code, undefined);
  assert.deepEqual([v.runs, v.phase, v.reason, v.keySet], [want.runs, want.phase, want.reason || '', want.keyset]);
  assert.equal(v.device.outcome, want.outcome);
  if (want.message) assert.deepEqual([v.message, v.nextStep], [want.message, want.next_step]);
}

for (const c of talk.checks) {
  test(`check: ${c.name}`, async () => {
    const seen = [];
    const server = agent((url, body) => {
      seen.push({ url, ...JSON.parse(body) });
      return answer(c.first && seen.length === 1 ? { ...c, keyset: c.first } : c, seen.at(-1));
    });
    await serving(server, async (socket) => {
      const k = checker(socket, c);
      for (let i = 0; i < 2; i++) { // the second time license and key set are remembered
        const want = c.first && i === 0 ? c.want_first : c.want;
        await k.check(product).then((v) => judged(want, null, v), (e) => judged(want, e));
      }
      k.close();
    });
    assert.deepEqual(seen.map((s) => [s.url, s.product, s.issuer]), Array(2 + (c.again || 0)).fill(['/v1/check', 'studio', 'acme']));
    assert.equal(seen.filter((s) => s.reread === true).length, c.again || 0);
    assert.equal(new Set(seen.map((s) => s.nonce)).size, seen.length);
  });
}

for (const c of talk.files) {
  test(`files: ${c.name}`, () => {
    let verdict;
    try {
      verdict = checker('/nowhere', c).checkFiles(c.product, c.file);
    } catch (e) {
      judged(c.want, e);
      return;
    }
    judged(c.want, null, verdict);
  });
}

// As on Windows: through a child process of the agent's program.
const RELAY = path.join(REPOSITORY, 'bin/license-agent');

for (const c of talk.endpoints) {
  for (const relay of ['', RELAY]) {
    test(`endpoint${relay && ' through the relay'}: ${c.name}`, async () => {
      const server = net.createServer((conn) => {
        conn.once('data', () => {
          conn.write(c.say + (c.with || 'x').repeat(c.fill || 0));
          if (!c.hang) conn.end();
        });
      });
      await serving(server, async (socket) => assert.equal(await codeOf(socket, { relay, timeoutMs: c.want === 'agent-timeout' ? 400 : 20000 }), c.want));
    });
  }
}

for (const c of talk.slow) {
  test(`slow: ${c.name}`, async () => {
    const said = talk.checks.find((k) => k.name === c.answer);
    let asked = 0;
    const server = http.createServer((request, response) => {
      const chunks = [];
      request.on('data', (b) => chunks.push(b)).on('end', () => {
        if (++asked > 1) return; // silence
        const [, body] = request.url === '/v1/check' ? answer(said, JSON.parse(Buffer.concat(chunks))) : [200, JSON.stringify(golden)];
        setTimeout(() => response.writeHead(200, { 'Content-Length': Buffer.byteLength(body) }).end(body), c.delay_ms);
      });
    });
    await serving(server, async (socket) => {
      const k = checker(socket, said, { timeoutMs: c.timeout_ms });
      const began = performance.now();
      await assert.rejects(c.call === 'check' ? k.check(product) : k.seat(product), { code: c.want });
      assert.ok(performance.now() - began < c.at_most_ms, `${performance.now() - began} ms`);
      assert.equal(asked, 2);
      k.close();
    });
  });
}

test('the relay: one child for many checks, started anew when the agent hangs up', () => serving(genuine(), async (socket, open) => {
  const k = checker(socket, {}, { relay: RELAY });
  for (let i = 0; i < 3; i++) {
    assert.ok((await k.check(product)).runs);
    assert.equal(open.size, 1);
  }
  await Promise.all([...open].map((c) => new Promise((resolve) => c.on('close', resolve).destroy())));
  assert.ok((await k.check(product)).runs);
  const [last] = open;
  const gone = new Promise((resolve) => last.on('close', resolve));
  k.close();
  await gone; // the child has ended
}));

// As on Windows, where a pipe may say after the answer that the request is written: here
// when the next request has begun.
test('the relay: written is said after the answer', () => serving(genuine(), async (socket) => {
  const second = async (write, timeoutMs) => {
    const k = checker(socket, {}, { relay: RELAY, timeoutMs: 20000 });
    k.transport.agent.createConnection = () => {
      const relay = k.transport.dial();
      if (write) relay._write = write;
      const { stdin } = relay.child;
      const send = stdin.write.bind(stdin);
      stdin.write = (chunk, encoding, done) => send(chunk, encoding, () => (chunk.length === 0 ? relay.once('again', done) : done()));
      relay.ref = () => setImmediate(() => relay.emit('again'));
      return relay;
    };
    try {
      assert.ok((await k.check(product)).runs);
      k.timeoutMs = timeoutMs;
      return await k.check(product).then((v) => v.phase, (e) => e.code);
    } finally {
      k.close();
    }
  };
  assert.equal(await second(null, 20000), 'active');
  const all = function write(...args) {
    this.child.stdin.write(...args);
  };
  assert.equal(await second(all, 1000), 'agent-timeout', 'control: the empty chunk too');
}));

test('the relay: what can be wrong with it', () => serving(genuine(), async (socket, open, dir) => {
  const code = (relay, at = socket) => codeOf(at, { relay, timeoutMs: 2000 });
  assert.equal(await code(RELAY, path.join(dir, 'none.sock')), 'agent-not-running');
  fs.writeFileSync(path.join(dir, 'file'), '');
  assert.equal(await code(RELAY, path.join(dir, 'file')), 'agent-wrong-owner');
  assert.equal(await code(path.join(dir, 'no-program')), 'agent-not-running');
  const program = (name, text) => {
    fs.writeFileSync(path.join(dir, name), `#!/bin/sh\n${text}\n`, { mode: 0o700 });
    return path.join(dir, name);
  };
  assert.equal(await code(program('silent', 'exec sleep 60')), 'agent-timeout');
  assert.equal(await code(program('ends', 'exit 0')), 'agent-bad-answer');
  assert.equal(await code(program('loud', 'yes error >&2')), 'agent-timeout');
}));

test('where an installed agent lies', () => {
  const where = { ProgramFiles: 'D:\\Programs' };
  assert.equal(installed('', where), 'D:\\Programs\\license-agent\\license-agent.exe');
  assert.equal(installed('cad', {}), 'C:\\Program Files\\license-agent-cad\\license-agent.exe');
  assert.equal(socketPath('cad', 'win32'), '\\\\.\\pipe\\license-agent-cad');
});

test('control: a program that believes the answer is fooled by at least ten fakes', () => {
  const fooled = talk.checks.filter((c) => {
    try {
      return c.fake && JSON.parse(answer(c, { nonce: base64(Buffer.alloc(32)) })[1]).verdict.runs;
    } catch {
      return false;
    }
  });
  assert.ok(fooled.length >= 10);
  count('fakes', talk.checks.filter((c) => c.fake).length);
  count('endpoints', talk.endpoints.length);
  report('P14', `${talk.checks.filter((c) => c.fake).length} kinds of fake agent, 0 believed`, `a program that believes the answer is fooled by ${fooled.length}`);
});

test('verdict', () => serving(genuine(), async (socket) => {
  const k = checker(socket);
  const v = await k.check(product);
  k.close();
  assert.ok(v.has('mesh') && !v.has('none'));
  assert.deepEqual([v.edition, v.seats, v.limits, v.license], ['pro', 3, { 'max-projects': 10 }, 'lic-desk']);
  assert.deepEqual([v.message, v.flags], ['Said by the agent.', ['drift']]);
  assert.equal(v.expires.toISOString(), '2027-06-01T00:00:00.000Z');
}));

test('one connection and one reading of the machine for many checks', () => serving(genuine(), async (socket, open) => {
  let [reads, connections] = [0, 0];
  const observe = () => {
    reads++;
    return talk.checks[0].observe;
  };
  let monoMs = 0;
  const k = checker(socket, {}, { observe, clock: () => ({ now: start, monoMs }) });
  for (let i = 0; i < 5; i++) {
    await k.check(product);
    connections = Math.max(connections, open.size);
  }
  assert.deepEqual([reads, connections], [1, 1]);
  monoMs += 3600 * 1000;
  await k.check(product);
  assert.equal(reads, 2);
  k.close();
}));

test('many checks at once', () => serving(genuine(), async (socket) => {
  const k = checker(socket, {}, { clock: () => ({ now: start, monoMs: 0 }) });
  const all = await Promise.all(Array.from({ length: 50 }, () => k.check(product)));
  assert.ok(all.every((v) => v.runs));
  k.close();
}));

test('a kept connection that the agent closed is replaced', () => serving(genuine(), async (socket, open) => {
  const k = checker(socket);
  await k.check(product);
  const ended = [...open].map((c) => new Promise((resolve) => c.on('close', resolve).destroy()));
  await Promise.all(ended);
  assert.ok((await k.check(product)).runs);
  k.close();
}));

test('nobody listens', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'agent'));
  assert.equal(await codeOf(path.join(dir, 'none.sock')), 'agent-not-running');
  assert.equal(await codeOf(path.join(dir, 'no/such/dir.sock')), 'agent-not-running');
  fs.writeFileSync(path.join(dir, 'file'), '');
  assert.equal(await codeOf(path.join(dir, 'file')), 'agent-wrong-owner');
  fs.rmSync(dir, { recursive: true });
});

test('somebody else could have put the socket there', () => serving(genuine(), async (socket, open, dir) => {
  fs.chmodSync(dir, 0o777);
  assert.equal(await codeOf(socket), 'agent-wrong-owner');
  fs.chmodSync(dir, 0o700);
  fs.symlinkSync(dir, path.join(dir, 'link'));
  assert.equal(await codeOf(path.join(dir, 'link/a.sock')), '');
  if (process.geteuid() !== 0) return; // only root can give a file away
  fs.chownSync(socket, 65534, 65534);
  assert.equal(await codeOf(socket), 'agent-wrong-owner');
  assert.equal(await codeOf(socket, { owners: [65534] }), '');
  fs.chownSync(dir, 65534, 65534);
  assert.equal(await codeOf(socket), 'agent-wrong-owner');
}));

test('a full queue of callers is waited for', () => serving(genuine(), async (socket, open, dir) => {
  const narrow = path.join(dir, 'narrow.sock');
  const callers = net.createServer((c) => c.pipe(net.connect(socket)).pipe(c));
  await new Promise((resolve) => callers.listen({ path: narrow, backlog: 1 }, resolve));
  // Nobody is taken in before this turn of the event loop has ended.
  const refused = [];
  const filled = Array.from({ length: 4 }, () => net.connect(narrow).on('error', (e) => refused.push(e.code)));
  const k = checker(narrow);
  try {
    assert.ok((await k.check(product)).runs);
    assert.ok(refused.length > 0 && refused.every((code) => code === 'EAGAIN'), `control: ${refused}`);
  } finally {
    k.close();
    for (const c of filled) c.destroy();
    callers.close();
  }
}));

test('configuration', () => {
  assert.equal(socketPath(), '/run/license-agent/agent.sock');
  assert.equal(socketPath('cad'), '/run/license-agent-cad/agent.sock');
  for (const options of [{ instance: 'Bad Name' }, { instance: '../x' }, { socket: 'relative' }, { socket: `/${'x'.repeat(200)}` }]) {
    assert.throws(() => new Checker(talk.anchor, options), { code: 'config-invalid' });
  }
  for (const anchor of ['', '{}', Buffer.of(0xff), talk.anchor.replace('acme', 'ACME')]) {
    assert.throws(() => new Checker(anchor, { language: 'zh-CN' }), (e) => e.code === 'anchor' && e.sentence.includes('信任锚'));
  }
});

test('golden answers', async () => {
  for (const [name, status, want] of [['check-answer', 200, 'agent-untrusted'], ['error', 422, 'merchant-refused']]) {
    const body = JSON.stringify(load(`agent/api/testdata/${name}.json`));
    await serving(agent(() => [status, body]), async (socket) => assert.equal(await codeOf(socket), want));
  }
});

test('watch', async () => {
  const golden = load('agent/api/testdata/events.json');
  const answers = [{ serial: 5, events: [] }, { serial: 5, events: [] }, golden, null, { serial: 1, events: [] }];
  const [asked, seen, pauses] = [[], [], []];
  const server = agent((url) => {
    asked.push(url);
    const said = answers[asked.length - 1];
    return said ? [200, JSON.stringify(said)] : [500, '{}'];
  });
  await serving(server, async (socket) => {
    const k = checker(socket);
    for await (const event of k.watch({ pause: async (ms) => pauses.push(ms) })) {
      seen.push(event.serial);
      if (seen.length === 3) break;
    }
    k.close();
  });
  assert.deepEqual(seen, [5, golden.serial, 1]);
  assert.deepEqual(asked, ['0&wait=0s', '5&wait=30s', '5&wait=30s', '7&wait=30s', '0&wait=0s'].map((s) => `/v1/events?since=${s}`));
  assert.deepEqual(pauses, [1000]);
});

test('close ends a watch', async () => {
  let k;
  const server = agent((url) => {
    if (url.includes('wait=0s')) return [200, '{"serial":1,"events":[]}'];
    setImmediate(() => k.close());
    return null;
  });
  await serving(server, async (socket) => {
    k = checker(socket);
    const seen = [];
    for await (const event of k.watch()) seen.push(event.serial);
    assert.deepEqual(seen, [1]);
  });
});

test('close ends the pause of a watch', { timeout: 60000 }, async () => {
  const k = checker('/nonexistent/agent.sock');
  const { rest } = k;
  k.rest = (ms) => {
    assert.equal(ms, 1000);
    setImmediate(() => k.close());
    return rest.call(k, 3600000);
  };
  for await (const event of k.watch()) assert.fail(event);
  assert.ok(k.closed);
});

test('one byte at a time keeps no program waiting past its deadline', async () => {
  const server = net.createServer((conn) => {
    conn.write('HTTP/1.1 200 OK\r\n');
    const timer = setInterval(() => conn.write('X'), 10);
    conn.on('close', () => clearInterval(timer));
  });
  await serving(server, async (socket) => assert.equal(await codeOf(socket, { timeoutMs: 300 }), 'agent-timeout'));
});

const golden = load('agent/api/testdata/seat-answer.json');
const once = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

test('a seat is taken up again after a restart, and lost', async () => {
  let [busy, taken] = [1, false];
  const asked = [];
  const server = agent((url, body) => {
    if (url === '/v1/check') return answer(talk.checks[0], JSON.parse(body));
    asked.push(JSON.parse(body));
    if (busy-- > 0) return [503, '{"error":{"code":"busy","message":"Busy."}}'];
    if (taken) return [409, '{"error":{"code":"seats-taken","message":"All seats are taken."}}'];
    return [200, JSON.stringify({ ...golden, count: { ...golden.count, total: 3 } })];
  });
  await serving(server, async (socket, open) => {
    const k = checker(socket);
    const seat = await k.seat(product, { user: 'alice', waitMs: 1000 });
    assert.ok(seat.held && seat.verdict.runs);
    assert.deepEqual(asked.map((a) => [a.user, a.issuer, a.wait_ms > 0]), [['alice', 'acme', true], ['alice', 'acme', true]]);
    for (const c of open) c.destroy();
    await once(seat.socket, 'close');
    while (asked.length < 3 || seat.resuming) await new Promise(setImmediate);
    assert.ok(seat.held);
    taken = true;
    const lost = once(seat, 'lost');
    for (const c of open) c.destroy();
    assert.equal((await lost).code, 'seats-taken');
    assert.equal(seat.held, false);
    seat.close();
    k.close();
  });
});

const seating = (asked) => agent((url, body) => {
  if (url === '/v1/check') return answer(talk.checks[0], JSON.parse(body));
  asked.push(url);
  return [200, JSON.stringify({ ...golden, count: { ...golden.count, total: 3 } })];
});

test('a seat ends with its checker', () => {
  const asked = [];
  return serving(seating(asked), async (socket, open) => {
    const k = checker(socket);
    const seat = await k.seat(product);
    seat.on('lost', assert.fail);
    assert.ok(seat.held);
    const gone = [seat.socket, ...open].map((c) => once(c, 'close'));
    k.close();
    assert.equal(seat.held, false);
    await Promise.all(gone);
    await assert.rejects(k.check(product), { code: 'agent-bad-answer' });
    assert.equal(seat.held, false);
    assert.deepEqual([asked.length, open.size], [1, 0]);
  });
});

test('a seat that is closed while it is taken up again is given back', () => {
  let seat;
  const server = seating({ push: () => seat && seat.close(), length: 0 });
  return serving(server, async (socket, open) => {
    const k = checker(socket);
    seat = await k.seat(product);
    for (const c of open) c.destroy();
    await once(seat.socket, 'close');
    while (seat.resuming) await new Promise(setImmediate);
    for (const s of k.transport.seats) await once(s, 'close');
    assert.equal(seat.held, false);
    k.close();
  });
});

test('the wait for a seat is measured by a clock that nobody sets', { timeout: 60000 }, (t) => serving(net.createServer((c) => c.end()), async (socket) => {
  t.mock.method(Date, 'now', () => start * 1000);
  const k = checker(socket);
  await assert.rejects(k.seat(product, { waitMs: 100 }), { code: 'agent-bad-answer' });
  k.close();
}));

test('a seat that proves nothing is given back', async () => {
  for (const [name, total, want] of [['genuine', 4, ['agent-untrusted', 'seats']], ['frozen', 3, ['not-licensed', 'agent-says-no']]]) {
    const server = agent((url, body) => (url === '/v1/check' ? answer(talk.checks.find((c) => c.name === name), JSON.parse(body))
      : [200, JSON.stringify({ ...golden, count: { ...golden.count, total } })]));
    await serving(server, async (socket) => {
      const k = checker(socket);
      await assert.rejects(k.seat(product), { code: want[0], reason: want[1] });
      for (const s of k.transport.seats) await once(s, 'close');
      k.close();
    });
  }
  // The wait for a seat ends with the checker, and does not begin where nobody listens.
  let asked = 0;
  const silent = http.createServer(() => {
    asked++;
    k.close();
  });
  let k;
  await serving(silent, async (socket) => {
    k = checker(socket);
    await assert.rejects(k.seat(product, { waitMs: 1000 }), { code: 'agent-bad-answer' });
    assert.equal(asked, 1);
    const began = Date.now();
    await assert.rejects(checker(`${socket}-nobody`).seat(product, { waitMs: 60000 }), { code: 'agent-not-running' });
    assert.ok(Date.now() - began < 60000);
  });
});
