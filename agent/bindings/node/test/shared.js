'use strict';
const fs = require('node:fs');
const path = require('node:path');

const REPOSITORY = path.resolve(__dirname, '../../../..');
const text = (name) => fs.readFileSync(path.join(REPOSITORY, name), 'utf8');

module.exports = { text, load: (name) => JSON.parse(text(name)) };
