'use strict';
// HTTP/1.1 over the agent's Unix socket, on Windows through its relay, with a
// deadline and limits.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { AgentError, failure } = require('./errors');
const { connect, installed } = require('./relay');

const MAX_ANSWER = 1 << 20;
const MAX_HEADER = 16 << 10;
const INSTANCE = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** Where the agent of an instance listens; "" for an impossible name. */
function socketPath(instance = '', platform = process.platform) {
  if (instance !== '' && !INSTANCE.test(instance)) return '';
  const name = `license-agent${instance && `-${instance}`}`;
  return platform === 'win32' ? `\\\\.\\pipe\\${name}` : `/run/${name}/agent.sock`;
}

const PIPE = /^\\\\\.\\pipe\\[^\\/]{1,240}$/;
const usable = (p) => (process.platform === 'win32' ? PIPE.test(p) : path.posix.isAbsolute(p) && Buffer.byteLength(p) <= 107);

const problem = (code, detail) => Object.assign(new Error(detail), { agent: code });
const foreign = (detail) => problem('agent-wrong-owner', detail);
const S_ISVTX = 0o1000;

/**
 * Judges the way to the socket. Each directory must be root's or our own and
 * closed to others; a sticky one like /tmp may stand on the way, but then root
 * is not the only one who could have made what lies in it. Who could change a
 * directory could put another socket there. Node cannot ask the kernel who
 * listens: behind this check, the proof decides.
 */
function inspect(socket, expect) {
  const me = process.geteuid();
  const todo = socket.split('/').filter((p) => p !== '' && p !== '.');
  const name = todo.pop();
  let [here, rootOnly, links] = ['/', true, 0];
  while (todo.length > 0) {
    let st = fs.statSync(here);
    if (st.uid !== 0) {
      rootOnly = false;
      if (st.uid !== me && !expect.includes(st.uid)) throw foreign(`${here} belongs to uid ${st.uid}`);
    }
    if (st.mode & 0o022) {
      rootOnly = false;
      if (!(st.mode & S_ISVTX)) throw foreign(`${here} can be changed by others`);
    }
    const step = todo.shift();
    here = path.posix.join(here, step);
    if (step === '..') continue;
    st = fs.lstatSync(here);
    if (st.isSymbolicLink()) {
      if (++links > 40 || (st.uid !== 0 && st.uid !== me)) throw foreign(`the link ${here} was made by uid ${st.uid}`);
      const target = fs.readlinkSync(here);
      todo.unshift(...target.split('/').filter((p) => p !== '' && p !== '.'));
      here = target.startsWith('/') ? '/' : path.posix.dirname(here);
    } else if (!st.isDirectory()) throw problem('agent-not-running', `${here} is not a directory`);
  }
  const dir = fs.statSync(here);
  const owners = new Set([0, ...expect]);
  if (expect.length === 0) {
    owners.add(me);
    if (rootOnly) owners.add(dir.uid); // only root could make it, so its owner is root's choice
  }
  if (!owners.has(dir.uid) || dir.mode & 0o022) throw foreign(`${here} belongs to uid ${dir.uid} or can be changed by others`);
  const st = fs.lstatSync(path.posix.join(here, name));
  if (!st.isSocket() || !owners.has(st.uid)) throw foreign(`${socket} is not the agent's socket`);
}

/** Asks one instance of the agent. */
class Transport {
  constructor({ socket = '', instance = '', owners = [], language = 'en', relay = '' }) {
    this.language = language;
    this.path = socket || socketPath(instance);
    if (!usable(this.path)) throw failure('config-invalid', language, '', `socket "${socket}", instance "${instance}"`);
    this.dial = () => {
      if (relay || process.platform === 'win32') return connect(relay || installed(instance), this.path);
      inspect(this.path, owners);
      return net.connect(this.path);
    };
    this.agent = new http.Agent({ keepAlive: true, maxFreeSockets: 16 });
    this.agent.createConnection = this.dial;
    this.running = new Set();
    this.seats = new Set();
    this.closed = false;
  }

  /** Ends all connections, also those that wait for an answer. */
  close() {
    this.closed = true;
    for (const stop of this.running) stop(problem('agent-bad-answer', 'closed'));
    this.agent.destroy();
    for (const socket of this.seats) socket.destroy();
  }

