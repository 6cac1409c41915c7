package example.licenseagent;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongPredicate;
import java.util.function.LongSupplier;
import java.util.function.Supplier;

/**
 * Asks whether a product may run and verifies the answer by itself. It keeps what
 * was verified once, so that only the proof is verified per call. Safe for
 * concurrent use.
 */
public final class Checker implements AutoCloseable {
    /** The reason beside a verified proof in which the agent says no; see {@link Verdict#phase}. */
    public static final String REASON_AGENT = "agent-says-no";

    private static final Set<String> LOST = Set.of("changed", "absent", "placeholder");
    private static final Set<String> STOPS = Set.of("suspended", "revoked", "released");
    private final Members anchor;
    private final Transport transport;
    private final License.Verifier verifier;
    private final Builder with;
    private final SecureRandom random = new SecureRandom();
    private final CountDownLatch ended = new CountDownLatch(1); // zero after close
    private Device device;
    private long readAt;
    private String compared = "";
    private Comparison result;
    private long newest;

    /** What can be set; everything but the anchor has a default. */
    public static final class Builder {
        private final byte[] anchor;
        private String socket = "";
        private String instance = "";
        private String relay = "";
        private Set<Integer> owners = Set.of();
        private long timeoutMs = 5000;
        private String language = "en";
        private long minKeySet;
        private long tolerance;
        private long rereadMs = 3600_000;
        private Supplier<Device> observe = () -> Probe.observe(null);
        private LongSupplier wall = () -> System.currentTimeMillis() / 1000;
        private LongSupplier monoMs = () -> System.nanoTime() / 1_000_000;

        private Builder(byte[] anchor) {
            this.anchor = anchor.clone();
        }

        /** Path of the agent's socket. */
        public Builder socket(String path) {
            socket = path;
            return this;
        }

        /**
         * The agent's program, through which it is asked ({@code license-agent relay}): for a pipe of
         * Windows, which Java cannot open with the rights that the agent gives. Default there: the
         * installed program; elsewhere the socket is asked directly.
         */
        public Builder relay(String program) {
            relay = program;
            return this;
        }

        /** Name of another instance of the agent: that of another vendor. */
        public Builder instance(String name) {
            instance = name;
            return this;
        }

        /** Further user ids that the agent may run as. */
        public Builder owners(Set<Integer> uids) {
            owners = Set.copyOf(uids);
            return this;
        }

        /** Bounds each call; 5000 ms. */
        public Builder timeoutMs(long ms) {
            timeoutMs = ms;
            return this;
        }

        /** Language of the sentences: en or zh-CN. */
        public Builder language(String tag) {
            language = tag;
            return this;
        }

        /** The highest {@link Verdict#keySet} that the program remembers from earlier runs; a Checker remembers what it has verified. */
        public Builder minKeySet(long version) {
            minKeySet = version;
            return this;
        }

        /** Seconds past its expiry that a key set is still accepted; 0: 400 days. */
        public Builder tolerance(long seconds) {
            tolerance = seconds;
            return this;
        }

        /** How long a reading of the machine is used; an hour. */
        public Builder rereadMs(long ms) {
            rereadMs = ms;
            return this;
        }

        /** Reads this machine; the default reads what this process may. */
        public Builder observe(Supplier<Device> reader) {
            observe = reader;
            return this;
        }

        /** The program's clocks: UTC seconds, and monotonic milliseconds. */
        public Builder clock(LongSupplier wallSeconds, LongSupplier monotonicMs) {
            wall = wallSeconds;
            monoMs = monotonicMs;
            return this;
        }

        /** Throws AgentException "anchor" or "config-invalid". */
        public Checker build() throws AgentException {
            return new Checker(this);
        }
    }

    /** A checker for the vendor's trust anchor file, which is built into the program. */
    public static Builder of(byte[] anchor) {
        return new Builder(anchor);
    }

    private Checker(Builder with) throws AgentException {
        this.with = with;
        try {
            anchor = License.parseAnchor(with.anchor);
        } catch (FormatException e) {
            throw AgentException.of("anchor", with.language, "anchor", e.getMessage());
        }
        transport = new Transport(with.socket, with.instance, with.owners, with.language, with.relay);
        verifier = new License.Verifier(anchor);
    }

