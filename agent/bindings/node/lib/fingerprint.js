'use strict';
// Which device this is, and whether two observations are the same device. An
// observation has the parts mac, disk, board and cpu, each {state, values: [{text,
// alt}], rejected: [{state}]}, and env {kind}. The rules work on bytes of UTF-8.

const crypto = require('node:crypto');
const { isPlaceholder } = require('./placeholder');

const KINDS = ['mac', 'disk', 'board', 'cpu'];
const MAX_TEXT = 5000;
const MAX_VALUE = 256;
const HEX = /^[0-9A-Fa-f]*$/;

/** A string form that the rule does not allow; code says why. */
class TextError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

/** A value (string or Buffer) as it stands in the string form. */
function canonical(value) {
  const bytes = Buffer.from(value).toString('latin1').replace(/^[ \t\n\v\f\r\0]+/, '').replace(/[ \t\n\v\f\r\0]+$/, '');
  return bytes.replace(/ +/g, ' ').replace(/[|,]|[^ -~]/g, '_').replace(/[a-z]/g, (c) => c.toUpperCase());
}

const reverse = (digits) => digits.match(/../g).reverse().join('');

/** canonical, and the one spelling per kind that makes two readers agree. */
function spell(kind, value) {
  const v = canonical(value);
  if (kind === 'mac') {
    if (v.length === 17 && v[2] === ':' && v[14] === ':') return v;
    const digits = v.replace(/[:.-]/g, '');
    if (digits.length === 12 && HEX.test(digits)) return digits.match(/../g).join(':');
  } else if (kind === 'cpu' && /^(?:[0-9A-F]{2} ){7}[0-9A-F]{2}$/.test(v)) return reverse(v.replaceAll(' ', ''));
  return v;
}

/** The spellings of one CPU id: WMI's, dmidecode's with blanks and without. */
function cpuForms(value) {
  const wmi = spell('cpu', value);
  if (wmi.length !== 16 || !HEX.test(wmi)) return [wmi];
  const packed = reverse(wmi);
  return [wmi, packed.match(/../g).join(' '), packed];
}

/** Says whether a value identifies nobody. */
const placeholder = (kind, value) => isPlaceholder(kind, spell(kind, value));

const sum = (salt, kind, spelled) =>
  crypto.createHmac('sha256', salt).update(`license-agent fingerprint v1\n${kind}\n${spelled}\n`, 'latin1').digest('hex');

/** The salted hash of one value as a license stores it. */
const hashValue = (salt, kind, value) => sum(salt, kind, spell(kind, value));

function refuse(kind, text) {
  if (text.length > MAX_VALUE) return 'unreadable';
  return isPlaceholder(kind, text) ? 'placeholder' : '';
}

/** Applies the rules to what a reader found, whatever state it claims. */
function settled(kind, part = {}) {
  const rejected = [...(part.rejected || [])];
  if (part.state !== 'ok') {
    const state = part.state === 'absent' || part.state === 'placeholder' ? part.state : 'unreadable';
    return { state, values: [], rejected };
  }
  const values = new Map();
  for (const v of part.values || []) {
    const text = spell(kind, v.text);
    if (text === '') continue;
    const bad = refuse(kind, text);
    if (bad) {
      rejected.push({ state: bad });
      continue;
    }
    const alt = (v.alt || []).filter((a) => spell(kind, a) !== '' && !refuse(kind, spell(kind, a)));
    if (values.has(text)) values.get(text).alt.push(...alt);
    else values.set(text, { text: v.text, alt });
  }
  const has = (s) => rejected.some((r) => r.state === s);
  const state = values.size > 0 ? 'ok' : ['unreadable', 'placeholder'].find(has) || 'absent';
  return { state, values: [...values.values()], rejected };
}

/** The parts of a device as a license remembers them. */
function enroll(salt, device) {
  const parts = [];
  for (const kind of KINDS) {
    const { values } = settled(kind, device[kind]);
    const texts = [...values.map((v) => v.text), ...values.flatMap((v) => v.alt)];
    const h = [...new Set(texts.map((t) => hashValue(salt, kind, t)))].slice(0, 16).sort();
    if (h.length > 0) parts.push({ kind, h });
  }
  return parts;
}

/** Compares an enrolled device with an observation. */
function compare(policy, env, salt, parts, device) {
  const profile = env === 'vm' || env === 'container' ? policy.virt : policy.phys;
  const results = {};
  for (const kind of KINDS) {
    const enrolled = new Set(parts.filter((p) => p.kind === kind).flatMap((p) => p.h));
    results[kind] = comparePart(salt, kind, enrolled, settled(kind, device[kind]));
  }
  const t = tally(profile, results);
  const available = t.enrolled - t.unreadable;
  const need = percent(profile.min, available);
  const outcome = outcomeOf(profile, t);
  const left = outcome === 'same' ? Math.max(Math.min(pointsLeft(profile, results), t.matched - need), 0) : 0;
  return {
    outcome, results, matched: t.matched, available, enrolled: t.enrolled, need, left,
    strong_match: t.strongMatch > 0, strong_changed: t.strongLost > 0, drift: t.lost,
  };
}

