package example.licenseagent;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * Which device this is, and whether two observations are the same device. The
 * rules work on the bytes of UTF-8: a canonical value is a String with one
 * character per byte.
 */
final class Fingerprint {
    static final int MAX_TEXT = 5000;
    static final int MAX_VALUE = 256;
    private static final Pattern SPACED = Pattern.compile("(?:[0-9A-F]{2} ){7}[0-9A-F]{2}");
    private static final Pattern HEX = Pattern.compile("[0-9A-Fa-f]*");

    private Fingerprint() {}

    /** A value as it stands in the string form. */
    static String canonical(byte[] value) {
        String padding = " \t\n\u000b\f\r\0";
        int start = 0;
        int end = value.length;
        while (start < end && padding.indexOf(value[start]) >= 0) {
            start++;
        }
        while (end > start && padding.indexOf(value[end - 1]) >= 0) {
            end--;
        }
        StringBuilder out = new StringBuilder();
        for (int i = start; i < end; i++) {
            char c = (char) (value[i] & 0xff);
            if (c == ' ' && out.length() > 0 && out.charAt(out.length() - 1) == ' ') {
                continue;
            }
            if (c == '|' || c == ',' || c < ' ' || c > '~') {
                c = '_';
            } else if (c >= 'a' && c <= 'z') {
                c -= 'a' - 'A';
            }
            out.append(c);
        }
        return out.toString();
    }

    static String canonical(String value) {
        return canonical(value.getBytes(StandardCharsets.UTF_8));
    }

    /** canonical, and the one spelling per kind that makes two readers agree. */
    static String spell(String kind, String value) {
        return spelled(kind, canonical(value));
    }

    private static String spelled(String kind, String v) {
        if (kind.equals("mac") && !(v.length() == 17 && v.charAt(2) == ':' && v.charAt(14) == ':')) {
            String digits = v.replaceAll("[:.-]", "");
            return digits.length() == 12 && HEX.matcher(digits).matches() ? String.join(":", pairs(digits)) : v;
        }
        return kind.equals("cpu") && SPACED.matcher(v).matches() ? reverse(v.replace(" ", "")) : v;
    }

    private static List<String> pairs(String digits) {
        return new ArrayList<>(Arrays.asList(digits.split("(?<=\\G..)")));
    }

    private static String reverse(String digits) {
        List<String> pairs = pairs(digits);
        java.util.Collections.reverse(pairs);
        return String.join("", pairs);
    }

    private static boolean cpuId(String spelled) {
        return spelled.length() == 16 && HEX.matcher(spelled).matches();
    }

    /** The spellings of one CPU id: WMI's, dmidecode's with blanks and without. */
    static List<String> cpuForms(String value) {
        String wmi = spell("cpu", value);
        if (!cpuId(wmi)) {
            return List.of(wmi);
        }
        String packed = reverse(wmi);
        return List.of(wmi, String.join(" ", pairs(packed)), packed);
    }

    /** Says whether a value identifies nobody. */
    static boolean placeholder(String kind, String value) {
        return Placeholder.is(kind, spell(kind, value));
    }

    /** The salted hash of one value as a license stores it. */
    static String hash(byte[] salt, String kind, String value) {
        return sum(salt, kind, spell(kind, value));
    }

