'use strict';
// A connection through `license-agent relay`. Node opens pipes with a right that
// the agent gives to nobody (docs/adr/0012), so a child process does it.

const { spawn } = require('node:child_process');
const path = require('node:path');
const { Duplex } = require('node:stream');

const CODES = ['agent-not-running', 'agent-wrong-owner', 'agent-no-access', 'agent-timeout'];
const MAX_SAID = 64 << 10; // of the child's own words

/** The program of an installed agent. */
function installed(instance = '', env = process.env) {
  const name = `license-agent${instance && `-${instance}`}`;
  return path.win32.join(env.ProgramW6432 || env.ProgramFiles || 'C:\\Program Files', name, 'license-agent.exe');
}

/** The two standard streams of a child as one connection. */
class Relay extends Duplex {
  constructor(program, endpoint) {
    super({ allowHalfOpen: false });
    this.heard = false;
    this.said = '';
    this.child = spawn(program, ['relay', '--socket', endpoint, '--output', 'json'], { stdio: 'pipe', windowsHide: true });
    const { stdin, stdout, stderr } = this.child;
    stdout.on('data', (chunk) => {
      this.heard = true;
      if (!this.push(chunk)) stdout.pause();
    });
    stderr.on('data', (chunk) => {
      if (this.said.length < MAX_SAID) this.said += chunk;
    });
    stdin.on('error', () => {}); // the child is gone; "close" says why
    this.child.on('error', (e) => this.destroy(Object.assign(e, { agent: 'agent-not-running' })));
    this.child.on('close', () => this.over());
  }

  /** The child has ended: it heard nothing of the agent, or the agent hung up. */
  over() {
    if (this.heard) {
      this.push(null);
      if (this.readableLength === 0) this.resume(); // nobody may be reading: let it end
      return;
    }
    let code;
    try {
      ({ code } = JSON.parse(this.said).error);
    } catch {
      // it was not the agent's program
    }
    const known = CODES.includes(code) ? code : 'agent-bad-answer';
    this.destroy(Object.assign(new Error(`the relay: ${this.said.trim() || 'ended'}`), { agent: known }));
  }

  _read() {
    this.child.stdout.resume();
  }

  _write(chunk, encoding, done) {
    // http ends a request that has a body with an empty chunk, and by its length takes
    // it for written at once. On Windows the child's pipe says so later, also later than
    // the answer comes; http then frees the connection a second time, below the next
    // request, whose answer reaches nobody.
    if (chunk.length === 0) {
      done();
      return;
    }
    this.child.stdin.write(chunk, encoding, () => done()); // what fails ends the child
  }

  _destroy(error, done) {
    for (const stream of this.child.stdio) stream.destroy(); // children of the child may have them too
    this.child.kill();
    done(error);
  }

  // What http.Agent asks of an idle connection: it keeps no program alive.
  unref() {
    for (const part of [this.child, ...this.child.stdio]) part.unref();
    return this;
  }

  ref() {
    for (const part of [this.child, ...this.child.stdio]) part.ref();
    return this;
  }

  setKeepAlive() {
    return this;
  }

  setTimeout() {
    return this;
  }

  setNoDelay() {
    return this;
  }
}

/** Connects through the relay; a Duplex as net.connect gives. */
const connect = (program, endpoint) => new Relay(program, endpoint);

module.exports = { connect, installed };
