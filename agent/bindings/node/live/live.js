'use strict';
// Against real agents: live.js SCRIPT PLACES [RELAY]
// SCRIPT is agent/bindings/testdata/live.txt, PLACES a folder with own.json,
// stranger.json and mirror.json and the endpoints in places.txt; with RELAY the agent
// is asked through that program. Prints one line of passes and one of latencies.
// With the word watch for SCRIPT it prints the phase at the start and after each
// change, until the license does not run.
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { Checker } = require('..');

const lines = (file) => readFileSync(file, 'utf8').split(/\r?\n/).filter((l) => l && !l.startsWith('#')).map((l) => l.split(' '));

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

async function main([script, places, relay]) {
  const file = (name) => readFileSync(path.join(places, name));
  const sockets = Object.fromEntries(lines(path.join(places, 'places.txt')));
  const make = (place, anchor = 'own') => new Checker(file(`${anchor}.json`),
    place === 'instance' ? { instance: 'no-such-instance', relay } : { socket: sockets[place], relay });
  const said = (v) => (v.runs ? v.phase : `no: ${v.phase}`);
  const checker = make('own');
  if (script === 'watch') {
    for await (const _ of checker.watch()) {
      const v = await checker.check('studio');
      console.log(v.phase);
      if (!v.runs) return checker.close();
    }
  }
  const taken = [];
  const steps = {
    async check(place, anchor, product) {
      const k = make(place, anchor);
      return k.check(product).then(said).finally(() => k.close());
    },
    files: async (product) => said(checker.checkFiles(product, file('mirror.json'))),
    async watch() {
      for await (const change of checker.watch()) return Number.isInteger(change.serial) ? 'changed' : 'no';
      return 'ended';
    },
    async seat(user, waitMs) {
      const seat = await checker.seat('studio', { user, waitMs: Number(waitMs) });
      taken.push({ user, seat });
      return seat.held ? said(seat.verdict) : 'not held';
    },
    async close(user) {
      const k = make('own');
      const seat = await k.seat('studio', { user, waitMs: 2000 });
      k.close();
      return seat.held ? 'held' : 'ended';
    },
    async free(user) {
      for (const t of taken) if (t.user === user) t.seat.close();
    },
  };
  let [passed, failed] = [0, 0];
  for (const [step, ...args] of lines(script)) {
    const want = step === 'free' ? undefined : args.pop();
    const got = await steps[step](...args).catch((e) => (e.code && e.sentence && e.hint ? e.code + (e.reason && `/${e.reason}`) : `${e.code} without its sentences: ${e.stack}`));
    if (got === want) passed++;
    else {
      failed++;
      console.log('FAILED live:', step, ...args, 'want', want, 'got', got);
    }
  }
  console.log(`node${relay ? ' relay' : ''} live: ${passed} passed, ${failed} failed`);
  const warm = () => checker.check('studio');
  const fresh = () => steps.check('own', 'own', 'studio');
  await measure(warm, 3000);
  const cached = await measure(warm, 2000);
  const uncached = await measure(fresh, relay ? 20 : 200);
  const seat = (await measure(async () => (await checker.seat('studio', { waitMs: 2000 })).close(), relay ? 20 : 200)).split(',')[0];
  checker.close();
  console.log(`node ${process.versions.node}${relay ? ' through the relay' : ''}: cached ${cached}; uncached ${uncached}; seat ${seat}`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}

main(process.argv.slice(2));
