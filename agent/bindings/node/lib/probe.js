'use strict';
// Reads this Linux machine with what the process may read: permanent MAC
// addresses, disk serials, the board's serial where readable, the CPU's model.
// What cannot be read is "unreadable" and no evidence against the machine.

const fs = require('node:fs');
const path = require('node:path');
const { MAX_VALUE, canonical, placeholder } = require('./fingerprint');
const { container, cpu, isVirtual } = require('./hostinfo');

const MANY = 4096; // more interfaces or disks than this are not looked at
const MAX_FILE = 64 << 10;
const UNREADABLE = Symbol('unreadable');

/**
 * Text of hardware: padding cut. In text that is not UTF-8 each byte outside
 * ASCII becomes '_', as it would in the canonical form.
 */
function clean(data) {
  let text = data.toString('utf8');
  if (text.includes('\ufffd')) text = data.toString('latin1').replace(/[\x80-\xff]/g, '_');
  return text.replace(/^[ \t\r\n\v\f\0]+/, '').replace(/[ \t\r\n\v\f\0]+$/, '');
}

/**
 * Files below a root: "/" or, in tests, a recorded machine, where an empty
 * PATH.unreadable marks what the recorder was not allowed to read.
 */
class Tree {
  constructor(root) {
    this.root = root;
  }

  path(name) {
    return `${this.root}/${name}`;
  }

