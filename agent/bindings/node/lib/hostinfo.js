'use strict';
// Class of machine and CPU model, from files that everybody may read.

const ENGINES = [
  ['kubepods', 'kubernetes'], ['libpod-', 'podman'], ['/docker/', 'docker'], ['docker-', 'docker'], ['/lxc/', 'lxc'],
  ['/lxc.payload', 'lxc'], ['cri-containerd', 'containerd'], ['/machine.slice/machine-', 'systemd-nspawn'],
];
const HYPERVISOR = new RegExp(`^(?:${[
  'KVM', 'OpenStack', 'KubeVirt', 'Amazon EC2', 'QEMU', 'VMware', 'VMW', 'innotek GmbH', 'VirtualBox', 'Xen', 'Bochs', 'Parallels',
  'BHYVE', 'Hyper-V', 'Apple Virtualization', 'Google Compute Engine', 'Alibaba Cloud ECS', 'HUAWEICLOUD', 'RHEV Hypervisor', 'oVirt',
].join('|')})`);

/** The name of the container engine, "" on a machine of its own. */
function container(tree) {
  if (/microsoft|wsl/i.test(tree.text('proc/sys/kernel/osrelease'))) return 'wsl';
  const manager = tree.text('run/systemd/container');
  if (manager) return manager;
  const group = tree.text('proc/self/cgroup');
  const engine = ENGINES.find(([part]) => group.includes(part));
  if (engine) return engine[1];
  // The marker files survive when an image becomes a machine's disk, so they
  // count only together with a namespace of our own (the numbers of the initial
  // ones are fixed in the kernel, include/linux/proc_ns.h).
  const own = (kind, initial) => {
    const link = tree.link(`proc/self/ns/${kind}`);
    return link !== '' && link !== `${kind}:[${initial}]`;
  };
  if (!own('pid', 4026531836) && !own('cgroup', 4026531835)) return '';
  for (const [name, what] of [['.dockerenv', 'docker'], ['run/.containerenv', 'podman'], ['var/run/secrets/kubernetes.io', 'kubernetes']]) {
    if (tree.exists(name)) return what;
  }
  const mounts = tree.text('proc/self/mountinfo').split('\n').filter((l) => l.split(' ')[4] === '/');
  return mounts.length > 0 && mounts[mounts.length - 1].includes(' - overlay ') ? 'unknown' : '';
}

/** Says whether this is a virtual machine. */
function isVirtual(tree) {
  const dmi = (f) => tree.text(`sys/class/dmi/id/${f}`);
  const xen = tree.text('sys/hypervisor/type');
  if (xen && tree.text('proc/xen/capabilities').includes('control_d')) return false;
  const [vendor, product] = [dmi('sys_vendor'), dmi('product_name')];
  const names = [product, vendor, dmi('board_vendor'), dmi('bios_vendor'), dmi('product_version')];
  const known = names.some((n) => HYPERVISOR.test(n)) || (vendor === 'Microsoft Corporation' && product === 'Virtual Machine');
  const { flags } = cpuinfo(tree);
  const bit = ` ${flags || ''}`.includes(' hypervisor');
  // The bare machines of these clouds carry the same texts.
  if (known && flags && !bit && (/^(?:Amazon EC2|Google)/.test(vendor) || product.startsWith('Google Compute Engine'))) return false;
  return bit || known || xen !== '' || tree.text('sys/firmware/devicetree/base/hypervisor/compatible') !== '';
}

function cpuinfo(tree) {
  const found = {};
  for (const line of tree.text('proc/cpuinfo').split('\n')) {
    if (line.trim() === '' && Object.keys(found).length > 0) break; // the first processor is enough
    const at = line.indexOf(':');
    if (at > 0) found[line.slice(0, at).trim()] ??= line.slice(at + 1).trim();
  }
  return found;
}

// Bits of CPUID leaf 1 EDX by their names in /proc/cpuinfo, from bit 0.
const EDX = ('fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ' +
  'ia64 pbe').split(' ');

/**
 * The CPU id. The instruction cannot be executed from JavaScript, and the kernel
 * may hide flags, so an id put together from /proc/cpuinfo comes with an unread
 * candidate: it can match, but a difference is no evidence.
 */
function cpu(tree) {
  const midr = tree.text('sys/devices/system/cpu/cpu0/regs/identification/midr_el1');
  if (/^0x[0-9a-fA-F]{1,16}$/.test(midr)) {
    return { state: 'ok', values: [{ text: BigInt(midr).toString(16).toUpperCase().padStart(16, '0') }] };
  }
  const info = cpuinfo(tree);
  const [family, model, stepping] = ['cpu family', 'model', 'stepping'].map((k) => (/^[0-9]+$/.test(info[k]) ? Number(info[k]) : NaN));
  if (Number.isNaN(family + model + stepping) || !info.flags) return { state: 'unreadable' };
  const eax = stepping | ((model & 15) << 4) | ((model >> 4) << 16) | (Math.min(family, 15) << 8) | (Math.max(family - 15, 0) << 20);
  const flags = new Set(info.flags.split(' '));
  const edx = EDX.reduce((n, name, i) => (flags.has(name) ? n + 2 ** i : n), 0);
  const hex = (n) => (n >>> 0).toString(16).toUpperCase().padStart(8, '0');
  return { state: 'ok', values: [{ text: hex(edx) + hex(eax) }], rejected: [{ state: 'unreadable' }] };
}

module.exports = { container, cpu, isVirtual };
