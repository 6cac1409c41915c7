'use strict';
// Values that identify nobody: firmware defaults and shared addresses. The lists
// are those of the Go package fingerprint; the shared vectors hold both against
// each other.

const words = (s) => new Set(s.trim().split(/\s+/));
const TEXTS = words(`
none na nil null nullstring nostring empty blank void nothing unknown unknow unkn uknown undefined error reserved
notavailable notapplicable notpresent notprovided notsettable notset notsupported notsupportedbycpu doesnotexist
noassetinformation badindex outofspec nodimm noserial tbd tba todo 00h
sn serial serialno serialnum systemserialnumb oemserial pcaserial mbserial boardserial systemproductname
systemmanufacturer systemversion systemname systemsku chassisversion chassismanufacture chassismanufacturer
baseboardversion baseboardproductname baseboardmanufacturer sku skunumber type1productconfigid type1family
type2boardversion type2boardproductname smbiostype4partnumber mkfoemsmbiosdefaultstring
customer model vendor device generic manufacturer productname
oem dell eval iatpass square tulipcomputers default revx0x xxx123xaba 03142563 sn123456fvgv3i0b8o5n6n7k
0123456789abcdef 123456789000 amazonec2 77837084326590858269328677
03000200040005000006000700080009 00020003000400050006000700080009
6ab5b300538d10149fb5b0684d007b53 00b3b56a8d5314109fb5b0684d007b53
01010101010101010101010101010101 fefefefefefefefefefefefefefefefe
123456781234567890abcddeefaabbcc 11111111222233334444555555555555 00112233445566778899aabbccddeeff`);
const PHRASES = /filledby|fillby|tobefilled|byoem|defaultstring|serialnumber|invalid|notspecified|unspecified|assettag|partnumber/;
const PREFIXES = words('sn mb sys bsn board ppn pn asset ser serial oem no system chassis').add('');
const DUMMIES = words('sernum assettagnum oemdefine partnum oemdefaultstring');
const MACS = words(`
FE:FF:FF:FF:FF:FF 20:41:53:59:4E:FF 33:50:6F:45:30:30 50:50:54:50:30:30 24:B6:20:52:41:53 26:0F:20:52:41:53
02:00:4E:43:50:49 02:80:37:EC:02:00 00:A0:C6:00:00:00 00:0B:CA:FE:00:00 00:20:07:01:16:06 00:0B:0E:0F:00:ED
ED:0B:00:00:E0:00 00:E0:4C:53:44:58 04:4B:80:80:80:03 04:4B:80:80:80:04 04:4B:80:80:80:F0 0C:5B:8F:27:9A:64
E2:E6:16:20:0A:35 D2:0A:2D:A0:04:BE D2:6B:25:2F:2C:E7 0A:00:27:00:00:00 00:50:56:C0:00:01 00:50:56:C0:00:02
00:50:56:C0:00:08 52:54:00:12:34:56 02:FC:00:00:00:01 AA:FC:00:00:00:01 06:00:AC:10:00:02 5C:BB:F6:9E:EE:FA`);

/** Judges a value in its canonical spelling. */
function isPlaceholder(kind, spelled) {
  if (kind === 'mac') return macPlaceholder(spelled);
  const low = spelled.toLowerCase();
  return (kind === 'disk' && diskPlaceholder(low)) || textPlaceholder(low);
}

const bareOf = (low) => low.replace(/[^0-9a-z]/g, '');

function textPlaceholder(low) {
  const bare = bareOf(low);
  return bare === '' || new Set(bare).size === 1 || /^[x0]*$/.test(bare) || /^[01]*$/.test(bare) ||
    PHRASES.test(bare) || low.includes('o.e.m') || sequence(bare) || DUMMIES.has(bare.replace(/[0-9]+$/, '')) || TEXTS.has(bare);
}

function sequence(bare) {
  const digits = bare.replace(/^[a-z]+/, '');
  const prefix = bare.slice(0, bare.length - digits.length);
  let enough = 5;
  if (!PREFIXES.has(prefix)) {
    if (prefix.length > 1) return false;
    enough = 9;
  }
  const run = Math.max(runLength(digits, 1), runLength(digits, -1));
  const rest = digits.slice(run);
  return run >= enough && (rest === '' || (run >= 9 && /^0*$/.test(rest)));
}

function runLength(s, step) {
  for (let i = 1; i < s.length; i++) {
    const [was, is] = [s[i - 1], s[i]];
    if (was >= '0' && was <= '9' && is === String((Number(was) + step + 10) % 10)) continue;
    if (step > 0 && ((was === '9' && is === 'a') || (was >= 'a' && was < 'f' && is.charCodeAt(0) === was.charCodeAt(0) + 1))) continue;
    return i;
  }
  return s.length;
}

function diskPlaceholder(low) {
  const bare = bareOf(low);
  const name = low.replace(/^0google_persistentdisk_/, '').replace(/^google-/, '');
  return /^qm000[0-9]{2}$/.test(low) || /^(?:lxd_|incus_)/.test(low) || /^drive-(?:scsi|virtio|sata|ide|efidisk)/.test(low) ||
    /^(?:persistent-disk-|local-ssd-|local-nvme-ssd-)/.test(name) || /^(?:nvme_card|nvme_card-pd|overlayblk|rootfs)$/.test(low) ||
    (bare.length >= 10 && /^0*[0-9]{2}$/.test(bare));
}

function macPlaceholder(mac) {
  if (!/^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}$/.test(mac)) return true;
  const octets = mac.split(':').map((p) => parseInt(p, 16));
  const count = (n) => octets.filter((o) => o === n).length;
  return new Set(octets).size === 1 || [0, 0x88, 0xff].some((n) => count(n) >= 5) ||
    MACS.has(mac) || mac.startsWith('02:42:AC:11:00:') || (octets[0] & 1) === 1;
}

module.exports = { isPlaceholder };
