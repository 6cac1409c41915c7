'use strict';
// Asking the agent and verifying its answer.

const crypto = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');
const { decode64 } = require('./canonical');
const { FormatError, failure, words } = require('./errors');
const fingerprint = require('./fingerprint');
const license = require('./license');
const probe = require('./probe');
const { Seat } = require('./seat');
const { Transport } = require('./transport');

const REASON_AGENT = 'agent-says-no';
const DEFAULT_TIMEOUT_MS = 5000;
const REREAD_MS = 3600 * 1000;

const machineClock = () => ({ now: Math.floor(Date.now() / 1000), monoMs: Number(process.hrtime.bigint()) / 1e6 });
const string = (v) => (typeof v === 'string' ? v : '');

/** See index.d.ts. */
class Checker {
  constructor(anchor, options = {}) {
    try {
      this.anchor = license.parseAnchor(anchor);
    } catch (e) {
      throw failure('anchor', options.language, 'anchor', e.message);
    }
    this.transport = new Transport(options);
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.observe = options.observe ?? probe.observe;
    this.rereadMs = options.rereadMs ?? REREAD_MS;
    this.clock = options.clock ?? machineClock;
    this.options = { minKeySet: options.minKeySet ?? 0, tolerance: options.tolerance ?? 0 };
    this.verifier = new license.Verifier(this.anchor);
    this.device = null;
    this.ending = new AbortController();
  }

  get closed() {
    return this.ending.signal.aborted;
  }

  close() {
    this.ending.abort();
    this.transport.close();
  }

  async check(product) {
    return this.checkUntil(product, this.after(this.timeoutMs));
  }

  /** The deadline of a call that may take so long. */
  after(ms) {
    return performance.now() + ms;
  }

  /** Both questions have one deadline. */
  async checkUntil(product, deadline) {
    let { verdict, missing } = await this.ask(product, deadline);
    if (otherMachine(verdict.device, missing)) {
      // By readings that may be old, the agent's older than this program's: both read
      // again before that is believed.
      this.device = null;
      ({ verdict, missing } = await this.ask(product, deadline, { reread: true }));
    }
    if (otherMachine(verdict.device, missing)) throw this.wrongDevice(verdict.device);
    return verdict;
  }

  /** One question: the verdict, and what the agent misses on its machine. */
  async ask(product, deadline, more = {}) {
    const nonce = crypto.randomBytes(32);
    const asked = this.clock().monoMs;
    const ask = { product, issuer: this.anchor.iss, nonce: nonce.toString('base64'), ...more };
    const answer = await this.transport.call('POST', '/v1/check', ask, deadline);
    const { now, monoMs } = this.clock();
    const parts = ['license', 'keyset', 'proof'].map((k) => answer[k] ?? '').map((p) => (typeof p === 'string' ? decode64(p) : null));
    if (parts.includes(null)) throw this.transport.fail('agent-bad-answer', 'an envelope is not base64');
    return this.trusted(() => {
      const checked = this.verifier.check({ product, nonce, now, ageMs: monoMs - asked, ...this.options }, ...parts);
      const device = this.compare(checked, license.sha256(parts[0]), monoMs);
      const said = typeof answer.verdict === 'object' && answer.verdict !== null ? answer.verdict : {};
      const own = checked.proof.runs && !checked.runs; // the agent says yes, the time rule or the key set no
      const [phase, message, nextStep] = own
        ? [checked.state, ...this.no(checked.reason)]
        : [checked.proof.phase, string(said.message), string(said.next_step)];
      const verdict = makeVerdict(checked, device, checked.runs, phase, checked.reason || (checked.runs ? '' : REASON_AGENT), message, nextStep);
      verdict.flags = Array.isArray(said.flags) ? said.flags.filter((f) => typeof f === 'string') : [];
      return { verdict, missing: checked.proof.missing };
    });
  }

  checkFiles(product, file) {
    const { now, monoMs } = this.clock();
    return this.trusted(() => {
      const files = readFiles(file);
      const checked = this.verifier.files({ product, now, ...this.options }, files.license, files.keyset);
      const device = this.compare(checked, license.sha256(files.license), monoMs);
      if (device.outcome === 'different') throw this.wrongDevice(device); // no agent here says what it misses
      let { runs, state, reason } = checked;
      let said = runs ? ['', ''] : this.no(reason);
      if (files.notice.length > 0) {
        const n = license.openNotice(checked.keyset, files.notice);
        const about = n.lic === checked.claims.lic && n.seq >= checked.claims.seq;
        if (about && ['suspended', 'revoked', 'released'].includes(n.state)) {
          [runs, state, reason, said] = [false, n.state, n.reason, this.no(n.state)]; // the reason is the vendor's own word
        }
      }
      return makeVerdict(checked, device, runs, state, reason, ...said);
    });
  }

