/// <reference types="node" />
import { EventEmitter } from 'node:events';

/**
 * What was verified. Everything ends in the vendor's root keys, but message, nextStep and flags, which are the agent's words;
 * where the agent says yes and the own time rule no, and from files, the first two are the words of this package.
 */
export interface Verdict {
  /** The answer. */
  runs: boolean;
  /** active, expiring, grace, suspended, expired, revoked, …; by the own time rule and from files: valid, valid-stale, not-valid. */
  phase: string;
  /** A stable code when runs is false. */
  reason: string;
  message: string;
  nextStep: string;
  flags: string[];
  /** The license id. */
  license: string;
  edition: string;
  seats: number;
  /** Version of the vendor's key set; see Options.minKeySet. */
  keySet: number;
  features: string[];
  limits: Record<string, number>;
  /** End of the entitlement. */
  expires: Date;
  renewBy: Date;
  graceUntil: Date;
  device: Comparison;
  /** Says whether the license grants a feature. */
  has(feature: string): boolean;
}

/** The enrolled device against this machine, as this process could read it. */
export interface Comparison {
  outcome: 'same' | 'different' | 'indeterminate';
  results: Record<'mac' | 'disk' | 'board' | 'cpu', 'match' | 'changed' | 'absent' | 'unreadable' | 'placeholder' | 'not-enrolled'>;
  matched: number;
  available: number;
  enrolled: number;
  need: number;
  left: number;
  strong_match: boolean;
  strong_changed: boolean;
  drift: boolean;
}

/** Nothing is licensed as far as the program can tell. */
export class AgentError extends Error {
  /**
   * Stable: agent-not-running, agent-timeout, agent-wrong-owner, agent-no-access, agent-bad-answer,
   * agent-untrusted, agent-wrong-device, not-licensed (a seat of a license that does not run), config-invalid, anchor, or a code that the agent sent, such as not-activated.
   */
  readonly code: string;
  /** Behind agent-untrusted the word of SPEC.md section 11 (nonce, signature, …), or the merchant's code. */
  readonly reason: string;
  /** A sentence for people. */
  readonly sentence: string;
  /** The next step. */
  readonly hint: string;
  /** For a log. */
  readonly detail: string;
  readonly requestId: string;
}

export interface Part {
  state: 'ok' | 'absent' | 'unreadable' | 'placeholder';
  values?: { text: string; alt?: string[] }[];
  rejected?: { state?: string }[];
}

export interface Device {
  mac: Part;
  disk: Part;
  board: Part;
  cpu: Part;
  env: { kind: string };
}

export interface Options {
  /** Path of the agent's socket. */
  socket?: string;
  /**
   * The agent's program, through which it is asked (`license-agent relay`): for a pipe of Windows, which Node cannot open
   * with the rights that the agent gives. Default there: the installed program; elsewhere the socket is asked directly.
   */
  relay?: string;
  /** Name of another instance of the agent. */
  instance?: string;
  /** Further user ids that the agent may run as. */
  owners?: number[];
  /** Bounds each call; 5000. */
  timeoutMs?: number;
  language?: 'en' | 'zh-CN';
  /** The highest Verdict.keySet that the program remembers from earlier runs; a Checker remembers what it has verified. */
  minKeySet?: number;
  /** Seconds past its expiry that a key set is still accepted; 0: 400 days. */
  tolerance?: number;
  /** Reads this machine; the default reads what this process may. */
  observe?: () => Device;
  /** How long a reading is used; an hour. */
  rereadMs?: number;
  clock?: () => { now: number; monoMs: number };
}

/** A change notice of the agent. It proves nothing: check again. */
export interface Events {
  serial: number;
  missed?: boolean;
  events: { serial: number; time: number; kind: string; issuer?: string; product?: string; phase?: string; runs: boolean; reason?: string }[];
}

/**
 * One concurrent use. It ends with close() or with this process, whatever way that ends; there is no heartbeat. When the
 * agent is started anew the same seat is taken up again by itself. A seat alone does not keep the process alive.
 */
export class Seat extends EventEmitter {
  /** What was verified when the seat was taken. */
  readonly verdict: Verdict;
  /** False when it was lost, and after close() of it or of its checker. */
  readonly held: boolean;
  /** The seat is gone although nobody closed it. */
  on(event: 'lost', listener: (why: AgentError) => void): this;
  /** Gives the seat back. */
  close(): void;
}

/** Asks whether a product may run and verifies the answer by itself. */
export class Checker {
  /** anchor is the vendor's trust anchor file, built into the program. Throws AgentError "anchor" or "config-invalid". */
  constructor(anchor: string | Uint8Array, options?: Options);
  /** Asks for a fresh proof and verifies key set, license, proof, this machine and time. Rejects with AgentError. */
  check(product: string): Promise<Verdict>;
  /** Verifies a file of the agent's public folder. Weaker: no proof that the agent here holds the device key. */
  checkFiles(product: string, file: string | Uint8Array): Verdict;
  /**
   * Takes one of the concurrent uses that the license allows on this machine, then checks as check does. user counts a
   * named user instead of this process; waitMs is how long to stand in the queue. Rejects with the codes of check and
   * seats-taken, not-licensed, busy.
   */
  seat(product: string, options?: { user?: string; waitMs?: number }): Promise<Seat>;
  /** Yields at the start and at each change, waits for an agent that does not run; close() ends it. */
  watch(options?: { waitMs?: number; pause?: (ms: number) => Promise<unknown> }): AsyncGenerator<Events, void, void>;
  /**
   * Ends all connections, and with them a watch and every seat. It cannot be used any more: a call rejects with AgentError,
   * a seat says that it is not held.
   */
  close(): void;
}

/** The reason beside a verified proof in which the agent says no; see Verdict.phase. */
export const REASON_AGENT: 'agent-says-no';