    /**
     * Ends all connections, and with them a watch and every seat. It cannot be used any
     * more: a call throws AgentException, a seat says that it is not held.
     */
    @Override
    public void close() {
        ended.countDown();
        transport.close();
    }

    private License.Options options(String product, byte[] nonce, long ageMs) {
        return new License.Options(product, "", nonce, with.wall.getAsLong(), ageMs, with.tolerance, Math.max(with.minKeySet, newest));
    }

    /**
     * Asks for a fresh proof and verifies the whole chain, failing closed: key set,
     * license, proof over a nonce just drawn, this machine's fingerprint, time. A
     * genuine "no" is a Verdict; whatever proves nothing is an AgentException, and
     * nothing is licensed then.
     */
    public Verdict check(String product) throws AgentException {
        return check(product, Transport.after(with.timeoutMs));
    }

    /** Both questions have one deadline. */
    private Verdict check(String product, long deadline) throws AgentException {
        Said said = ask(product, false, deadline);
        if (said.otherMachine()) {
            // By readings that may be old, the agent's older than this program's: both
            // read again before that is believed.
            synchronized (this) {
                device = null;
            }
            said = ask(product, true, deadline);
        }
        if (said.otherMachine()) {
            throw wrongDevice(said.verdict().device());
        }
        return said.verdict();
    }

    /** An answer, and what the agent misses on its machine. */
    private record Said(Verdict verdict, List<String> missing) {
        /**
         * At least the policy's minimum of what this process can read must match; what it
         * cannot read is no evidence. The exception is a machine with replaced parts, for
         * which the agent decides or waits: it names in its proof what is missing on its own
         * machine, and one that runs elsewhere does not miss what is lost here.
         */
        boolean otherMachine() {
            Comparison c = verdict.device();
            boolean less = c.strongChanged() && c.matched() < c.need();
            boolean lost = c.results().entrySet().stream().anyMatch(r -> LOST.contains(r.getValue()) && !missing.contains(r.getKey()));
            return (c.outcome().equals("different") || less) && (!c.strongMatch() || lost);
        }
    }

    private Said ask(String product, boolean reread, long deadline) throws AgentException {
        byte[] nonce = new byte[32];
        random.nextBytes(nonce);
        long asked = with.monoMs.getAsLong();
        Map<String, Object> ask = new LinkedHashMap<>();
        ask.put("product", product);
        ask.put("issuer", anchor.text("iss"));
        ask.put("nonce", Canonical.encode64(nonce));
        if (reread) {
            ask.put("reread", true);
        }
        Map<?, ?> answer = transport.call("/v1/check", ask, deadline);
        long arrived = with.monoMs.getAsLong();
        List<byte[]> parts = new ArrayList<>();
        for (String name : List.of("license", "keyset", "proof")) {
            Object text = answer.get(name) == null ? "" : answer.get(name); // null is as good as missing
            byte[] part = text instanceof String s ? Canonical.decode64(s) : null;
            if (part == null) {
                throw transport.fail("agent-bad-answer", "an envelope is not base64", "");
            }
            parts.add(part);
        }
        try {
            License.Checked c;
            Comparison same;
            synchronized (this) {
                c = verifier.check(options(product, nonce, arrived - asked), parts.get(0), parts.get(1), parts.get(2));
                same = compare(c, License.sha256(parts.get(0)), arrived);
            }
            String reason = c.state().reason().isEmpty() && !c.runs() ? REASON_AGENT : c.state().reason();
            Map<?, ?> said = answer.get("verdict") instanceof Map<?, ?> map ? map : Map.of();
            Verdict v = verdict(c, same, c.runs(), c.proof().text("phase"), reason, said, said);
            if (c.proof().bool("runs") && !c.runs()) { // the agent says yes, the time rule or the key set no
                v = verdict(c, same, false, c.state().state(), reason, transport.no(reason), said);
            }
            return new Said(v, c.proof().texts("missing"));
        } catch (FormatException e) {
            throw transport.fail("agent-untrusted", e.getMessage(), e.code);
        }
    }

