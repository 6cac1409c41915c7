"""Reads this Linux machine with what the process may read: permanent MAC
addresses, disk serials, the board's serial where readable, the CPU's model.

What cannot be read is "unreadable" and no evidence against the machine.
"""

import glob
import os
import re
import socket
import struct
import time

from .fingerprint import MAX_VALUE, canonical, placeholder
from .hostinfo import container, cpu, is_virtual

_INFINITE = 4096  # more interfaces or disks than this are not looked at


class Tree:
    """Files below a root: "/" or, in tests, a recorded machine, where an empty
    PATH.unreadable marks what the recorder was not allowed to read."""

    def __init__(self, root=""):
        self.root = root

    def path(self, name):
        return self.root + "/" + name

    def raw(self, name):
        """Bytes, or None when there is no such file. Raises OSError otherwise."""
        try:
            with open(self.path(name), "rb") as f:
                return f.read(64 << 10)
        except (FileNotFoundError, NotADirectoryError):
            if self.root and os.path.exists(self.path(name) + ".unreadable"):
                raise PermissionError(name) from None
            return None

    def text(self, name):
        """Trimmed text, "" when absent or unreadable."""
        try:
            return clean(self.raw(name) or b"")
        except OSError:
            return ""

    def exists(self, name):
        return os.path.lexists(self.path(name))

    def list(self, name):
        return sorted(os.listdir(self.path(name)))[:_INFINITE]

    def resolve(self, directory, name):
        """The path below the root to which a link leads, None if it is none."""
        try:
            target = os.readlink(self.path(directory + "/" + name))
        except OSError:
            return None
        return os.path.normpath(os.path.join("/" + directory, target)).lstrip("/")


def clean(data):
    """Text of hardware: padding cut, bytes that are no UTF-8 become '_'."""
    data = data.strip(b" \t\r\n\v\f\x00")
    return data.decode("utf-8", "surrogateescape").translate(_BAD)


_BAD = {c: "_" for c in range(0xDC80, 0xDD00)}


def _component(kind, candidates):
    """candidates: (text or None for absent or OSError, rank, first). All usable
    ones of the lowest rank that has any become the values."""
    kept, rejected = [], []
    for text, rank, first in candidates:
        if isinstance(text, OSError) or text and len(canonical(text)) > MAX_VALUE:
            rejected.append({"state": "unreadable"})
        elif text and placeholder(kind, text):
            rejected.append({"state": "placeholder"})
        elif text:
            kept.append((rank, not first, text))
    kept.sort()
    values, seen = [], set()
    for rank, _, text in kept:
        if rank == kept[0][0] and text.lower() not in seen:
            seen.add(text.lower())
            values.append({"text": text})
    states = [r["state"] for r in rejected]
    state = "ok" if values else "unreadable" if "unreadable" in states else "placeholder" if states else "absent"
    return {"state": state, "values": values, "rejected": rejected}


def observe(root=""):
    """One observation of this machine, in the form of fingerprint.compare."""
    if os.name == "nt" and not root:  # nothing is read there
        return {"env": {"kind": "physical"}, **{kind: {"state": "unreadable"} for kind in ("mac", "disk", "board", "cpu")}}
    tree = Tree(root)
    boxed = container(tree)
    device = {"env": {"kind": "container" if boxed else "physical"}}
    for kind, read in (("mac", _mac), ("disk", _disk), ("board", _board), ("cpu", cpu)):
        try:
            part = read(tree)
        except OSError:
            part = {"state": "unreadable"}
        # The engine shows a part of the machine: not seeing something inside
        # a container says nothing about the machine.
        if boxed and (part["state"] == "absent" or boxed == "wsl" and kind == "mac"):
            part = {"state": "unreadable"}
        device[kind] = part
    return device


