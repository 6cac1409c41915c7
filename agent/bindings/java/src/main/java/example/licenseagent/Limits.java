package example.licenseagent;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;

/** The limits of values (SPEC.md sections 3.2 to 9). */
final class Limits {
    static final long MAX = (1L << 53) - 1;
    static final long NO_END = 253402300799L;
    static final long DAY = 86400;
    static final List<String> KINDS = List.of("mac", "disk", "board", "cpu");
    private static final Set<String> ENVS = Set.of("physical", "vm", "container");
    private static final Set<String> STATES = Set.of("ok", "absent", "unreadable", "placeholder");
    private static final Set<String> USES = Set.of("license", "notice", "bundle");
    private static final Set<String> NOTICES = Set.of("active", "suspended", "revoked", "released", "contested");
    private static final List<String> ED = List.of(Keys.ED25519);
    private static final List<String> BOTH = List.of(Keys.ED25519, Keys.P256);
    private static final Pattern NAME = Pattern.compile("[a-z0-9][a-z0-9._-]{0,63}");
    private static final Pattern ID = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,63}");
    private static final Pattern TOKEN = Pattern.compile("[A-Za-z0-9+/=._:-]{1,128}");
    private static final Pattern HEX64 = Pattern.compile("[0-9a-f]{64}");
    private static final Pattern KEYID = Pattern.compile("sha256:[0-9a-f]{32}");
    private static final Pattern DATE = Pattern.compile("[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])");
    private static final Map<String, Boolean> PHASES = Map.of("active", true, "expiring", true, "grace", true,
            "suspended", false, "expired", false, "revoked", false, "wrong-device", false, "clock-suspect", false);

    private Limits() {}

    private static void that(boolean ok, String field) throws FormatException {
        if (!ok) {
            throw new FormatException("limits", field);
        }
    }

    private static void match(Pattern p, Members m, String field) throws FormatException {
        that(p.matcher(m.text(field)).matches(), field);
    }

    private static void number(long n, long least, long most, String field) throws FormatException {
        that(least <= n && n <= most, field);
    }

    private static void number(Members m, String field, long least, long most) throws FormatException {
        number(m.number(field), least, most, field);
    }

    private static void time(Members m, String field) throws FormatException {
        number(m, field, 0, NO_END);
    }

    private static void b64(Members m, String field, int size) throws FormatException {
        byte[] data = Canonical.decode64(m.text(field));
        that(data != null && data.length == size, field);
    }

    private static void text(String s, int least, int most, String field) throws FormatException {
        that(least <= s.length() && s.length() <= most && s.chars().allMatch(c -> c >= ' ' && c <= '~'), field);
    }

    private static void ascending(List<String> list, int most, String field) throws FormatException {
        that(list.size() <= most, field);
        for (int i = 1; i < list.size(); i++) {
            that(list.get(i - 1).compareTo(list.get(i)) < 0, field);
        }
    }

    private static void key(Keys.PublicKey k, List<String> algorithms, String field) throws FormatException {
        that(algorithms.contains(k.alg()) && Keys.usable(k), field);
    }

    private static void chain(Members m) throws FormatException {
        number(m, "seq", 1, MAX);
        match(TOKEN, m, "head");
        number(m, "ks", 1, MAX);
        b64(m, "rn", 32);
        time(m, "st");
    }

    private static void version(Members m) throws FormatException {
        that(m.number("v") == 1, "v");
        match(NAME, m, "iss");
    }

    private static void roots(Members r) throws FormatException {
        List<Members> keys = r.objects("keys");
        number(keys.size(), 1, 8, "roots");
        number(r, "threshold", 1, Math.min(4, keys.size()));
        Set<String> seen = new HashSet<>();
        for (Members k : keys) {
            key(k.key(), ED, "roots");
            that(seen.add(k.text("pub")), "roots");
        }
    }

    static void anchor(Members a) throws FormatException {
        version(a);
        roots(a.object("roots"));
        if (a.has("merchant")) {
            String m = a.text("merchant");
            text(m, 9, 256, "merchant");
            that(m.startsWith("https://") && m.chars().noneMatch(c -> c == ' ' || c == '"' || c == '\\'), "merchant");
        }
        if (a.has("tls_roots")) {
            that(a.text("tls_roots").startsWith("-----BEGIN CERTIFICATE-----\n"), "tls_roots");
            text(a.text("tls_roots").replace('\n', ' '), 1, 32768, "tls_roots");
        }
    }

    static void keyset(Members k) throws FormatException {
        version(k);
        number(k, "ver", 1, MAX);
        time(k, "nbf");
        time(k, "exp");
        that(k.number("nbf") < k.number("exp") && k.number("exp") <= k.number("nbf") + 400 * DAY, "exp");
        roots(k.object("roots"));
        Set<String> root = new HashSet<>();
        for (Members r : k.object("roots").objects("keys")) {
            root.add(Keys.id(r.key()));
        }
        for (Members o : k.objects("keys")) {
            key(o.key(), ED, "keys");
            that(o.text("kid").equals(Keys.id(o.key())) && !root.contains(o.text("kid")), "keys.kid");
            that(USES.contains(o.text("use")), "keys.use");
            time(o, "nbf");
            time(o, "min");
        }
        ascending(k.objects("keys").stream().map(o -> o.text("kid")).toList(), 32, "keys");
        for (String id : k.texts("revoked")) {
            that(KEYID.matcher(id).matches() && !root.contains(id), "revoked");
        }
        ascending(k.texts("revoked"), 256, "revoked");
        for (String id : k.texts("revlic")) {
            that(ID.matcher(id).matches(), "revlic");
        }
        ascending(k.texts("revlic"), 1024, "revlic");
    }

    private static void kinds(List<Members> parts, String field) throws FormatException {
        int last = -1;
        for (Members p : parts) {
            int at = KINDS.indexOf(p.text("kind"));
            that(at > last, field);
            last = at;
        }
    }

    private static void sortedKinds(Members p, String field) throws FormatException {
        for (String k : p.texts(field)) {
            that(KINDS.contains(k), field);
        }
        ascending(p.texts(field), 4, field);
    }

    private static void profile(Members p) throws FormatException {
        sortedKinds(p, "req");
        for (String k : KINDS) {
            number(p.object("w"), k, 0, 1000);
        }
        number(p, "min", 1, 100);
        number(p, "floor", 0, 100);
    }

    private static void device(Members d) throws FormatException {
        match(TOKEN, d, "id");
        that(ENVS.contains(d.text("env")), "env");
        that(d.number("fpv") == 1, "fpv");
        b64(d, "salt", 32);
        kinds(d.objects("fp"), "fp");
        for (Members p : d.objects("fp")) {
            List<String> hashes = p.texts("h");
            that(!hashes.isEmpty() && hashes.stream().allMatch(h -> HEX64.matcher(h).matches()), "fp.h");
            ascending(hashes, 16, "fp.h");
        }
        match(NAME, d.object("pol"), "name");
        profile(d.object("pol").object("phys"));
        profile(d.object("pol").object("virt"));
        key(d.object("dk").key(), BOTH, "dk");
    }

    static void license(Members c) throws FormatException {
        version(c);
        match(ID, c, "lic");
        match(NAME, c, "prod");
        if (!c.text("ed").isEmpty()) {
            match(NAME, c, "ed");
        }
        number(c, "seats", 1, 1000000000);
        for (String f : c.texts("feat")) {
            that(NAME.matcher(f).matches(), "feat");
        }
        ascending(c.texts("feat"), 64, "feat");
        for (Members l : c.objects("lim")) {
            match(NAME, l, "name");
            number(l, "value", 0, MAX);
        }
        ascending(c.objects("lim").stream().map(l -> l.text("name")).toList(), 64, "lim");
        device(c.object("dev"));
        for (String t : List.of("iat", "nbf", "exp", "ren", "grc")) {
            time(c, t);
        }
        that(c.number("nbf") < c.number("exp") && c.number("nbf") <= c.number("ren") && c.number("ren") <= c.number("grc"), "exp, ren, grc");
        chain(c);
        owner(c.object("dev").text("id"), c.object("dev").object("dk").key());
    }

    private static void owner(String id, Keys.PublicKey key) throws FormatException {
        if (!id.equals(Keys.deviceId(key))) {
            throw new FormatException("device");
        }
    }

    static void notice(Members n) throws FormatException {
        version(n);
        match(ID, n, "lic");
        match(NAME, n, "prod");
        match(TOKEN, n, "dev");
        that(NOTICES.contains(n.text("state")), "state");
        if (!n.text("reason").isEmpty()) {
            match(NAME, n, "reason");
        }
        chain(n);
    }

    static void proof(Members p) throws FormatException {
        that(p.number("v") == 1, "v");
        b64(p, "nonce", 32);
        match(NAME, p, "prod");
        match(HEX64, p, "sha");
        that(Boolean.valueOf(p.bool("runs")).equals(PHASES.get(p.text("phase"))), "phase");
        sortedKinds(p, "missing");
        time(p, "time");
        match(TOKEN, p, "boot");
    }

    static void request(Members r) throws FormatException {
        version(r);
        String kind = r.text("kind");
        that(Set.of("activate", "renew", "release", "rebind").contains(kind), "kind");
        boolean contact = kind.equals("renew") || kind.equals("release");
        if (contact || !r.text("prod").isEmpty()) {
            match(NAME, r, "prod");
        }
        if (contact) {
            that(r.text("code").isEmpty(), "code");
        } else {
            text(r.text("code"), 1, 128, "code");
            that(!r.text("code").contains(" "), "code");
        }
        if (kind.equals("activate")) {
            that(r.text("lic").isEmpty(), "lic");
        } else if (contact || !r.text("lic").isEmpty()) {
            match(ID, r, "lic");
        }
        match(TOKEN, r, "dev");
        key(r.object("dk").key(), BOTH, "dk");
        number(r, "seq", 0, MAX);
        that((r.number("seq") == 0) == r.text("head").isEmpty(), "head");
        if (!r.text("head").isEmpty()) {
            match(TOKEN, r, "head");
        }
        b64(r, "n", 32);
        text(r.text("fp"), 3, 5000, "fp");
        that(r.text("fp").chars().filter(c -> c == '|').count() == 3, "fp");
        that(ENVS.contains(r.text("env")), "env");
        kinds(r.objects("parts"), "parts");
        for (Members p : r.objects("parts")) {
            that(STATES.contains(p.text("state")), "parts.state");
            for (String a : p.texts("alt")) {
                text(a, 1, 256, "parts.alt");
            }
            ascending(p.texts("alt"), 16, "parts.alt");
        }
        for (String d : r.texts("days")) {
            that(DATE.matcher(d).matches(), "days");
        }
        ascending(r.texts("days"), 400, "days");
        number(r, "peak", 0, 1000000000);
        number(r, "ks", 0, MAX);
        time(r, "time");
        text(r.text("agent"), 0, 64, "agent");
        owner(r.text("dev"), r.object("dk").key());
    }
}
