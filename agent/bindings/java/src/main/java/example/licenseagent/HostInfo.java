package example.licenseagent;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** Class of machine and CPU model, from files that everybody may read. */
final class HostInfo {
    private static final List<String> ENGINES = List.of("kubepods", "libpod-", "/docker/", "docker-", "/lxc/", "/lxc.payload",
            "cri-containerd", "/machine.slice/machine-");
    private static final Pattern HYPERVISOR = Pattern.compile("KVM|OpenStack|KubeVirt|Amazon EC2|QEMU|VMware|VMW|innotek GmbH|VirtualBox|Xen|Bochs|"
            + "Parallels|BHYVE|Hyper-V|Apple Virtualization|Google Compute Engine|Alibaba Cloud ECS|HUAWEICLOUD|RHEV Hypervisor|oVirt");
    // Bits of CPUID leaf 1 EDX by their names in /proc/cpuinfo, from bit 0.
    private static final List<String> EDX = List.of(("fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts "
            + "acpi mmx fxsr sse sse2 ss ht tm ia64 pbe").split(" "));

    private HostInfo() {}

    /** The kind of container this runs in: "wsl", "yes" or "". */
    static String container(Tree t) {
        String release = t.text("proc/sys/kernel/osrelease").toLowerCase(Locale.ROOT);
        if (release.contains("microsoft") || release.contains("wsl")) {
            return "wsl";
        }
        String group = t.text("proc/self/cgroup");
        if (!t.text("run/systemd/container").isEmpty() || ENGINES.stream().anyMatch(group::contains)) {
            return "yes";
        }
        // The marker files survive when an image becomes a machine's disk, so
        // they count only together with a namespace of our own (the numbers of
        // the initial ones are fixed in the kernel, include/linux/proc_ns.h).
        if (!own(t, "pid", "4026531836") && !own(t, "cgroup", "4026531835")) {
            return "";
        }
        if (t.exists(".dockerenv") || t.exists("run/.containerenv") || t.exists("var/run/secrets/kubernetes.io")) {
            return "yes";
        }
        String root = "";
        for (String line : t.text("proc/self/mountinfo").split("\n")) {
            String[] fields = line.split(" ");
            root = fields.length > 5 && fields[4].equals("/") ? line : root;
        }
        return root.contains(" - overlay ") ? "yes" : "";
    }

    private static boolean own(Tree t, String kind, String initial) {
        String link = t.link("proc/self/ns/" + kind);
        return !link.isEmpty() && !link.equals(kind + ":[" + initial + "]");
    }

    /** Says whether this is a virtual machine. */
    static boolean isVirtual(Tree t) {
        String dmi = "sys/class/dmi/id/";
        String xen = t.text("sys/hypervisor/type");
        if (!xen.isEmpty() && t.text("proc/xen/capabilities").contains("control_d")) {
            return false;
        }
        String vendor = t.text(dmi + "sys_vendor");
        String product = t.text(dmi + "product_name");
        List<String> names = List.of(product, vendor, t.text(dmi + "board_vendor"), t.text(dmi + "bios_vendor"), t.text(dmi + "product_version"));
        boolean known = names.stream().anyMatch(n -> HYPERVISOR.matcher(n).lookingAt())
                || vendor.equals("Microsoft Corporation") && product.equals("Virtual Machine");
        String flags = cpuinfo(t).getOrDefault("flags", "");
        boolean bit = (" " + flags).contains(" hypervisor");
        boolean cloud = vendor.startsWith("Amazon EC2") || vendor.startsWith("Google") || product.startsWith("Google Compute Engine");
        if (known && !flags.isEmpty() && !bit && cloud) {
            return false; // the bare machines of these clouds carry the same texts
        }
        return bit || known || !xen.isEmpty() || !t.text("sys/firmware/devicetree/base/hypervisor/compatible").isEmpty();
    }

    private static Map<String, String> cpuinfo(Tree t) {
        Map<String, String> found = new LinkedHashMap<>();
        for (String line : t.text("proc/cpuinfo").split("\n")) {
            int at = line.indexOf(':');
            if (line.isBlank() && !found.isEmpty()) {
                break; // the first processor is enough
            }
            if (at > 0) {
                found.putIfAbsent(line.substring(0, at).strip(), line.substring(at + 1).strip());
            }
        }
        return found;
    }

    /**
     * The CPU id. The instruction cannot be executed from Java, and the kernel may
     * hide flags, so an id put together from /proc/cpuinfo is marked as not fully
     * read: it can match, but a difference is no evidence.
     */
    static Device.Part cpu(Tree t) {
        String midr = t.text("sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
        if (midr.matches("0x[0-9a-fA-F]{1,16}")) {
            String text = String.format("%016X", Long.parseUnsignedLong(midr.substring(2), 16));
            return new Device.Part("ok", List.of(new Device.Value(text, List.of())), false, false);
        }
        Map<String, String> info = cpuinfo(t);
        String flags = info.getOrDefault("flags", "");
        for (String name : List.of("cpu family", "model", "stepping")) {
            if (flags.isEmpty() || !info.getOrDefault(name, "").matches("[0-9]{1,4}")) {
                return Device.Part.none("unreadable");
            }
        }
        int family = Integer.parseInt(info.get("cpu family"));
        int model = Integer.parseInt(info.get("model"));
        int eax = Integer.parseInt(info.get("stepping")) | (model & 15) << 4 | model >> 4 << 16
                | Math.min(family, 15) << 8 | Math.max(family - 15, 0) << 20;
        Set<String> set = Set.copyOf(List.of(flags.split(" ")));
        int edx = 0;
        for (int i = 0; i < EDX.size(); i++) {
            edx |= set.contains(EDX.get(i)) ? 1 << i : 0;
        }
        return new Device.Part("ok", List.of(new Device.Value(String.format("%08X%08X", edx, eax), List.of())), true, false);
    }
}