def _mac(tree):
    permanent = {} if tree.root else _netlink()
    found = []
    for name in tree.list("sys/class/net"):
        base = "sys/class/net/" + name
        if tree.text(base + "/type") != "1":
            continue  # not Ethernet
        at = tree.resolve("sys/class/net", name)
        device = tree.resolve(at, "device") if at else None
        if not device or "/virtual/" in "/" + at or "/virtual/" in "/" + device or tree.exists(device + "/physfn"):
            continue
        text = permanent.get(name) or _permanent(tree, at)
        if text and int(text[:2], 16) & 1:
            continue  # a group address
        rank = (1 if text and int(text[:2], 16) & 2 else 0) + (2 if "/usb" in device else 0)
        found.append((text or OSError(), rank, False))
    return _component("mac", found)


_ADDRESS = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")


def _permanent(tree, at):
    """The current address only when the kernel says that it is the permanent
    one: members of a bond show the bond's, and Wi-Fi a random one."""
    mac = tree.text(at + "/bonding_slave/perm_hwaddr").lower()
    if _ADDRESS.fullmatch(mac):
        return mac
    mac = tree.text(at + "/address").lower()
    return mac if tree.text(at + "/addr_assign_type") == "0" and _ADDRESS.fullmatch(mac) else None


def _netlink():
    """IFLA_PERM_ADDRESS (54) by RTM_GETLINK (18); empty where it is refused."""
    found = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
            s.settimeout(1)
            # nlmsghdr, ifinfomsg, and IFLA_EXT_MASK (29) without statistics
            s.sendto(struct.pack("=IHHII16xHHI", 40, 18, 0x301, 1, 0, 8, 29, 8), (0, 0))
            end = time.monotonic() + 1
            while time.monotonic() < end:
                data, sender = s.recvfrom(64 << 10)
                if sender[0] == 0 and not _links(data, found):
                    break
    except OSError:
        pass
    return found


def _links(data, found):
    """Reads one datagram; False when it was the last."""
    while len(data) >= 16:
        size, kind = struct.unpack_from("=IH", data)
        if kind in (2, 3) or size < 16 or size > len(data):
            return False
        name = mac = b""
        at = 32
        while kind == 16 and at + 4 <= size:
            length, what = struct.unpack_from("=HH", data, at)
            if length < 4 or at + length > size:
                break
            if what == 3:
                name = data[at + 4 : at + length].split(b"\0")[0]
            elif what == 54 and length == 10:
                mac = data[at + 4 : at + length]
            at += (length + 3) & ~3
        if mac.strip(b"\0"):
            found[os.fsdecode(name)] = ":".join("%02x" % b for b in mac)
        data = data[(size + 3) & ~3 :]
    return True


_NO_DISK = re.compile(r"(?:sr|fd|mtdblock|ubiblock)|mmcblk.*(?:boot|rpmb)|nvme[0-9]*c")


def _disk(tree):
    roots = _root_disks(tree)
    found = []
    for name in tree.list("sys/block"):
        at = tree.resolve("sys/block", name)
        if not at or _NO_DISK.match(name):
            continue
        full = "/" + at
        if "/virtual/" in full and "/virtual/nvme-subsystem/" not in full:
            continue
        if any(p in full for p in ("/pseudo_", "/usb", "/session", "/rport-", "/devices/rbd/")):
            continue
        if tree.text(at + "/removable") == "1" or tree.text(at + "/size") == "0":
            continue
        remote = ("tcp", "fc", "rdma")
        if name.startswith("nvme") and tree.text(at + "/device/transport") in remote:
            continue
        if "/virtual/nvme-subsystem/" in full:
            above = glob.glob(tree.path(os.path.dirname(at)) + "/nvme*/transport")
            if any(tree.text(p[len(tree.root) + 1 :]) in remote for p in above):
                continue
        if name.startswith("sd") and tree.text(at + "/device/type") not in ("", "0"):
            continue
        rank = 1 if name.startswith("mmcblk") and tree.text(at + "/device/type") == "SD" else 0
        found.append((_serial(tree, name, at), rank, name in roots))
    return _component("disk", found)


