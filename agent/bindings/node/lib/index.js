'use strict';

const { Checker, REASON_AGENT } = require('./checker');
const { AgentError } = require('./errors');
const { Seat } = require('./seat');

module.exports = { AgentError, Checker, REASON_AGENT, Seat };
