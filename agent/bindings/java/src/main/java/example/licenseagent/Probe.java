package example.licenseagent;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Reads this Linux machine with what the process may read: permanent MAC
 * addresses, disk serials, the board's serial where readable, the CPU's model.
 * What cannot be read is "unreadable" and no evidence against the machine.
 */
final class Probe {
    private static final Pattern ADDRESS = Pattern.compile("[0-9a-f]{2}(?::[0-9a-f]{2}){5}");
    private static final Pattern NO_DISK = Pattern.compile("(?:sr|fd|mtdblock|ubiblock).*|mmcblk.*(?:boot|rpmb).*|nvme[0-9]*c.*");
    private static final List<String> REMOTE = List.of("tcp", "fc", "rdma");
    private final Tree tree;

    private Probe(Tree tree) {
        this.tree = tree;
    }

    /** A place where a value might stand: text is "" for absent, null for unreadable. */
    private record Candidate(String text, int rank, boolean first) {}

    private interface Read {
        Device.Part part() throws IOException;
    }

    /** One observation of the machine below root; null for this machine. */
    static Device observe(Path root) {
        if (root == null && Endpoint.WINDOWS) { // nothing is read there
            Device.Part unread = Device.Part.none("unreadable");
            return new Device(unread, unread, unread, unread, "physical");
        }
        Probe p = new Probe(new Tree(root));
        String boxed = HostInfo.container(p.tree);
        return new Device(part(p::mac, boxed, boxed.equals("wsl")), part(p::disk, boxed, false), part(p::board, boxed, false),
                part(() -> HostInfo.cpu(p.tree), boxed, false), boxed.isEmpty() ? "physical" : "container");
    }

    // The engine shows a part of the machine: not seeing something inside a
    // container says nothing about the machine.
    private static Device.Part part(Read read, String boxed, boolean hidden) {
        try {
            Device.Part part = read.part();
            return hidden || !boxed.isEmpty() && part.state().equals("absent") ? Device.Part.none("unreadable") : part;
        } catch (IOException | RuntimeException e) {
            return Device.Part.none("unreadable");
        }
    }

    /** All usable candidates of the lowest rank that has any become the values. */
    private static Device.Part component(String kind, List<Candidate> candidates) {
        boolean unread = false;
        boolean placeholder = false;
        List<Candidate> kept = new ArrayList<>();
        for (Candidate c : candidates) {
            if (c.text == null || Fingerprint.canonical(c.text).length() > Fingerprint.MAX_VALUE) {
                unread = true;
            } else if (!c.text.isEmpty() && Fingerprint.placeholder(kind, c.text)) {
                placeholder = true;
            } else if (!c.text.isEmpty()) {
                kept.add(c);
            }
        }
        kept.sort(Comparator.comparingInt(Candidate::rank).thenComparing(c -> !c.first).thenComparing(Candidate::text));
        Map<String, Device.Value> values = new LinkedHashMap<>();
        for (Candidate c : kept) {
            if (c.rank == kept.get(0).rank) {
                values.putIfAbsent(c.text.toLowerCase(Locale.ROOT), new Device.Value(c.text, List.of()));
            }
        }
        String state = !values.isEmpty() ? "ok" : unread ? "unreadable" : placeholder ? "placeholder" : "absent";
        return new Device.Part(state, List.copyOf(values.values()), unread, placeholder);
    }

    // Java has neither netlink nor ioctl, so an adapter whose address was
    // changed is unreadable here, and not taken for another adapter.
    private Device.Part mac() throws IOException {
        List<Candidate> found = new ArrayList<>();
        for (String name : tree.list("sys/class/net")) {
            if (!tree.text("sys/class/net/" + name + "/type").equals("1")) {
                continue; // not Ethernet
            }
            String at = tree.resolve("sys/class/net", name);
            String device = at.isEmpty() ? "" : tree.resolve(at, "device");
            if (device.isEmpty() || ("/" + at).contains("/virtual/") || ("/" + device).contains("/virtual/") || tree.exists(device + "/physfn")) {
                continue;
            }
            String text = permanent(at);
            int first = text == null ? 0 : Integer.parseInt(text.substring(0, 2), 16);
            if ((first & 1) == 0) { // else a group address
                found.add(new Candidate(text, ((first & 2) != 0 ? 1 : 0) + (device.contains("/usb") ? 2 : 0), false));
            }
        }
        return component("mac", found);
    }

