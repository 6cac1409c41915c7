"""Values that identify nobody: firmware defaults and shared addresses.

The lists are those of the Go package fingerprint; the shared vectors hold both
against each other.
"""

_TEXTS = frozenset("""
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
123456781234567890abcddeefaabbcc 11111111222233334444555555555555 00112233445566778899aabbccddeeff
""".split())
_PHRASES = (
    "filledby", "fillby", "tobefilled", "byoem", "defaultstring", "serialnumber",
    "invalid", "notspecified", "unspecified", "assettag", "partnumber",
)
_PREFIXES = frozenset(
    " sn mb sys bsn board ppn pn asset ser serial oem no system chassis".split(" ")
)
_MACS = frozenset("""
FE:FF:FF:FF:FF:FF 20:41:53:59:4E:FF 33:50:6F:45:30:30 50:50:54:50:30:30 24:B6:20:52:41:53 26:0F:20:52:41:53
02:00:4E:43:50:49 02:80:37:EC:02:00 00:A0:C6:00:00:00 00:0B:CA:FE:00:00 00:20:07:01:16:06 00:0B:0E:0F:00:ED
ED:0B:00:00:E0:00 00:E0:4C:53:44:58 04:4B:80:80:80:03 04:4B:80:80:80:04 04:4B:80:80:80:F0 0C:5B:8F:27:9A:64
E2:E6:16:20:0A:35 D2:0A:2D:A0:04:BE D2:6B:25:2F:2C:E7 0A:00:27:00:00:00 00:50:56:C0:00:01 00:50:56:C0:00:02
00:50:56:C0:00:08 52:54:00:12:34:56 02:FC:00:00:00:01 AA:FC:00:00:00:01 06:00:AC:10:00:02 5C:BB:F6:9E:EE:FA
""".split())
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_HEX = frozenset("0123456789ABCDEFabcdef")


def is_placeholder(kind, spelled):
    """Judges a value in its canonical spelling."""
    if kind == "mac":
        return _mac(spelled)
    low = spelled.lower()
    return kind == "disk" and _disk(low) or _text(low)


def _bare(low):
    return "".join(c for c in low if c in _LETTERS or c in _DIGITS)


def _only(s, allowed):
    return not s.strip(allowed)


def _text(low):
    bare = _bare(low)
    return (
        not bare or _only(bare, bare[0]) or _only(bare, "x0") or _only(bare, "01")
        or any(p in bare for p in _PHRASES) or "o.e.m" in low
        or _sequence(bare) or bare.rstrip(_DIGITS) in ("sernum", "assettagnum", "oemdefine", "partnum", "oemdefaultstring")
        or bare in _TEXTS
    )


def _sequence(bare):
    digits = bare.lstrip(_LETTERS)
    prefix, enough = bare[: len(bare) - len(digits)], 5
    if prefix not in _PREFIXES:
        if len(prefix) > 1:
            return False
        enough = 9
    run = max(_run(digits, 1), _run(digits, -1))
    rest = digits[run:]
    return run >= enough and (not rest or run >= 9 and _only(rest, "0"))


def _run(s, step):
    for i in range(1, len(s)):
        was, now = s[i - 1], s[i]
        if was in _DIGITS and now == str((int(was) + step) % 10):
            continue
        if step > 0 and (was == "9" and now == "a" or "a" <= was < "f" and ord(now) == ord(was) + 1):
            continue
        return i
    return len(s)


def _disk(low):
    bare = _bare(low)
    name = low
    for p in ("0google_persistentdisk_", "google-"):
        if name.startswith(p):
            name = name[len(p) :]
    return (
        low.startswith("qm000") and len(low) == 7 and _only(low[5:], _DIGITS)
        or low.startswith(("lxd_", "incus_"))
        or low.startswith("drive-") and low[6:].startswith(("scsi", "virtio", "sata", "ide", "efidisk"))
        or name.startswith(("persistent-disk-", "local-ssd-", "local-nvme-ssd-"))
        or low in ("nvme_card", "nvme_card-pd", "overlayblk", "rootfs")
        or len(bare) >= 10 and _only(bare[:-2], "0") and _only(bare, _DIGITS)
    )


def _mac(mac):
    pairs = mac.split(":")
    if len(mac) != 17 or len(pairs) != 6 or any(len(p) != 2 or not _HEX.issuperset(p) for p in pairs):
        return True
    octets = [int(p, 16) for p in pairs]
    return (
        len(set(octets)) == 1 or any(octets.count(o) >= 5 for o in (0x00, 0x88, 0xFF))
        or mac in _MACS or mac.startswith("02:42:AC:11:00:") or octets[0] & 1 == 1
    )
