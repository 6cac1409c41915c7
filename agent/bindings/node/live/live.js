'use strict';
// Against a real agent: live.js ANCHOR STRANGERS-ANCHOR SOCKET PRODUCT
// Prints one line of passes and one of latencies.
const { readFileSync } = require('node:fs');
const { Checker } = require('..');
const { Transport } = require('../lib/transport');

async function measure(call, times) {
  const took = [];
  for (let i = 0; i < times; i++) {
    const start = process.hrtime.bigint();
    await call();
    took.push(Number(process.hrtime.bigint() - start) / 1000);
  }
  took.sort((a, b) => a - b);
  return `p50 ${Math.round(took[times >> 1])} us, p99 ${Math.round(took[Math.floor(times * 0.99)])} us`;
}

async function main([anchorFile, strangerFile, socket, product]) {
  const [anchor, stranger] = [anchorFile, strangerFile].map((f) => readFileSync(f));
  let [passed, failed] = [0, 0];
  const test = (name, ok) => {
    if (ok) passed++;
    else {
      failed++;
      console.log('FAILED live:', name);
    }
  };
  const code = async (a, p) => {
    const k = new Checker(a, { socket });
    try {
      return (await k.check(p)).runs;
    } catch (e) {
      return e.code;
    } finally {
      k.close();
    }
  };
  const checker = new Checker(anchor, { socket });
  const verdict = await checker.check(product);
  test('check', verdict.runs && verdict.phase === 'active' && verdict.has('mesh'));
  test('unknown product', (await code(anchor, 'no-such-product')) === 'not-activated');
  test("another vendor's anchor", (await code(stranger, product)) === 'agent-untrusted');
  const transport = new Transport({ socket });
  const files = await transport.call('GET', `/v1/license?product=${product}`, undefined, 5000);
  transport.close();
  const mirror = JSON.stringify({ license: atob(files.license), keyset: atob(files.keyset) });
  test('files', checker.checkFiles(product, mirror).runs);
  try {
    test('files for another product', !checker.checkFiles('other', mirror));
  } catch (e) {
    test('files for another product', e.code === 'agent-untrusted');
  }
  for await (const change of checker.watch()) {
    test('watch', Number.isInteger(change.serial));
    break;
  }
  await seats(checker, product, verdict.seats, test);
  const fresh = async () => {
    const k = new Checker(anchor, { socket });
    await k.check(product);
    k.close();
  };
  await measure(() => checker.check(product), 1000);
  const cached = await measure(() => checker.check(product), 2000);
  const uncached = await measure(fresh, 200);
  const seat = (await measure(async () => (await checker.seat(product, { waitMs: 2000 })).close(), 200)).split(',')[0];
  checker.close();
  console.log(`node live: ${passed} passed, ${failed} failed`);
  console.log(`node ${process.versions.node}: cached ${cached}; uncached ${uncached}; seat ${seat}`);
  process.exitCode = failed === 0 ? 0 : 1;
}

async function seats(checker, product, number, test) {
  const code = async (options) => {
    try {
      const s = await checker.seat(product, options);
      s.close();
      return s.verdict.runs;
    } catch (e) {
      return e.code;
    }
  };
  const taken = [];
  for (let i = 0; i < number; i++) taken.push(await checker.seat(product, { user: `user-${i}` }));
  test('seats: all taken', number > 1 && taken.every((s) => s.held));
  test('seats: one more', (await code({ user: 'one-more' })) === 'seats-taken');
  test('seats: the same user again', await code({ user: 'user-0' }));
  taken[0].close();
  test('seats: given back and taken by another', await code({ user: 'other', waitMs: 2000 }));
  for (const s of taken) s.close();
}

main(process.argv.slice(2));