  /** A Buffer, null when there is no such file, or UNREADABLE. */
  raw(name) {
    let fd;
    try {
      fd = fs.openSync(this.path(name), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
      const data = Buffer.alloc(MAX_FILE);
      let size = 0;
      for (let n = 1; n > 0 && size < MAX_FILE; size += n) n = fs.readSync(fd, data, size, MAX_FILE - size, null);
      return data.subarray(0, size);
    } catch (e) {
      if (e.code !== 'ENOENT' && e.code !== 'ENOTDIR') return UNREADABLE;
      return this.root && fs.existsSync(`${this.path(name)}.unreadable`) ? UNREADABLE : null;
    } finally {
      if (fd !== undefined) fs.closeSync(fd);
    }
  }

  /** Trimmed text, "" when absent or unreadable. */
  text(name) {
    const data = this.raw(name);
    return data && data !== UNREADABLE ? clean(data) : '';
  }

  exists(name) {
    return fs.lstatSync(this.path(name), { throwIfNoEntry: false }) !== undefined;
  }

  list(name) {
    return fs.readdirSync(this.path(name)).sort().slice(0, MANY);
  }

  link(name) {
    try {
      return fs.readlinkSync(this.path(name));
    } catch {
      return '';
    }
  }

  /** The path below the root to which a link leads, "" if it is none. */
  resolve(directory, name) {
    const target = this.link(`${directory}/${name}`);
    return target === '' ? '' : path.posix.resolve(`/${directory}`, target).slice(1);
  }
}

/**
 * candidates: {text ("" for absent, or UNREADABLE), rank, first}. All usable ones
 * of the lowest rank that has any become the values.
 */
function component(kind, candidates) {
  const kept = [];
  const rejected = [];
  for (const c of candidates) {
    if (c.text === UNREADABLE || (c.text && canonical(c.text).length > MAX_VALUE)) rejected.push({ state: 'unreadable' });
    else if (c.text && placeholder(kind, c.text)) rejected.push({ state: 'placeholder' });
    else if (c.text) kept.push(c);
  }
  kept.sort((a, b) => a.rank - b.rank || Number(Boolean(b.first)) - Number(Boolean(a.first)) || (a.text < b.text ? -1 : 1));
  const values = new Map();
  for (const c of kept) {
    const name = c.text.toLowerCase();
    if (c.rank === kept[0].rank && !values.has(name)) values.set(name, { text: c.text });
  }
  const has = (s) => rejected.some((r) => r.state === s);
  const state = values.size > 0 ? 'ok' : ['unreadable', 'placeholder'].find(has) || 'absent';
  return { state, values: [...values.values()], rejected };
}

/** One observation of this machine, in the form of fingerprint.compare. */
function observe(root = '') {
  const unread = { state: 'unreadable' };
  if (process.platform === 'win32' && !root) return { env: { kind: 'physical' }, mac: unread, disk: unread, board: unread, cpu: unread };
  const tree = new Tree(root);
  const boxed = container(tree);
  const device = { env: { kind: boxed ? 'container' : 'physical' } };
  for (const [kind, read] of Object.entries({ mac: readMac, disk: readDisk, board: readBoard, cpu })) {
    let part;
    try {
      part = read(tree);
    } catch {
      part = { state: 'unreadable' };
    }
    // The engine shows a part of the machine: not seeing something inside a
    // container says nothing about the machine.
    if (boxed && (part.state === 'absent' || (boxed === 'wsl' && kind === 'mac'))) part = { state: 'unreadable' };
    device[kind] = part;
  }
  return device;
}

const ADDRESS = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;

// Node has neither netlink nor ioctl, so an adapter whose address was changed is
// unreadable here, and not taken for another adapter.
function readMac(tree) {
  const found = [];
  for (const name of tree.list('sys/class/net')) {
    if (tree.text(`sys/class/net/${name}/type`) !== '1') continue; // not Ethernet
    const at = tree.resolve('sys/class/net', name);
    const device = at && tree.resolve(at, 'device');
    if (!device || `/${at}`.includes('/virtual/') || `/${device}`.includes('/virtual/') || tree.exists(`${device}/physfn`)) continue;
    const text = permanent(tree, at);
    const first = text ? parseInt(text.slice(0, 2), 16) : 0;
    if (first & 1) continue; // a group address
    found.push({ text: text || UNREADABLE, rank: (first & 2 ? 1 : 0) + (device.includes('/usb') ? 2 : 0) });
  }
  return component('mac', found);
}

// The current address only when the kernel says that it is the permanent one:
// members of a bond show the bond's, and Wi-Fi a random one.
function permanent(tree, at) {
  const slave = tree.text(`${at}/bonding_slave/perm_hwaddr`).toLowerCase();
  if (ADDRESS.test(slave)) return slave;
  const mac = tree.text(`${at}/address`).toLowerCase();
  return tree.text(`${at}/addr_assign_type`) === '0' && ADDRESS.test(mac) ? mac : '';
}

const NO_DISK = /^(?:sr|fd|mtdblock|ubiblock)|^mmcblk.*(?:boot|rpmb)|^nvme[0-9]*c/;
const REMOTE = ['tcp', 'fc', 'rdma'];

function readDisk(tree) {
  const roots = rootDisks(tree);
  const found = [];
  for (const name of tree.list('sys/block')) {
    const at = tree.resolve('sys/block', name);
    if (!at || NO_DISK.test(name)) continue;
    const full = `/${at}`;
    const subsystem = full.includes('/virtual/nvme-subsystem/');
    if (full.includes('/virtual/') && !subsystem) continue;
    if (['/pseudo_', '/usb', '/session', '/rport-', '/devices/rbd/'].some((p) => full.includes(p))) continue;
    if (tree.text(`${at}/removable`) === '1' || tree.text(`${at}/size`) === '0') continue;
    if (name.startsWith('nvme') && REMOTE.includes(tree.text(`${at}/device/transport`))) continue;
    if (subsystem) {
      const above = path.posix.dirname(at);
      if (tree.list(above).some((n) => /^nvme[0-9]+$/.test(n) && REMOTE.includes(tree.text(`${above}/${n}/transport`)))) continue;
    }
    if (name.startsWith('sd') && !['', '0'].includes(tree.text(`${at}/device/type`))) continue;
    const card = name.startsWith('mmcblk') && tree.text(`${at}/device/type`) === 'SD';
    found.push({ text: serial(tree, name, at), rank: card ? 1 : 0, first: roots.has(name) });
  }
  return component('disk', found);
}

/**
 * The serial from sysfs, else from udev's database under this disk's own number.
 * Absent in both places means that the disk has none.
 */
function serial(tree, name, at) {
  const card = name.startsWith('mmcblk');
  let places = ['serial', 'device/serial'];
  if (name.startsWith('sd')) places = ['device/vpd_pg80'];
  else if (name.startsWith('nvme')) places = ['device/serial'];
  else if (card) places = ['device/serial', 'device/cid'];
  let failed = '';
  for (const place of places) {
    let data = tree.raw(`${at}/${place}`);
    if (data === UNREADABLE) failed = UNREADABLE;
    if (data === null || data === UNREADABLE) continue;
    if (place === 'device/vpd_pg80') {
      // SPC-4, 7.8.19: four bytes of header, the last two the length.
      const size = data.length < 4 || data[1] !== 0x80 ? -1 : data.readUInt16BE(2);
      if (size < 0 || size > data.length - 4) {
        failed = UNREADABLE;
        continue;
      }
      data = data.subarray(4, 4 + size);
    }
    const text = clean(data);
    if (text && !(card && place === 'device/serial' && /^[0x]*$/.test(text))) return text;
    if (!card) break; // the file is there and empty: a negative answer
  }
  const number = tree.text(`${at}/dev`);
  if (!/^[0-9]+:[0-9]+$/.test(number)) return failed;
  const entry = tree.raw(`run/udev/data/b${number}`);
  if (entry === UNREADABLE) return UNREADABLE;
  return (entry && udev(entry)) || failed;
}

function udev(entry) {
  const found = new Map();
  for (const line of entry.toString('latin1').split('\n')) {
    const at = line.indexOf('=');
    if (at > 0 && !found.has(line.slice(0, at))) found.set(line.slice(0, at), clean(Buffer.from(line.slice(at + 1), 'latin1')));
  }
  // ID_SERIAL_SHORT of a SCSI disk is its WWN, ID_SERIAL begins with the model.
  const keys = ['E:ID_SCSI_SERIAL', 'E:ID_SERIAL_SHORT', 'E:SCSI_IDENT_SERIAL', 'E:ID_SERIAL'];
  return keys.map((k) => found.get(k)).find(Boolean) || '';
}

/** Kernel names of the disks behind "/": they come first in the order. */
function rootDisks(tree) {
  const names = new Set();
  if (tree.root) return names;
  const dev = BigInt(fs.statSync('/', { bigint: true }).dev);
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn & 0xffffffffn);
  const todo = [tree.resolve('sys/dev/block', `${major}:${minor}`)].filter(Boolean);
  for (let i = 0; i < 64 && todo.length > 0; i++) {
    let at = todo.pop();
    if (tree.exists(`${at}/partition`)) at = path.posix.dirname(at);
    const slaves = tree.exists(`${at}/slaves`) ? tree.list(`${at}/slaves`) : [];
    todo.push(...slaves.map((n) => tree.resolve(`${at}/slaves`, n)).filter(Boolean));
    if (slaves.length === 0) names.add(path.posix.basename(at));
  }
  return names;
}