    private static String sum(byte[] salt, String kind, String spelled) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(salt, "HmacSHA256"));
            String text = "license-agent fingerprint v1\n" + kind + "\n" + spelled + "\n";
            return HexFormat.of().formatHex(mac.doFinal(text.getBytes(StandardCharsets.ISO_8859_1)));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }

    private static String refuse(String kind, String spelled) {
        if (spelled.length() > MAX_VALUE) {
            return "unreadable";
        }
        return Placeholder.is(kind, spelled) ? "placeholder" : "";
    }

    /** Applies the rules to what a reader found, whatever state it claims. */
    static Device.Part settled(String kind, Device.Part part) {
        if (!part.state().equals("ok")) {
            boolean known = part.state().equals("absent") || part.state().equals("placeholder");
            return new Device.Part(known ? part.state() : "unreadable", List.of(), part.unread(), part.placeholder());
        }
        boolean unread = part.unread();
        boolean placeholder = part.placeholder();
        Map<String, Device.Value> values = new LinkedHashMap<>();
        for (Device.Value v : part.values()) {
            String text = spell(kind, v.text());
            if (text.isEmpty()) {
                continue;
            }
            String bad = refuse(kind, text);
            unread |= bad.equals("unreadable");
            placeholder |= bad.equals("placeholder");
            if (bad.isEmpty()) {
                Device.Value kept = values.computeIfAbsent(text, t -> new Device.Value(v.text(), new ArrayList<>()));
                for (String a : v.alt()) {
                    String other = spell(kind, a);
                    if (!other.isEmpty() && refuse(kind, other).isEmpty()) {
                        kept.alt().add(a);
                    }
                }
            }
        }
        String state = !values.isEmpty() ? "ok" : unread ? "unreadable" : placeholder ? "placeholder" : "absent";
        return new Device.Part(state, List.copyOf(values.values()), unread, placeholder);
    }

    /** The hashes of the parts of a device, as a license remembers them. */
    static Map<String, List<String>> enroll(byte[] salt, Device device) {
        Map<String, List<String>> parts = new LinkedHashMap<>();
        for (String kind : Limits.KINDS) {
            List<String> texts = new ArrayList<>();
            List<Device.Value> values = settled(kind, device.part(kind)).values();
            values.forEach(v -> texts.add(v.text()));
            values.forEach(v -> texts.addAll(v.alt()));
            Set<String> hashes = new LinkedHashSet<>();
            for (String t : texts) {
                if (hashes.size() < 16) {
                    hashes.add(hash(salt, kind, t));
                }
            }
            if (!hashes.isEmpty()) {
                parts.put(kind, List.copyOf(new TreeSet<>(hashes)));
            }
        }
        return parts;
    }

    /** Compares an enrolled device with an observation. */
    static Comparison compare(Members policy, String env, byte[] salt, Map<String, List<String>> parts, Device device) {
        Members profile = policy.object(env.equals("vm") || env.equals("container") ? "virt" : "phys");
        Map<String, String> results = new LinkedHashMap<>();
        for (String kind : Limits.KINDS) {
            results.put(kind, comparePart(salt, kind, parts.getOrDefault(kind, List.of()), settled(kind, device.part(kind))));
        }
        Tally t = new Tally(profile, results);
        long available = t.enrolled - t.unreadable;
        long need = percent(profile.number("min"), available);
        String outcome = t.outcome();
        long left = outcome.equals("same") ? Math.max(Math.min(pointsLeft(profile, results), t.matched - need), 0) : 0;
        return new Comparison(outcome, results, t.matched, available, t.enrolled, need, left, t.strongMatch > 0, t.strongLost > 0, t.lost);
    }

    private static String comparePart(byte[] salt, String kind, List<String> enrolled, Device.Part now) {
        if (enrolled.isEmpty()) {
            return "not-enrolled";
        }
        if (!now.state().equals("ok")) {
            return now.state();
        }
        for (Device.Value v : now.values()) {
            List<String> texts = new ArrayList<>(v.alt());
            texts.add(v.text());
            for (String text : texts) {
                String s = spell(kind, text);
                if (enrolled.contains(sum(salt, kind, s)) || kind.equals("cpu") && cpuId(s) && enrolled.contains(sum(salt, kind, reverse(s)))) {
                    return "match";
                }
            }
        }
        // A candidate that could not be read may have been the enrolled one.
        return now.unread() ? "unreadable" : "changed";
    }

    private static long percent(long percent, long points) {
        return (percent * points + 99) / 100;
    }

    private static final class Tally {
        final Members profile;
        long enrolled;
        long matched;
        long unreadable;
        int strong;
        int strongMatch;
        int strongLost;
        boolean lost;
        boolean requiredLost;
        boolean requiredUnread;

        Tally(Members profile, Map<String, String> results) {
            this.profile = profile;
            results.forEach(this::add);
        }

        private void add(String kind, String result) {
            if (result.equals("not-enrolled")) {
                return;
            }
            long weight = profile.object("w").number(kind);
            boolean required = profile.texts("req").contains(kind);
            int one = !kind.equals("cpu") && (weight > 0 || required) ? 1 : 0;
            enrolled += weight;
            strong += one;
            if (result.equals("match")) {
                matched += weight;
                strongMatch += one;
            } else if (result.equals("unreadable")) {
                unreadable += weight;
                requiredUnread |= required;
            } else {
                lost |= weight > 0 || required;
                strongLost += one;
                requiredLost |= required;
            }
        }

        String outcome() {
            long available = enrolled - unreadable;
            if (strong == 0) {
                return "indeterminate";
            }
            if (strongMatch == 0) {
                return strongLost > 0 ? "different" : "indeterminate";
            }
            if (requiredLost) {
                return "different";
            }
            if (requiredUnread || available < percent(profile.number("floor"), enrolled)) {
                return "indeterminate";
            }
            if (strongLost == 0 || matched >= percent(profile.number("min"), available)) {
                return "same";
            }
            return matched + unreadable >= percent(profile.number("min"), enrolled) ? "indeterminate" : "different";
        }
    }

    private static long pointsLeft(Members profile, Map<String, String> results) {
        List<String> matching = Limits.KINDS.stream().filter(k -> results.get(k).equals("match")).toList();
        long cheapest = Limits.KINDS.stream().mapToLong(k -> profile.object("w").number(k)).sum();
        for (int mask = 1; mask < 1 << matching.size(); mask++) {
            Map<String, String> after = new LinkedHashMap<>(results);
            long cost = 0;
            for (int i = 0; i < matching.size(); i++) {
                if ((mask >> i & 1) == 1) {
                    after.put(matching.get(i), "changed");
                    cost += profile.object("w").number(matching.get(i));
                }
            }
            if (cost < cheapest && !new Tally(profile, after).outcome().equals("same")) {
                cheapest = cost;
            }
        }
        return Math.max(cheapest - 1, 0);
    }

    /** The string form, and how many whole values the length limit dropped. */
    record Text(String string, int droppedDisks, int droppedMacs) {}

    static Text format(Device device) {
        Map<String, List<String>> texts = new LinkedHashMap<>();
        for (String k : Limits.KINDS) {
            List<String> list = new ArrayList<>();
            settled(k, device.part(k)).values().forEach(v -> list.add(spell(k, v.text())));
            texts.put(k, list);
        }
        int disks = drop(texts, "disk");
        int macs = drop(texts, "mac");
        return new Text(join(texts), disks, macs);
    }

    private static int drop(Map<String, List<String>> texts, String kind) {
        int dropped = 0;
        for (List<String> list = texts.get(kind); !list.isEmpty() && join(texts).length() > MAX_TEXT; dropped++) {
            list.remove(list.size() - 1);
        }
        return dropped;
    }

    private static String join(Map<String, List<String>> t) {
        String board = t.get("board").isEmpty() ? "" : t.get("board").get(0);
        String cpu = t.get("cpu").isEmpty() ? "" : t.get("cpu").get(0);
        return String.join(",", t.get("mac")) + "|" + String.join(",", t.get("disk")) + "|" + board + "|" + cpu;
    }

    /** The string form taken apart. */
    record Parsed(List<String> macs, List<String> disks, String board, String cpu) {}

    /** The inverse of format; the code of the exception says why a text is refused. */
    static Parsed parse(String string) throws FormatException {
        String text = new String(string.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1);
        if (text.length() > MAX_TEXT) {
            throw new FormatException("too-long");
        }
        String[] parts = text.split("\\|", -1);
        if (parts.length != 4) {
            throw new FormatException("parts");
        }
        List<String> macs = list("mac", parts[0]);
        List<String> disks = list("disk", parts[1]);
        check("board", parts[2]);
        check("cpu", parts[3]);
        return new Parsed(macs, disks, parts[2], parts[3]);
    }

    private static List<String> list(String kind, String part) throws FormatException {
        List<String> out = new ArrayList<>();
        if (part.isEmpty()) {
            return out;
        }
        for (String v : part.split(",", -1)) {
            if (v.isEmpty()) {
                throw new FormatException("empty-value");
            }
            check(kind, v);
            if (out.contains(v)) {
                throw new FormatException("duplicate");
            }
            out.add(v);
        }
        return out;
    }

    private static void check(String kind, String v) throws FormatException {
        if (v.length() > MAX_VALUE) {
            throw new FormatException("value-too-long");
        }
        if (!spelled(kind, canonical(v.getBytes(StandardCharsets.ISO_8859_1))).equals(v)) {
            throw new FormatException("not-canonical");
        }
    }
}
