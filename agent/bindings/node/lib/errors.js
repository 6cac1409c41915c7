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

/** The sentence and the next step of a code: {message, hint}. */
function words(code, language = 'en', cause = '') {
  const all = MESSAGES[`${code}/${cause}`] || MESSAGES[code];
  return all[language] || all.en;
}

/** An error that arises in the program, with the sentences of its code. */
function failure(code, language = 'en', cause = '', detail = '') {
  return new AgentError(code, { cause, detail: String(detail), ...words(code, language, cause) });
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

module.exports = { AgentError, FormatError, failure, words };
