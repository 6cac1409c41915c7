'use strict';

const { Checker, REASON_AGENT } = require('./checker');
const { AgentError } = require('./errors');

module.exports = { AgentError, Checker, REASON_AGENT };
