'use strict';
// The one spelling of payloads and envelopes (SPEC.md sections 2 and 3).

const { FormatError } = require('./errors');

const MAX_DEPTH = 8;
const STRING = /"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/g;
const STRING_NL = /"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\n])*"/g;
const OUTSIDE = /^[{}[\]:,truefals0-9]*$/;
const HEAD = /\{"payloadType":"([A-Za-z0-9./+-]{1,128})","payload":"([A-Za-z0-9+/=]{1,131072})","signatures":\[/y;
const SIGNATURE = /\{"keyid":"([A-Za-z0-9+/=._:-]{1,128})","sig":"([A-Za-z0-9+/=]{1,16384})"\}/y;

/**
 * Refuses the bytes that parsers of different languages treat differently.
 * Strings are cut out first; what is left may hold brackets, separators, digits
 * and the letters of true and false. text has one character per byte.
 */
function lexical(text, newline) {
  const rest = text.replace(newline ? STRING_NL : STRING, '');
  if (!OUTSIDE.test(rest)) throw new FormatError('payload', 'a byte or escape that is not allowed');
  let depth = 0;
  for (const c of rest) {
    if (c === '{' || c === '[') {
      if (++depth > MAX_DEPTH) throw new FormatError('payload', 'nested too deep');
    } else if (c === '}' || c === ']') depth--;
  }
  for (const n of rest.match(/[0-9]+/g) || []) {
    if (n.length > 16 || BigInt(n) > BigInt(Number.MAX_SAFE_INTEGER)) throw new FormatError('payload', 'number above 2^53-1');
  }
}

/**
 * Says whether a parsed value has exactly this shape: an object gives the
 * members in their order, an array the shape of its entries, else a typeof.
 */
function fits(value, shape) {
  if (typeof shape === 'string') return typeof value === shape;
  if (Array.isArray(shape)) return Array.isArray(value) && value.every((v) => fits(v, shape[0]));
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const names = Object.keys(shape);
  const have = Object.keys(value);
  return names.length === have.length && names.every((n, i) => n === have[i] && fits(value[n], shape[n]));
}

/**
 * Parses a payload that must be canonical, else FormatError("payload").
 * Writing it again must give the same bytes: JSON.parse keeps the last of two
 * members of one name, and the comparison finds the first one missing.
 */
function decode(payload, shape, newline = false) {
  const text = payload.toString('latin1');
  lexical(text, newline);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FormatError('payload', 'not JSON');
  }
  const want = typeof shape === 'function' ? shape(value) : shape;
  if (!fits(value, want) || JSON.stringify(value) !== text) throw new FormatError('payload', 'not canonical, or not of this kind');
  return value;
}

/** Removes the white space between tokens of a file that people may indent. */
function compact(data) {
  const text = data.toString('latin1');
  try {
    JSON.parse(text);
  } catch {
    throw new FormatError('payload', 'not JSON');
  }
  return Buffer.from(text.replace(/("(?:[^"\\]|\\[^])*")|[ \t\r\n]+/g, (_, s) => s || ''), 'latin1');
}

/** Standard base64 with padding and zero unused bits, else null. Node's own decoder skips what it does not know. */
function decode64(text) {
  const data = Buffer.from(text, 'base64');
  return data.toString('base64') === text ? data : null;
}

/** DSSE's pre-authentication encoding: the bytes that are signed. */
function pae(mediaType, payload) {
  return Buffer.concat([Buffer.from(`DSSEv1 ${mediaType.length} ${mediaType} ${payload.length} `, 'latin1'), payload]);
}

/** Parses a DSSE envelope. Nothing in it is trusted yet. */
function parseEnvelope(data, mediaType, limit) {
  if (data.length > limit) throw new FormatError('too-large', `${data.length} bytes, at most ${limit}`);
  const text = data.toString('latin1');
  let at = 0;
  const take = (pattern) => {
    pattern.lastIndex = at;
    const m = pattern.exec(text);
    if (!m) throw new FormatError('envelope');
    at = pattern.lastIndex;
    return m;
  };
  const bytes = (s) => {
    const b = decode64(s);
    if (!b || b.length === 0) throw new FormatError('envelope', 'base64');
    return b;
  };
  const head = take(HEAD);
  const payload = bytes(head[2]);
  const signatures = [];
  for (;;) {
    const one = take(SIGNATURE);
    if (signatures.length === 4) throw new FormatError('envelope');
    signatures.push({ keyid: one[1], sig: bytes(one[2]) });
    if (text[at] !== ',') break;
    at++;
  }
  if (text.slice(at) !== ']}') throw new FormatError('envelope');
  if (head[1] !== mediaType) throw new FormatError('media-type', `want ${mediaType}`);
  return { payload, signatures, message: pae(mediaType, payload) };
}

module.exports = { compact, decode, decode64, pae, parseEnvelope };