function comparePart(salt, kind, enrolled, now) {
  if (enrolled.size === 0) return 'not-enrolled';
  if (now.state !== 'ok') return now.state;
  for (const text of now.values.flatMap((v) => [v.text, ...v.alt])) {
    const spelled = spell(kind, text);
    if (enrolled.has(sum(salt, kind, spelled))) return 'match';
    if (kind === 'cpu' && spelled.length === 16 && HEX.test(spelled) && enrolled.has(sum(salt, kind, reverse(spelled)))) return 'match';
  }
  // A candidate that could not be read may have been the enrolled one.
  return now.rejected.some((r) => r.state === 'unreadable') ? 'unreadable' : 'changed';
}

const percent = (p, points) => Math.floor((p * points + 99) / 100);

function tally(profile, results) {
  const t = { enrolled: 0, matched: 0, unreadable: 0, strong: 0, strongMatch: 0, strongLost: 0, lost: false, requiredLost: false, requiredUnread: false };
  for (const kind of KINDS) {
    const result = results[kind];
    if (result === 'not-enrolled') continue;
    const weight = profile.w[kind];
    const required = profile.req.includes(kind);
    const strong = kind !== 'cpu' && (weight > 0 || required) ? 1 : 0;
    t.enrolled += weight;
    t.strong += strong;
    if (result === 'match') {
      t.matched += weight;
      t.strongMatch += strong;
    } else if (result === 'unreadable') {
      t.unreadable += weight;
      t.requiredUnread ||= required;
    } else {
      t.lost ||= weight > 0 || required;
      t.strongLost += strong;
      t.requiredLost ||= required;
    }
  }
  return t;
}

function outcomeOf(profile, t) {
  const available = t.enrolled - t.unreadable;
  if (t.strong === 0) return 'indeterminate';
  if (t.strongMatch === 0) return t.strongLost > 0 ? 'different' : 'indeterminate';
  if (t.requiredLost) return 'different';
  if (t.requiredUnread || available < percent(profile.floor, t.enrolled)) return 'indeterminate';
  if (t.strongLost === 0 || t.matched >= percent(profile.min, available)) return 'same';
  return t.matched + t.unreadable >= percent(profile.min, t.enrolled) ? 'indeterminate' : 'different';
}

function pointsLeft(profile, results) {
  const matching = KINDS.filter((k) => results[k] === 'match');
  let cheapest = KINDS.reduce((n, k) => n + profile.w[k], 0);
  for (let mask = 1; mask < 1 << matching.length; mask++) {
    const gone = matching.filter((_, i) => (mask >> i) & 1);
    const cost = gone.reduce((n, k) => n + profile.w[k], 0);
    const after = { ...results, ...Object.fromEntries(gone.map((k) => [k, 'changed'])) };
    if (cost < cheapest && outcomeOf(profile, tally(profile, after)) !== 'same') cheapest = cost;
  }
  return Math.max(cheapest - 1, 0);
}

/** The string form: {string, droppedDisks, droppedMacs}. */
function formatDevice(device) {
  const t = {};
  for (const k of KINDS) t[k] = settled(k, device[k]).values.map((v) => spell(k, v.text));
  const text = () => [t.mac.join(','), t.disk.join(','), t.board[0] || '', t.cpu[0] || ''].join('|');
  const dropped = { disk: 0, mac: 0 };
  for (const k of ['disk', 'mac']) {
    for (; t[k].length > 0 && text().length > MAX_TEXT; dropped[k]++) t[k].pop();
  }
  return { string: text(), droppedDisks: dropped.disk, droppedMacs: dropped.mac };
}

/** The inverse of formatDevice; throws TextError. */
function parseText(string) {
  const text = Buffer.from(string).toString('latin1');
  if (text.length > MAX_TEXT) throw new TextError('too-long');
  const parts = text.split('|');
  if (parts.length !== 4) throw new TextError('parts');
  const check = (kind, v) => {
    if (v.length > MAX_VALUE) throw new TextError('value-too-long');
    if (spell(kind, Buffer.from(v, 'latin1')) !== v) throw new TextError('not-canonical');
  };
  const list = (kind, part) => {
    const out = part === '' ? [] : part.split(',');
    out.forEach((v, i) => {
      if (v === '') throw new TextError('empty-value');
      check(kind, v);
      if (out.indexOf(v) < i) throw new TextError('duplicate');
    });
    return out;
  };
  const [macs, disks] = [list('mac', parts[0]), list('disk', parts[1])];
  check('board', parts[2]);
  check('cpu', parts[3]);
  return { macs, disks, board: parts[2], cpu: parts[3] };
}

module.exports = { KINDS, MAX_VALUE, TextError, canonical, compare, cpuForms, enroll, formatDevice, hashValue, parseText, placeholder };