  /** The sentence and the next step of a "no" of which no agent has said why. */
  no(reason) {
    const { message, hint } = words('not-licensed', this.transport.language, reason);
    return [message, hint];
  }

  seat(product, { user = '', waitMs = 0 } = {}) {
    return new Seat(this, product, user).take(waitMs, waitMs + this.timeoutMs, ['busy']);
  }

  /** Waits, but not after close. */
  rest(ms) {
    return sleep(ms, undefined, { signal: this.ending.signal }).catch(() => {});
  }

  async *watch({ waitMs = 30000, pause = (ms) => this.rest(ms) } = {}) {
    let [since, first, delay] = [0, true, 1000];
    while (!this.closed) {
      const ask = first ? 0 : waitMs;
      let answer;
      try {
        answer = await this.transport.call('GET', `/v1/events?since=${since}&wait=${ask / 1000}s`, undefined, this.after(ask + this.timeoutMs));
        if (!Number.isSafeInteger(answer.serial) || answer.serial < 0) throw this.transport.fail('agent-bad-answer', 'no serial');
      } catch {
        if (this.closed) return;
        // The serial begins anew with the next agent.
        [since, first] = [0, true];
        await pause(delay);
        delay = Math.min(2 * delay, 30000);
        continue;
      }
      delay = 1000;
      const changed = first || answer.missed || answer.serial !== since;
      [since, first] = [answer.serial, false];
      if (changed) yield answer;
    }
  }

  /** Runs what may find that the format does not allow something. */
  trusted(run) {
    try {
      return run();
    } catch (e) {
      if (!(e instanceof FormatError)) throw e;
      throw this.transport.fail('agent-untrusted', e.message, e.code);
    }
  }

  /** Holds this machine against a license that is verified, once per license and reading. */
  compare({ claims, keyset }, hash, monoMs) {
    this.options.minKeySet = Math.max(this.options.minKeySet, keyset.ver);
    if (!this.device || monoMs - this.readAt >= this.rereadMs) {
      Object.assign(this, { device: this.observe(), readAt: monoMs, compared: '' });
    }
    if (this.compared !== hash) {
      const { pol, env, salt, fp } = claims.dev;
      this.result = fingerprint.compare(pol, env, decode64(salt), fp, this.device);
      this.compared = hash;
    }
    return this.result;
  }

  wrongDevice({ results }) {
    return this.transport.fail('agent-wrong-device', Object.entries(results).map((p) => p.join(' ')).join(', '));
  }
}

/**
 * At least the policy's minimum of what this process can read must match; what it cannot read is no evidence. The
 * exception is a machine with replaced parts, for which the agent decides or waits: it names in its proof what is
 * missing on its own machine, and one that runs elsewhere does not miss what is lost here.
 */
function otherMachine(device, missing) {
  const short = device.strong_changed && device.matched < device.need;
  if (device.outcome !== 'different' && !short) return false;
  const lost = Object.keys(device.results).filter((kind) => ['changed', 'absent', 'placeholder'].includes(device.results[kind]));
  return !device.strong_match || lost.some((kind) => !missing.includes(kind));
}

function makeVerdict({ claims: c, keyset }, device, runs, phase, reason, message, nextStep) {
  return {
    runs, phase, reason, message, nextStep, flags: [], license: c.lic, edition: c.ed, seats: c.seats, keySet: keyset.ver,
    features: [...c.feat], limits: Object.fromEntries(c.lim.map((l) => [l.name, l.value])),
    expires: new Date(c.exp * 1000), renewBy: new Date(c.ren * 1000), graceUntil: new Date(c.grc * 1000), device,
    has(feature) {
      return c.feat.includes(feature);
    },
  };
}

function readFiles(file) {
  let value = null;
  try {
    value = JSON.parse(Buffer.from(file).toString('utf8'));
  } catch {
    // refused below
  }
  const ok = (s) => typeof s === 'string' && s !== '';
  // Null is as good as missing.
  if (!value || !ok(value.license) || !ok(value.keyset) || typeof (value.notice ?? '') !== 'string') {
    throw new FormatError('envelope', "not a file of the agent's public folder");
  }
  return { license: Buffer.from(value.license), keyset: Buffer.from(value.keyset), notice: Buffer.from(value.notice ?? '') };
}

module.exports = { Checker, REASON_AGENT };
