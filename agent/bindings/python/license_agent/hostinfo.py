"""Class of machine and CPU model, from files that everybody may read."""

import os
import re
import sys

_ENGINES = (
    ("kubepods", "kubernetes"), ("libpod-", "podman"), ("/docker/", "docker"), ("docker-", "docker"), ("/lxc/", "lxc"),
    ("/lxc.payload", "lxc"), ("cri-containerd", "containerd"), ("/machine.slice/machine-", "systemd-nspawn"),
)
_HYPERVISORS = (
    "KVM", "OpenStack", "KubeVirt", "Amazon EC2", "QEMU", "VMware", "VMW", "innotek GmbH", "VirtualBox", "Xen", "Bochs",
    "Parallels", "BHYVE", "Hyper-V", "Apple Virtualization", "Google Compute Engine", "Alibaba Cloud ECS", "HUAWEICLOUD",
    "RHEV Hypervisor", "oVirt",
)


def container(tree):
    """The name of the container engine, "" on a machine of its own."""
    release = tree.text("proc/sys/kernel/osrelease").lower()
    if "microsoft" in release or "wsl" in release:
        return "wsl"
    manager = tree.text("run/systemd/container")
    if manager:
        return manager
    group = tree.text("proc/self/cgroup")
    for part, name in _ENGINES:
        if part in group:
            return name
    # The marker files survive when an image becomes a machine's disk, so they
    # count only together with a namespace of our own (the numbers of the
    # initial ones are fixed in the kernel, include/linux/proc_ns.h).
    if not (_own(tree, "pid", 4026531836) or _own(tree, "cgroup", 4026531835)):
        return ""
    for name, engine in ((".dockerenv", "docker"), ("run/.containerenv", "podman"), ("var/run/secrets/kubernetes.io", "kubernetes")):
        if tree.exists(name):
            return engine
    root = ""
    for line in tree.text("proc/self/mountinfo").splitlines():
        fields = line.split()
        if len(fields) > 5 and fields[4] == "/":
            root = line
    return "unknown" if " - overlay " in root else ""


def _own(tree, kind, initial):
    try:
        return os.readlink(tree.path("proc/self/ns/" + kind)) != "%s:[%d]" % (kind, initial)
    except OSError:
        return False


def is_virtual(tree):
    """Says whether this is a virtual machine."""
    dmi = "sys/class/dmi/id/"
    flags = _cpuinfo(tree).get("flags", "")
    vendor, product = tree.text(dmi + "sys_vendor"), tree.text(dmi + "product_name")
    xen = tree.text("sys/hypervisor/type")
    if xen and "control_d" in tree.text("proc/xen/capabilities"):
        return False
    names = (product, vendor, tree.text(dmi + "board_vendor"), tree.text(dmi + "bios_vendor"), tree.text(dmi + "product_version"))
    known = any(n.startswith(_HYPERVISORS) for n in names) or (vendor, product) == ("Microsoft Corporation", "Virtual Machine")
    bit = " hypervisor" in " " + flags
    if known and flags and not bit and (vendor.startswith(("Amazon EC2", "Google")) or product.startswith("Google Compute Engine")):
        return False  # the bare machines of these clouds carry the same texts
    return bit or known or bool(xen) or bool(tree.text("sys/firmware/devicetree/base/hypervisor/compatible"))


def _cpuinfo(tree):
    found = {}
    for line in tree.text("proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if not line.strip() and found:
            break  # the first processor is enough
        found.setdefault(key.strip(), value.strip())
    return found


# Bits of CPUID leaf 1 EDX by their names in /proc/cpuinfo, from bit 0.
_EDX = (
    "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe"
).split()


def cpu(tree):
    """The CPU id. The instruction cannot be executed from Python, and the kernel
    may hide flags, so an id put together from /proc/cpuinfo comes with an
    unread candidate: it can match, but a difference is no evidence."""
    text = tree.text("sys/devices/system/cpu/cpu0/regs/identification/midr_el1")
    if re.fullmatch(r"0x[0-9a-fA-F]{1,16}", text):
        n = int(text, 16)
        return {"state": "ok", "values": [{"text": "%08X%08X" % (n >> 32, n & 0xFFFFFFFF)}]}
    info = _cpuinfo(tree)
    try:
        family, model, stepping = (int(info[k]) for k in ("cpu family", "model", "stepping"))
    except (KeyError, ValueError):
        return {"state": "unreadable"}
    if sys.byteorder != "little" or not info.get("flags"):
        return {"state": "unreadable"}
    eax = stepping | (model & 15) << 4 | (model >> 4) << 16 | min(family, 15) << 8 | max(family - 15, 0) << 20
    flags = set(info["flags"].split())
    edx = sum(1 << i for i, name in enumerate(_EDX) if name in flags)
    return {"state": "ok", "values": [{"text": "%08X%08X" % (edx, eax)}], "rejected": [{"state": "unreadable"}]}
