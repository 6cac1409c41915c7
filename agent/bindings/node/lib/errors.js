'use strict';
// Errors with a stable code, a sentence for people and the next step.

const MESSAGES = require('./messages.json');

/** Nothing is licensed as far as the program can tell. See index.d.ts. */
class AgentError extends Error {
  constructor(code, { cause = '', message = '', hint = '', detail = '', requestId = '' } = {}) {
    super(code + (cause ? ` (${cause})` : '') + (message ? `: ${message}` : '') + (detail ? ` [${detail}]` : ''));
    Object.assign(this, { name: 'AgentError', code, reason: cause, sentence: message, hint, detail, requestId });
  }
}

/** An error that arises in the program, with the sentences of its code. */
function failure(code, language = 'en', cause = '', detail = '') {
  const all = MESSAGES[`${code}/${cause}`] || MESSAGES[code];
  const words = all[language] || all.en;
  return new AgentError(code, { cause, detail: String(detail), ...words });
}

/**
 * A message, key or file that the format does not allow. code is the word of
 * SPEC.md section 11. It never quotes the message: a request holds an
 * authorization code.
 */
class FormatError extends Error {
  constructor(code, detail = '') {
    super(code + (detail ? `: ${detail}` : ''));
    Object.assign(this, { name: 'FormatError', code });
  }
}

module.exports = { AgentError, FormatError, failure };