/**
 * The first usable of: board, system and chassis serial (for root only), on
 * virtual machines the UUID, the device tree, EC2's instance id. Those that
 * everybody may read count beside it as other spellings.
 */
function readBoard(tree) {
  const dmi = 'sys/class/dmi/id/';
  const chain = ['board_serial', 'product_serial', 'chassis_serial'].map((f) => [dmi + f, false]);
  if (isVirtual(tree)) chain.push([`${dmi}product_uuid`, false]);
  chain.push(['sys/firmware/devicetree/base/serial-number', true], ['sys/devices/soc0/serial_number', true]);
  const amazon = ['sys_vendor', 'board_vendor'].some((f) => tree.text(dmi + f).startsWith('Amazon EC2'));
  if (amazon && /^i-[0-9a-f]{8,17}$/.test(tree.text(`${dmi}board_asset_tag`))) chain.push([`${dmi}board_asset_tag`, true]);
  const values = [];
  const states = [];
  for (const [name, readable] of chain) {
    const data = tree.raw(name);
    if (data === UNREADABLE) states.push('unreadable');
    const text = data && data !== UNREADABLE ? clean(data) : '';
    if (text === '') continue;
    if (placeholder('board', text)) states.push('placeholder');
    else if (values.length === 0 || (readable && text.toLowerCase() !== values[0].toLowerCase())) values.push(text);
  }
  if (values.length === 0 && tree.exists('sys/firmware/dmi/tables/DMI')) states.push('unreadable'); // there, for root
  const state = values.length > 0 ? 'ok' : ['unreadable', 'placeholder'].find((s) => states.includes(s)) || 'absent';
  return { state, values: values.length > 0 ? [{ text: values[0], alt: values.slice(1) }] : [], rejected: states.map((s) => ({ state: s })) };
}

module.exports = { observe };
