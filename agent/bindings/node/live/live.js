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
  const fresh = async () => {
    const k = new Checker(anchor, { socket });
    await k.check(product);
    k.close();
  };
  await measure(() => checker.check(product), 1000);
  const cached = await measure(() => checker.check(product), 2000);
  const uncached = await measure(fresh, 200);
  checker.close();
  console.log(`node live: ${passed} passed, ${failed} failed`);
  console.log(`node ${process.versions.node}: cached ${cached}; uncached ${uncached}`);
  process.exitCode = failed === 0 ? 0 : 1;
}

main(process.argv.slice(2));