    /**
     * Verifies a file of the agent's public folder without asking anybody. Weaker
     * than check: it shows that the vendor issued the license for this machine, not
     * that the agent here holds the device key.
     */
    public Verdict checkFiles(String product, byte[] file) throws AgentException {
        long mono = with.monoMs.getAsLong();
        try {
            Map<?, ?> files = files(file);
            byte[] license = License.bytes(Transport.text(files, "license"));
            String notice = Transport.text(files, "notice");
            License.Checked c;
            Comparison same;
            synchronized (this) {
                c = verifier.files(options(product, new byte[0], 0), license, License.bytes(Transport.text(files, "keyset")));
                same = compare(c, License.sha256(license), mono);
            }
            if (same.outcome().equals("different")) { // no agent here says what it misses
                throw wrongDevice(same);
            }
            if (!notice.isEmpty()) {
                Members n = License.openNotice(c.keySet(), License.bytes(notice));
                boolean about = n.text("lic").equals(c.claims().text("lic")) && n.number("seq") >= c.claims().number("seq");
                if (about && STOPS.contains(n.text("state"))) {
                    // The reason is the vendor's own word.
                    return verdict(c, same, false, n.text("state"), n.text("reason"), transport.no(n.text("state")), Map.of());
                }
            }
            Map<?, ?> words = c.runs() ? Map.of() : transport.no(c.state().reason());
            return verdict(c, same, c.runs(), c.state().state(), c.state().reason(), words, Map.of());
        } catch (FormatException e) {
            throw transport.fail("agent-untrusted", e.getMessage(), e.code);
        }
    }

    private static Map<?, ?> files(byte[] file) throws FormatException {
        Object value = null;
        try {
            value = Json.parse(file);
        } catch (FormatException e) {
            value = null;
        }
        boolean ok = value instanceof Map<?, ?> m && !Transport.text(m, "license").isEmpty() && !Transport.text(m, "keyset").isEmpty()
                && (m.get("notice") == null || m.get("notice") instanceof String);
        if (!ok) {
            throw new FormatException("envelope", "not a file of the agent's public folder");
        }
        return (Map<?, ?>) value;
    }

    /**
     * Takes one of the concurrent uses that the license allows on this machine, then
     * checks as check does, so that a held seat stands on a verified verdict that
     * runs. A user counts instead of this process when not empty; waitMs is how long
     * to stand in the queue. Codes beside those of check: seats-taken, not-licensed, busy.
     */
    public Seat seat(String product, String user, long waitMs) throws AgentException {
        Seat s = new Seat(this, product, user);
        s.take(waitMs, waitMs + with.timeoutMs, false);
        return s;
    }

    /** One attempt. Seat and check have their usual time each, but end by until. */
    Seat.Taken takeSeat(String product, String user, long waitMs, long until) throws AgentException {
        Map<String, Object> ask = new LinkedHashMap<>();
        ask.put("product", product);
        ask.put("issuer", anchor.text("iss"));
        ask.put("user", user);
        ask.put("wait_ms", waitMs);
        Transport.Held held = transport.hold("/v1/seats", ask, Transport.earlier(until, Transport.after(waitMs + with.timeoutMs)));
        boolean ok = false;
        try {
            boolean known = held.answer().get("seat") instanceof Map<?, ?> seat && !Transport.text(seat, "id").isEmpty();
            if (!known || !(held.answer().get("count") instanceof Map<?, ?> count) || !(count.get("total") instanceof Long total)) {
                throw transport.fail("agent-bad-answer", "not the answer to a request for a seat", "");
            }
            Verdict v = check(product, Transport.earlier(until, Transport.after(with.timeoutMs)));
            if (!v.runs()) {
                throw transport.fail("not-licensed", v.reason(), v.reason());
            }
            if (total > v.seats()) {
                throw transport.fail("agent-untrusted", "the agent counts " + total + " seats, the license has " + v.seats(), "seats");
            }
            ok = true;
            return new Seat.Taken(v, held.connection());
        } finally {
            if (!ok) {
                transport.drop(held.connection());
            }
        }
    }

