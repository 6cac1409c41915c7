'use strict';
// Seats: a connection that stays open and ends with the process.

const { EventEmitter } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');

const RESUME_MS = 10000; // that an agent may take to be started anew
const PAUSE_MS = 50; // between two attempts
const AGAIN = ['busy', 'agent-not-running', 'agent-timeout', 'agent-bad-answer'];

/** See index.d.ts. */
class Seat extends EventEmitter {
  constructor(checker, product, user) {
    super();
    Object.assign(this, { checker, product, user, verdict: null, taken: false, closed: false });
  }

  get held() {
    return this.taken && !this.closed && !this.checker.closed;
  }

  /** Takes the seat; codes in again are tried again. All of it, each attempt with its check, ends within patience. */
  async take(waitMs, patienceMs, again) {
    const start = performance.now();
    // An agent that is started anew sends those who wait away, and then nobody
    // listens for a moment. Who finds nobody at first need not wait.
    for (let first = true; ; first = false) {
      try {
        const { verdict, socket } = await this.attempt(Math.max(0, Math.round(waitMs - (performance.now() - start))), start + patienceMs);
        if (this.closed) {
          socket.destroy();
          return this;
        }
        Object.assign(this, { verdict, socket, taken: true });
        // The agent says nothing more: whatever comes is the end.
        socket.once('data', () => socket.destroy()).once('end', () => socket.destroy()).once('close', () => this.resume());
        if (socket.destroyed) this.resume();
        return this;
      } catch (e) {
        const passed = performance.now() - start;
        const restarts = e.code === 'agent-bad-answer' || (!first && e.code === 'agent-not-running');
        const more = (again.includes(e.code) && passed + PAUSE_MS < patienceMs) || (restarts && passed < waitMs);
        if (more) await sleep(PAUSE_MS);
        if (!more || this.closed || this.checker.closed) throw e;
      }
    }
  }

  /** Seat and check have their usual time each, but end by until. */
  async attempt(waitMs, until) {
    const { transport, anchor, timeoutMs } = this.checker;
    const by = (ms) => Math.min(until, this.checker.after(ms));
    const ask = { product: this.product, issuer: anchor.iss };
    if (this.user) ask.user = this.user;
    if (waitMs > 0) ask.wait_ms = waitMs;
    const { answer, socket } = await transport.hold('/v1/seats', ask, by(waitMs + timeoutMs));
    try {
      if (typeof answer.seat?.id !== 'string' || !answer.seat.id || !Number.isSafeInteger(answer.count?.total)) {
        throw transport.fail('agent-bad-answer', 'not the answer to a request for a seat');
      }
      const verdict = await this.checker.checkUntil(this.product, by(timeoutMs));
      if (!verdict.runs) throw transport.fail('not-licensed', verdict.reason, verdict.reason);
      if (answer.count.total > verdict.seats) {
        throw transport.fail('agent-untrusted', `the agent counts ${answer.count.total} seats, the license has ${verdict.seats}`, 'seats');
      }
      return { verdict, socket };
    } catch (e) {
      socket.destroy();
      throw e;
    }
  }

  /** The connection ended: the agent was started anew, or the license does not run any more. */
  async resume() {
    if (this.closed || this.checker.closed || this.resuming) return;
    this.resuming = true;
    try {
      await this.take(0, RESUME_MS, AGAIN);
    } catch (e) {
      this.taken = false;
      if (!this.closed && !this.checker.closed) this.emit('lost', e);
    } finally {
      this.resuming = false;
    }
  }

  close() {
    this.closed = true;
    if (this.socket) this.socket.destroy();
  }
}

module.exports = { Seat };