    // The current address only when the kernel says that it is the permanent
    // one: members of a bond show the bond's, and Wi-Fi a random one.
    private String permanent(String at) {
        String slave = tree.text(at + "/bonding_slave/perm_hwaddr").toLowerCase(Locale.ROOT);
        if (ADDRESS.matcher(slave).matches()) {
            return slave;
        }
        String mac = tree.text(at + "/address").toLowerCase(Locale.ROOT);
        return tree.text(at + "/addr_assign_type").equals("0") && ADDRESS.matcher(mac).matches() ? mac : null;
    }

    private Device.Part disk() throws IOException {
        Set<String> roots = rootDisks();
        List<Candidate> found = new ArrayList<>();
        for (String name : tree.list("sys/block")) {
            String at = tree.resolve("sys/block", name);
            String full = "/" + at;
            boolean subsystem = full.contains("/virtual/nvme-subsystem/");
            if (at.isEmpty() || NO_DISK.matcher(name).matches() || full.contains("/virtual/") && !subsystem
                    || Stream.of("/pseudo_", "/usb", "/session", "/rport-", "/devices/rbd/").anyMatch(full::contains)
                    || tree.text(at + "/removable").equals("1") || tree.text(at + "/size").equals("0")
                    || name.startsWith("nvme") && REMOTE.contains(tree.text(at + "/device/transport"))
                    || subsystem && remote(Path.of(at).getParent().toString())) {
                continue;
            }
            String type = tree.text(at + "/device/type");
            if (name.startsWith("sd") && !type.isEmpty() && !type.equals("0")) {
                continue;
            }
            String serial;
            try {
                serial = serial(name, at);
            } catch (IOException e) {
                serial = null;
            }
            found.add(new Candidate(serial, name.startsWith("mmcblk") && type.equals("SD") ? 1 : 0, roots.contains(name)));
        }
        return component("disk", found);
    }

    private boolean remote(String subsystem) throws IOException {
        return tree.list(subsystem).stream().anyMatch(n -> n.matches("nvme[0-9]+") && REMOTE.contains(tree.text(subsystem + "/" + n + "/transport")));
    }

    /**
     * The serial from sysfs, else from udev's database under this disk's own
     * number. Absent in both places means that the disk has none.
     */
    private String serial(String name, String at) throws IOException {
        boolean card = name.startsWith("mmcblk");
        boolean scsi = name.startsWith("sd");
        List<String> places = scsi ? List.of("device/vpd_pg80") : name.startsWith("nvme") ? List.of("device/serial")
                : card ? List.of("device/serial", "device/cid") : List.of("serial", "device/serial");
        IOException failed = null;
        for (String place : places) {
            byte[] data;
            try {
                data = tree.raw(at + "/" + place);
                if (data != null && scsi) {
                    data = vpd80(data);
                }
            } catch (IOException e) {
                failed = e;
                continue;
            }
            if (data == null) {
                continue;
            }
            String text = Tree.clean(data);
            if (!text.isEmpty() && !(card && place.equals("device/serial") && text.matches("[0x]*"))) {
                return text;
            }
            if (!card) {
                break; // the file is there and empty: a negative answer
            }
        }
        String number = tree.text(at + "/dev");
        byte[] entry = number.matches("[0-9]+:[0-9]+") ? tree.raw("run/udev/data/b" + number) : null;
        String text = entry == null ? "" : udev(new String(entry, StandardCharsets.UTF_8));
        if (text.isEmpty() && failed != null) {
            throw failed;
        }
        return text;
    }

    // SPC-4, 7.8.19: four bytes of header, the last two the length.
    private static byte[] vpd80(byte[] page) throws IOException {
        int size = page.length < 4 || (page[1] & 0xff) != 0x80 ? -1 : (page[2] & 0xff) << 8 | page[3] & 0xff;
        if (size < 0 || size > page.length - 4) {
            throw new IOException("malformed");
        }
        return Arrays.copyOfRange(page, 4, 4 + size);
    }