    boolean closed() {
        return ended.getCount() == 0;
    }

    void dropSeat(Seat.Taken taken) {
        transport.drop(taken.connection());
    }

    /**
     * A change notice of the agent. It proves nothing: check again.
     *
     * @param serial grows with each change, and begins anew with the next agent
     * @param missed older events were forgotten
     */
    public record Change(long serial, boolean missed) {}

    /**
     * Calls changed at the start and whenever something about the instance's
     * licenses changed. It waits for an agent that does not run and returns after
     * close() or when the thread is interrupted.
     */
    public void watch(Consumer<Change> changed) {
        watch(changed, this::rest);
    }

    /** Waits; false at once after close, or when the thread is interrupted. */
    boolean rest(long ms) {
        try {
            return !ended.await(ms, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    void watch(Consumer<Change> changed, LongPredicate pause) {
        long since = 0;
        boolean first = true;
        long delay = 1000;
        while (!closed()) {
            long ask = first ? 0 : 30;
            try {
                Map<?, ?> answer = transport.call("/v1/events?since=" + since + "&wait=" + ask + "s", null, Transport.after(ask * 1000 + with.timeoutMs));
                if (!(answer.get("serial") instanceof Long serial) || serial < 0) {
                    throw transport.fail("agent-bad-answer", "no serial", "");
                }
                delay = 1000;
                boolean missed = Boolean.TRUE.equals(answer.get("missed"));
                boolean tell = first || missed || serial != since;
                since = serial;
                first = false;
                if (tell) {
                    changed.accept(new Change(serial, missed));
                }
            } catch (AgentException e) {
                // The serial begins anew with the next agent.
                since = 0;
                first = true;
                if (closed() || !pause.test(delay)) {
                    return;
                }
                delay = Math.min(2 * delay, 30_000);
            }
        }
    }

    /** Holds this machine against a license that is verified, once per license and reading. */
    private Comparison compare(License.Checked checked, String hash, long mono) {
        newest = Math.max(newest, checked.keySet().number("ver"));
        if (device == null || mono - readAt >= with.rereadMs) {
            device = with.observe.get();
            readAt = mono;
            compared = "";
        }
        if (!compared.equals(hash)) {
            Members dev = checked.claims().object("dev");
            Map<String, List<String>> parts = new LinkedHashMap<>();
            dev.objects("fp").forEach(p -> parts.put(p.text("kind"), p.texts("h")));
            result = Fingerprint.compare(dev.object("pol"), dev.text("env"), Canonical.decode64(dev.text("salt")), parts, device);
            compared = hash;
        }
        return result;
    }

    private AgentException wrongDevice(Comparison c) {
        return transport.fail("agent-wrong-device", c.results().toString(), "");
    }

    private static Verdict verdict(License.Checked checked, Comparison same, boolean runs, String phase, String reason, Map<?, ?> words,
            Map<?, ?> said) {
        Members c = checked.claims();
        Map<String, Long> limits = new LinkedHashMap<>();
        c.objects("lim").forEach(l -> limits.put(l.text("name"), l.number("value")));
        List<String> flags = new ArrayList<>();
        if (said.get("flags") instanceof List<?> list) {
            list.stream().filter(String.class::isInstance).forEach(f -> flags.add((String) f));
        }
        return new Verdict(runs, phase, reason, Transport.text(words, "message"), Transport.text(words, "next_step"), List.copyOf(flags),
                c.text("lic"), c.text("ed"), c.number("seats"), checked.keySet().number("ver"), List.copyOf(c.texts("feat")), Map.copyOf(limits),
                Instant.ofEpochSecond(c.number("exp")), Instant.ofEpochSecond(c.number("ren")), Instant.ofEpochSecond(c.number("grc")), same);
    }

    /** For callers that hold the anchor as text. */
    public static Builder of(String anchor) {
        return new Builder(anchor.getBytes(StandardCharsets.UTF_8));
    }
}