  /** As call, on a connection of its own, which stays open: { answer, socket }. */
  async hold(target, body, deadline) {
    let socket;
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    agent.createConnection = () => {
      socket = this.dial();
      this.seats.add(socket.once('close', () => this.seats.delete(socket)));
      return socket;
    };
    try {
      const answer = await this.call('POST', target, body, deadline, agent);
      if (socket.destroyed) throw this.fail('agent-bad-answer', 'the connection ended');
      return { answer, socket };
    } catch (e) {
      agent.destroy();
      throw e;
    }
  }

  /** An error of this side. */
  fail(code, detail = '', cause = '') {
    return failure(code, this.language, cause, detail);
  }

  /** Sends one request and returns the parsed answer, until deadline by performance.now. Rejects with AgentError. */
  async call(method, target, body, deadline, agent = this.agent) {
    let answer;
    for (let again = true; ;) {
      if (this.closed) throw this.fail('agent-bad-answer', 'closed');
      try {
        answer = await this.exchange(method, target, body, deadline, agent);
        break;
      } catch (e) {
        if (e.code === 'EAGAIN' && performance.now() < deadline) { // the queue of callers is full
          await sleep(5);
          continue;
        }
        // The agent closed a kept connection, as after a restart.
        if (again && e.stale) {
          again = false;
          continue;
        }
        throw this.fail(e.agent || CODES[e.code] || 'agent-bad-answer', e.message);
      }
    }
    let value;
    try {
      value = JSON.parse(answer.body);
    } catch {
      value = null;
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw this.fail('agent-bad-answer', 'not a JSON object');
    if (answer.status === 200) return value;
    const error = value.error;
    if (typeof error !== 'object' || error === null || typeof error.code !== 'string' || error.code === '') {
      throw this.fail('agent-bad-answer', `status ${answer.status} without an error`);
    }
    const text = (k) => (typeof error[k] === 'string' ? error[k] : '');
    throw new AgentError(error.code, { cause: text('cause'), message: text('message'), hint: text('hint'), requestId: text('request_id') });
  }

  exchange(method, target, body, deadline, agent) {
    return new Promise((resolve, reject) => {
      const data = body === undefined ? '' : JSON.stringify(body);
      const headers = { Host: 'license-agent', 'Accept-Language': this.language };
      if (body !== undefined) Object.assign(headers, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(data) });
      let timer;
      let request;
      let received = false;
      const finish = (error, answer) => {
        clearTimeout(timer);
        this.running.delete(finish);
        if (error) {
          if (request) request.destroy();
          error.stale = Boolean(request && request.reusedSocket && !received && !error.agent);
          reject(error);
        } else resolve(answer);
      };
      this.running.add(finish);
      // One timer over everything: a time limit between bytes would let an
      // agent that drips hold the program for ever.
      timer = setTimeout(() => finish(problem('agent-timeout', 'no complete answer in time')), Math.max(deadline - performance.now(), 0));
      try {
        request = http.request({ agent, method, path: target, headers, setHost: false, maxHeaderSize: MAX_HEADER });
      } catch (e) {
        finish(e);
        return;
      }
      request.on('error', finish);
      request.on('response', (response) => {
        received = true;
        const chunks = [];
        let size = 0;
        if (Number(response.headers['content-length']) > MAX_ANSWER) finish(problem('agent-bad-answer', 'an answer over 1 MiB'));
        response.on('data', (chunk) => {
          size += chunk.length;
          if (size > MAX_ANSWER) finish(problem('agent-bad-answer', 'an answer over 1 MiB'));
          else chunks.push(chunk);
        });
        response.on('error', finish);
        response.on('end', () => finish(null, { status: response.statusCode, body: Buffer.concat(chunks).toString('utf8') }));
      });
      request.end(data);
    });
  }
}

const CODES = { ENOENT: 'agent-not-running', ENOTDIR: 'agent-not-running', ECONNREFUSED: 'agent-not-running', EACCES: 'agent-no-access', EPERM: 'agent-no-access', EAGAIN: 'agent-timeout' };

module.exports = { Transport, socketPath };