def _serial(tree, name, at):
    """The serial from sysfs, else from udev's database under this disk's own
    number. Absent in both places means that the disk has none."""
    failed = None
    if name.startswith("sd"):
        places = ("device/vpd_pg80",)
    elif name.startswith("nvme"):
        places = ("device/serial",)
    elif name.startswith("mmcblk"):
        places = ("device/serial", "device/cid")
    else:
        places = ("serial", "device/serial")
    for place in places:
        try:
            data = tree.raw(at + "/" + place)
        except OSError as e:
            failed = e
            continue
        if data is None:
            continue
        if place == "device/vpd_pg80":
            size = int.from_bytes(data[2:4], "big")
            if len(data) < 4 or data[1] != 0x80 or size > len(data) - 4:
                failed = OSError("malformed")
                continue
            data = data[4 : 4 + size]
        text = clean(data)
        if text and not (place == "device/serial" and name.startswith("mmcblk") and not text.strip("0x")):
            return text
        if not name.startswith("mmcblk"):
            break  # the file is there and empty: a negative answer
    number = tree.text(at + "/dev")
    if not re.fullmatch(r"[0-9]+:[0-9]+", number):
        return failed
    try:
        entry = tree.raw("run/udev/data/b" + number)
    except OSError as e:
        return failed or e
    return _udev(entry or b"") or failed


def _udev(entry):
    found = {}
    for line in entry.split(b"\n"):
        key, _, value = line.partition(b"=")
        found.setdefault(key, clean(value))
    # ID_SERIAL_SHORT of a SCSI disk is its WWN, ID_SERIAL begins with the model.
    keys = (b"E:ID_SCSI_SERIAL", b"E:ID_SERIAL_SHORT", b"E:SCSI_IDENT_SERIAL", b"E:ID_SERIAL")
    return next((found[k] for k in keys if found.get(k)), "")


def _root_disks(tree):
    """Kernel names of the disks behind "/": they come first in the order."""
    if tree.root:
        return ()
    number = os.stat("/").st_dev
    at = tree.resolve("sys/dev/block", "%d:%d" % (os.major(number), os.minor(number)))
    names, todo = set(), [at] if at else []
    for _ in range(64):
        if not todo:
            break
        at = todo.pop()
        if tree.exists(at + "/partition"):
            at = os.path.dirname(at)
        slaves = tree.list(at + "/slaves") if tree.exists(at + "/slaves") else []
        todo.extend(s for s in (tree.resolve(at + "/slaves", n) for n in slaves) if s)
        if not slaves:
            names.add(os.path.basename(at))
    return names


def _board(tree):
    """The first usable of: board, system and chassis serial (for root only),
    on virtual machines the UUID, the device tree, EC2's instance id. Those that
    everybody may read count beside it as other spellings."""
    dmi = "sys/class/dmi/id/"
    chain = [(dmi + f, False) for f in ("board_serial", "product_serial", "chassis_serial")]
    if is_virtual(tree):
        chain.append((dmi + "product_uuid", False))
    chain += [("sys/firmware/devicetree/base/serial-number", True), ("sys/devices/soc0/serial_number", True)]
    if tree.text(dmi + "sys_vendor").startswith("Amazon EC2") or tree.text(dmi + "board_vendor").startswith("Amazon EC2"):
        if re.fullmatch(r"i-[0-9a-f]{8,17}", tree.text(dmi + "board_asset_tag")):
            chain.append((dmi + "board_asset_tag", True))
    values, states = [], []
    for name, readable in chain:
        try:
            text = clean(tree.raw(name) or b"")
        except OSError:
            states.append("unreadable")
            continue
        if not text:
            continue
        if placeholder("board", text):
            states.append("placeholder")
        elif not values or readable and text.lower() != values[0].lower():
            values.append(text)
    if not values and tree.exists("sys/firmware/dmi/tables/DMI"):
        states.append("unreadable")  # the table is there, for root
    state = "ok" if values else next((s for s in ("unreadable", "placeholder") if s in states), "absent")
    found = [{"text": values[0], "alt": values[1:]}] if values else []
    return {"state": state, "values": found, "rejected": [{"state": s} for s in states]}
