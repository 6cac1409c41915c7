'use strict';
const fs = require('node:fs');
const path = require('node:path');

const REPOSITORY = path.resolve(__dirname, '../../../..');
const text = (name) => fs.readFileSync(path.join(REPOSITORY, name), 'utf8');

/** A line of the table of promises. */
const report = (id, number, control) => console.log(`promise ${id}|Node: ${number}|${control}`);

/** How many cases of a kind there are, for the table of README.md. */
const count = (kind, number) => console.log(`count ${kind} ${number}`);

module.exports = { REPOSITORY, count, report, text, load: (name) => JSON.parse(text(name)) };
