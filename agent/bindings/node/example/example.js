'use strict';
// A licensed program in miniature: example.js ANCHOR-FILE PRODUCT [SOCKET]
const { readFileSync } = require('node:fs');
const { Checker } = require('..');

async function main([anchorFile, product, socket]) {
  const checker = new Checker(readFileSync(anchorFile), { socket }); // a real product carries the anchor inside
  const verdict = await checker.check(product).finally(() => checker.close());
  if (!verdict.runs) throw new Error(`${verdict.phase} ${verdict.reason}`);
  console.log('licensed:', verdict.phase, 'features', ...verdict.features, 'until', verdict.graceUntil.toISOString().slice(0, 10));
}

main(process.argv.slice(2)).catch((e) => {
  console.error('not licensed:', e.message, e.hint || '');
  process.exitCode = 3;
});