    private static String udev(String entry) {
        Map<String, String> found = new HashMap<>();
        for (String line : entry.split("\n")) {
            int at = line.indexOf('=');
            if (at > 0) {
                found.putIfAbsent(line.substring(0, at), Tree.clean(line.substring(at + 1).getBytes(StandardCharsets.UTF_8)));
            }
        }
        // ID_SERIAL_SHORT of a SCSI disk is its WWN, ID_SERIAL begins with the model.
        return Stream.of("E:ID_SCSI_SERIAL", "E:ID_SERIAL_SHORT", "E:SCSI_IDENT_SERIAL", "E:ID_SERIAL")
                .map(k -> found.getOrDefault(k, "")).filter(v -> !v.isEmpty()).findFirst().orElse("");
    }

    /** Kernel names of the disks behind "/": they come first in the order. */
    private Set<String> rootDisks() {
        Set<String> names = new HashSet<>();
        if (tree.recorded) {
            return names;
        }
        try {
            long dev = (Long) Files.getAttribute(Path.of("/"), "unix:dev");
            long major = dev >> 8 & 0xfff | dev >> 32 & ~0xfffL;
            long minor = dev & 0xff | dev >> 12 & 0xffffff00L;
            Deque<String> todo = new ArrayDeque<>();
            todo.add(tree.resolve("sys/dev/block", major + ":" + minor));
            for (int i = 0; i < 64 && !todo.isEmpty(); i++) {
                String at = todo.pop();
                if (at.isEmpty()) {
                    continue;
                }
                if (tree.exists(at + "/partition")) {
                    at = Path.of(at).getParent().toString();
                }
                List<String> slaves = tree.exists(at + "/slaves") ? tree.list(at + "/slaves") : List.of();
                for (String s : slaves) {
                    todo.add(tree.resolve(at + "/slaves", s));
                }
                if (slaves.isEmpty()) {
                    names.add(Path.of(at).getFileName().toString());
                }
            }
        } catch (IOException | RuntimeException e) {
            names.clear(); // only the order depends on it
        }
        return names;
    }

    /**
     * The first usable of: board, system and chassis serial (for root only), on
     * virtual machines the UUID, the device tree, EC2's instance id. Those that
     * everybody may read count beside it as other spellings.
     */
    private Device.Part board() {
        String dmi = "sys/class/dmi/id/";
        Map<String, Boolean> chain = new LinkedHashMap<>();
        for (String f : List.of("board_serial", "product_serial", "chassis_serial")) {
            chain.put(dmi + f, false);
        }
        if (HostInfo.isVirtual(tree)) {
            chain.put(dmi + "product_uuid", false);
        }
        chain.put("sys/firmware/devicetree/base/serial-number", true);
        chain.put("sys/devices/soc0/serial_number", true);
        boolean amazon = Stream.of("sys_vendor", "board_vendor").anyMatch(f -> tree.text(dmi + f).startsWith("Amazon EC2"));
        if (amazon && tree.text(dmi + "board_asset_tag").matches("i-[0-9a-f]{8,17}")) {
            chain.put(dmi + "board_asset_tag", true);
        }
        boolean unread = false;
        boolean placeholder = false;
        List<String> values = new ArrayList<>();
        for (Map.Entry<String, Boolean> e : chain.entrySet()) {
            try {
                byte[] data = tree.raw(e.getKey());
                String text = data == null ? "" : Tree.clean(data);
                if (text.isEmpty()) {
                    continue;
                }
                if (Fingerprint.placeholder("board", text)) {
                    placeholder = true;
                } else if (values.isEmpty() || e.getValue() && !text.equalsIgnoreCase(values.get(0))) {
                    values.add(text);
                }
            } catch (IOException denied) {
                unread = true;
            }
        }
        unread |= values.isEmpty() && tree.exists("sys/firmware/dmi/tables/DMI"); // there, for root
        if (values.isEmpty()) {
            return new Device.Part(unread ? "unreadable" : placeholder ? "placeholder" : "absent", List.of(), unread, placeholder);
        }
        return new Device.Part("ok", List.of(new Device.Value(values.get(0), values.subList(1, values.size()))), unread, placeholder);
    }
}
