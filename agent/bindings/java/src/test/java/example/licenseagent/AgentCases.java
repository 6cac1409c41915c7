package example.licenseagent;

import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

/** Genuine and fake agents on a real Unix socket. */
final class AgentCases {
    private static final String PROOF = "application/vnd.license-agent.proof.v1+json";
    private final Cases cases;
    private final Members talk;
    private final Members data;
    private final Members genuine;

    AgentCases(Cases cases) throws Exception {
        this.cases = cases;
        talk = Cases.load("agent/bindings/testdata/conversation.json");
        data = talk.object("data");
        genuine = talk.objects("checks").get(0);
    }

    /** The proof that a side in possession of the named key makes. */
    private String sealProof(Members c, byte[] asked, boolean reread) throws Exception {
        if (!c.has("proof")) {
            return "";
        }
        Members p = c.object("proof");
        if (p.has("data")) {
            return data.text(p.text("data"));
        }
        byte[] nonce = asked.clone();
        nonce[0] ^= Cases.bool(p, "flip") ? 1 : 0;
        String seed = talk.object("seeds").text(p.text("key"));
        Map<String, Object> m = new LinkedHashMap<>();
        m.put("v", 1L);
        m.put("nonce", Canonical.encode64(nonce));
        m.put("prod", p.text("product"));
        m.put("sha", License.sha256(License.bytes(data.text(p.text("license")))));
        m.put("phase", p.text("phase"));
        m.put("runs", p.bool("runs"));
        m.put("missing", !p.has("missing") || Cases.bool(p, "late") && !reread ? List.of() : p.texts("missing"));
        m.put("time", p.number("time"));
        m.put("boot", "boot-1");
        byte[] payload = License.bytes(Json.write(m));
        Signature s = Signature.getInstance("Ed25519");
        s.initSign(KeyFactory.getInstance("Ed25519").generatePrivate(
                new PKCS8EncodedKeySpec(HexFormat.of().parseHex("302e020100300506032b657004220420" + seed))));
        s.update(Canonical.pae(PROOF, payload));
        return "{\"payloadType\":\"" + PROOF + "\",\"payload\":\"" + Canonical.encode64(payload) + "\",\"signatures\":[{\"keyid\":\""
                + keyId(p.text("key")) + "\",\"sig\":\"" + Canonical.encode64(s.sign()) + "\"}]}";
    }

    // The JDK does not derive a public key from a seed; the license names it.
    private String keyId(String key) throws Exception {
        String name = key.equals("desk") ? "license" : key + " license";
        Canonical.Envelope env = Canonical.envelope(License.bytes(data.text(name)), "application/vnd.license-agent.license.v1+json", 16 << 10);
        return Keys.id(new Members(Json.parse(env.payload())).object("dev").object("dk").key());
    }

    /** What the answering side of a case sends. */
    FakeAgent.Reply answer(Members c, String request) throws Exception {
        return answer(c, request, "keyset");
    }

    private FakeAgent.Reply answer(Members c, String request, String keySet) throws Exception {
        if (c.has("raw")) {
            return FakeAgent.Reply.of(c.has("status") ? (int) c.number("status") : 200, c.text("raw"));
        }
        Members asked = new Members(Json.parse(request));
        byte[] nonce = Canonical.decode64(asked.text("nonce"));
        Map<String, Object> body = new LinkedHashMap<>();
        body.put("license", Canonical.encode64(License.bytes(data.text(c.text("license")))));
        body.put("keyset", Canonical.encode64(License.bytes(data.text(c.text(keySet)))));
        body.put("proof", Canonical.encode64(License.bytes(sealProof(c, nonce, Cases.bool(asked, "reread")))));
        body.put("verdict", Map.of("phase", "active", "runs", true, "message", "Said by the agent.", "flags", List.of("drift")));
        return FakeAgent.Reply.of(200, Json.write(body));
    }

    Checker.Builder checker(String socket, Members c) {
        AtomicLong calls = new AtomicLong();
        long age = Cases.number(c, "age_ms");
        Device d = Cases.device(c.object("observe"));
        Device before = c.has("before") ? Cases.device(c.object("before")) : d;
        AtomicLong reads = new AtomicLong();
        return Checker.of(talk.text("anchor")).socket(socket).observe(() -> reads.getAndIncrement() == 0 ? before : d)
                .clock(() -> talk.number("start") + Cases.number(c, "late"), () -> calls.incrementAndGet() / 2 * age);
    }

    private String code(Path socket, Set<Integer> owners, long timeoutMs) {
        return code(socket, owners, timeoutMs, "");
    }

    String code(Path socket, Set<Integer> owners, long timeoutMs, String relay) {
        try (Checker k = checker(socket.toString(), genuine).owners(owners).timeoutMs(timeoutMs).relay(relay).build()) {
            k.check("studio");
            return "";
        } catch (AgentException e) {
            sentences(e);
            return e.code();
        }
    }

    /** What a support engineer needs: a sentence always, the next step when this side found the error. */
    private static void sentences(AgentException e) {
        Cases.that(!e.sentence().isEmpty() && (!e.hint().isEmpty() || !e.code().startsWith("agent-")), "sentences of " + e.code());
    }

    private String code(Path socket) {
        return code(socket, Set.of(), 5000);
    }

    private static void judge(Members want, AgentException e, Verdict v) {
        if (e != null) {
            Cases.equal(e.code(), Cases.text(want, "code"), e.toString());
            sentences(e);
            Cases.that(!want.has("cause") || want.text("cause").equals(e.reason()), "reason " + e.reason());
            Cases.that(!want.has("message") || want.text("message").equals(e.sentence()), "sentence " + e.sentence());
            return;
        }
        Cases.equal("", Cases.text(want, "code"), "no error");
        Cases.equal(List.of(v.runs(), v.phase(), v.reason(), v.keySet()),
                List.of(want.bool("runs"), Cases.text(want, "phase"), Cases.text(want, "reason"), want.number("keyset")), "verdict");
        Cases.that(!want.has("outcome") || want.text("outcome").equals(v.device().outcome()), "outcome " + v.device().outcome());
        Cases.that(!want.has("message") || List.of(want.text("message"), want.text("next_step")).equals(List.of(v.message(), v.nextStep())),
                "words " + v.message());
    }

    void run() {
        for (Members c : talk.objects("checks")) {
            cases.run("check: " + c.text("name"), () -> check(c));
        }
        for (Members c : talk.objects("files")) {
            cases.run("files: " + c.text("name"), () -> {
                try {
                    judge(c.object("want"), null, checker("/nowhere", c).build().checkFiles(c.text("product"), License.bytes(c.text("file"))));
                } catch (AgentException e) {
                    judge(c.object("want"), e, null);
                }
            });
        }
        for (Members c : talk.objects("endpoints")) {
            for (String relay : List.of("", RelayCases.PROGRAM)) {
                endpoint(c, relay);
            }
        }
        for (Members c : talk.objects("slow")) {
            cases.run("slow: " + c.text("name"), () -> slow(c));
        }
        RelayCases relays = new RelayCases(this);
        cases.run("the relay: one child for many checks, started anew when the agent hangs up", relays::manyChecks);
        cases.run("the relay: what can be wrong with it", relays::wrong);
        cases.run("control: a program that believes the answer is fooled by at least ten fakes", this::control);
        cases.run("a seat is taken up again after a restart, and lost", () -> new SeatCases(this).takenUpAgainAndLost());
        cases.run("a seat ends with its checker", () -> new SeatCases(this).endsWithItsChecker());
        cases.run("a seat that is closed while it is taken up again is given back", () -> new SeatCases(this).closedWhileItIsTakenUpAgain());
        cases.run("a seat that proves nothing is given back", () -> new SeatCases(this).refused());
        cases.run("verdict", this::verdict);
        cases.run("one connection and one reading of the machine for many checks", this::oneConnection);
        cases.run("threads share a checker", this::threads);
        cases.run("a kept connection that the agent closed is replaced", this::restart);
        cases.run("nobody listens", this::nobody);
        cases.run("somebody else could have put the socket there", this::wrongOwner);
        cases.run("configuration", this::configuration);
        cases.run("golden answers", this::golden);
        cases.run("watch", this::watch);
        cases.run("close ends a watch", this::closeEndsWatch);
        cases.run("close ends the pause of a watch", this::closeEndsThePause);
        cases.run("one byte at a time keeps no program waiting past its deadline", this::drip);
    }

    private void endpoint(Members c, String relay) {
        cases.run("endpoint" + (relay.isEmpty() ? "" : " through the relay") + ": " + c.text("name"), () -> {
            byte[] said = License.bytes(Cases.text(c, "say") + (c.has("with") ? c.text("with") : "x").repeat((int) Cases.number(c, "fill")));
            try (FakeAgent a = new FakeAgent((t, b) -> new FakeAgent.Reply(0, said, c.bool("hang")))) {
                Cases.equal(code(a.socket, Set.of(), c.text("want").equals("agent-timeout") ? 400 : 20_000, relay), c.text("want"), "code");
            }
        });
    }

    /** The first answer takes most of the time that the whole call has. */
    private void slow(Members c) throws Exception {
        Members said = check(c.text("answer"));
        AtomicInteger asked = new AtomicInteger();
        CountDownLatch never = new CountDownLatch(1);
        String seat = Files.readString(Cases.REPOSITORY.resolve("agent/api/testdata/seat-answer.json"));
        String code = "";
        try (FakeAgent a = new FakeAgent((t, b) -> {
            if (asked.incrementAndGet() > 1) {
                return null; // silence
            }
            never.await(c.number("delay_ms"), TimeUnit.MILLISECONDS);
            return t.equals("/v1/check") ? answer(said, b) : FakeAgent.Reply.of(200, seat);
        }); Checker k = checker(a.socket.toString(), said).timeoutMs(c.number("timeout_ms")).build()) {
            long began = System.nanoTime();
            try {
                if (c.text("call").equals("check")) {
                    k.check("studio");
                } else {
                    k.seat("studio", "", 0);
                }
            } catch (AgentException e) {
                code = e.code();
            }
            long took = (System.nanoTime() - began) / 1_000_000;
            Cases.equal(code + " " + asked, c.text("want") + " 2", "code and questions");
            Cases.that(took < c.number("at_most_ms"), took + " ms");
        }
    }

    private void check(Members c) throws Exception {
        List<String> seen = new ArrayList<>();
        AtomicLong rereads = new AtomicLong();
        try (FakeAgent a = new FakeAgent((t, b) -> {
            Members in = new Members(Json.parse(b));
            rereads.addAndGet(Cases.bool(in, "reread") ? 1 : 0);
            seen.add(t + " " + in.text("product") + " " + in.text("issuer") + " " + in.text("nonce"));
            return answer(c, b, c.has("first") && seen.size() == 1 ? "first" : "keyset");
        }); Checker k = checker(a.socket.toString(), c).build()) {
            for (int i = 0; i < 2; i++) { // the second time license and key set are remembered
                Members want = c.object(c.has("first") && i == 0 ? "want_first" : "want");
                try {
                    judge(want, null, k.check("studio"));
                } catch (AgentException e) {
                    judge(want, e, null);
                }
            }
        }
        long again = Cases.number(c, "again");
        Cases.equal(List.of((long) seen.size(), rereads.get()), List.of(2 + again, again), "requests");
        Cases.that(seen.stream().allMatch(s -> s.startsWith("/v1/check studio acme ")), "request " + seen);
        Cases.equal((int) seen.stream().distinct().count(), seen.size(), "fresh nonces");
    }

    /** The check of this name. */
    Members check(String name) {
        return talk.objects("checks").stream().filter(c -> c.text("name").equals(name)).findFirst().orElseThrow();
    }

    private void control() throws Exception {
        int fooled = 0;
        for (Members c : talk.objects("checks")) {
            if (Cases.bool(c, "fake")) {
                String body = new String(answer(c, "{\"nonce\":\"" + Canonical.encode64(new byte[32]) + "\"}").body());
                fooled += body.contains("\"runs\":true") ? 1 : 0;
            }
        }
        Cases.that(fooled >= 10, fooled + " fooled");
        long kinds = talk.objects("checks").stream().filter(c -> Cases.bool(c, "fake")).count();
        Cases.count("fakes", kinds);
        Cases.count("endpoints", talk.objects("endpoints").size());
        Cases.report("P14", kinds + " kinds of fake agent, 0 believed", "a program that believes the answer is fooled by " + fooled);
    }

    FakeAgent real() throws Exception {
        return new FakeAgent((t, b) -> answer(genuine, b));
    }

    private void verdict() throws Exception {
        try (FakeAgent a = real(); Checker k = checker(a.socket.toString(), genuine).build()) {
            Verdict v = k.check("studio");
            Cases.that(v.has("mesh") && !v.has("none"), "features");
            Cases.equal(List.of(v.edition(), v.seats(), v.limits(), v.license()), List.of("pro", 3L, Map.of("max-projects", 10L), "lic-desk"), "claims");
            Cases.equal(List.of(v.message(), v.flags()), List.of("Said by the agent.", List.of("drift")), "words");
            Cases.equal(v.expires().toString(), "2027-06-01T00:00:00Z", "expires");
        }
    }

    private void oneConnection() throws Exception {
        AtomicInteger reads = new AtomicInteger();
        AtomicLong mono = new AtomicLong();
        Device d = Cases.device(genuine.object("observe"));
        try (FakeAgent a = real(); Checker k = checker(a.socket.toString(), genuine).clock(() -> talk.number("start"), mono::get).observe(() -> {
            reads.incrementAndGet();
            return d;
        }).build()) {
            for (int i = 0; i < 5; i++) {
                k.check("studio");
            }
            Cases.equal(List.of(a.connections.get(), reads.get()), List.of(1, 1), "connections and readings");
            mono.addAndGet(3600_000);
            k.check("studio");
            Cases.equal(reads.get(), 2, "readings after an hour");
        }
    }

    private void threads() throws Exception {
        AtomicInteger good = new AtomicInteger();
        try (FakeAgent a = real(); Checker k = checker(a.socket.toString(), genuine).build()) {
            List<Thread> all = new ArrayList<>();
            for (int i = 0; i < 8; i++) {
                all.add(new Thread(() -> {
                    try {
                        for (int n = 0; n < 20; n++) {
                            good.addAndGet(k.check("studio").runs() ? 1 : 0);
                        }
                    } catch (AgentException e) {
                        System.out.println(e);
                    }
                }));
            }
            all.forEach(Thread::start);
            for (Thread t : all) {
                t.join();
            }
        }
        Cases.equal(good.get(), 160, "checks");
    }

    private void restart() throws Exception {
        try (FakeAgent a = real(); Checker k = checker(a.socket.toString(), genuine).build()) {
            k.check("studio");
            for (var c : a.open) {
                c.shutdownOutput();
            }
            Cases.that(k.check("studio").runs(), "runs");
            Cases.equal(a.connections.get(), 2, "connections");
        }
    }

    private void nobody() throws Exception {
        Path dir = Files.createTempDirectory("agent");
        Cases.equal(code(dir.resolve("none.sock")), "agent-not-running", "no socket");
        Cases.equal(code(dir.resolve("no/such/dir.sock")), "agent-not-running", "no directory");
        try (var server = java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
            server.bind(java.net.UnixDomainSocketAddress.of(dir.resolve("dead.sock")));
        }
        Cases.equal(code(dir.resolve("dead.sock")), "agent-not-running", "dead socket");
        Files.createFile(dir.resolve("file"));
        Cases.equal(code(dir.resolve("file")), "agent-wrong-owner", "a file");
        FingerprintCases.delete(dir);
    }

    private void wrongOwner() throws Exception {
        try (FakeAgent a = real()) {
            Files.setPosixFilePermissions(a.dir, PosixFilePermissions.fromString("rwxrwxrwx"));
            Cases.equal(code(a.socket), "agent-wrong-owner", "open directory");
            Files.setPosixFilePermissions(a.dir, PosixFilePermissions.fromString("rwx------"));
            Files.createSymbolicLink(a.dir.resolve("link"), a.dir);
            Cases.equal(code(a.dir.resolve("link/a.sock")), "", "through our own link");
            if (!Files.getAttribute(Path.of("/proc/self"), "unix:uid").equals(0)) {
                return; // only root can give a file away
            }
            Files.setAttribute(a.socket, "unix:uid", 65534, LinkOption.NOFOLLOW_LINKS);
            Cases.equal(code(a.socket), "agent-wrong-owner", "another user's socket");
            Cases.equal(code(a.socket, Set.of(65534), 5000), "", "an expected user's socket");
            Files.setAttribute(a.dir, "unix:uid", 65534, LinkOption.NOFOLLOW_LINKS);
            Cases.equal(code(a.socket), "agent-wrong-owner", "another user's directory");
        }
    }

    private void configuration() throws Exception {
        Cases.equal(Endpoint.path("", false), "/run/license-agent/agent.sock", "unnamed");
        Cases.equal(Endpoint.path("cad", false), "/run/license-agent-cad/agent.sock", "named");
        Cases.equal(Endpoint.path("cad", true), "\\\\.\\pipe\\license-agent-cad", "pipe");
        Cases.equal(Endpoint.program("cad", Map.of("ProgramFiles", "D:\\P")), "D:\\P\\license-agent-cad\\license-agent.exe", "program");
        String anchor = talk.text("anchor");
        for (Checker.Builder b : List.of(Checker.of(anchor).instance("Bad Name"), Checker.of(anchor).instance("../x"),
                Checker.of(anchor).socket("relative"), Checker.of(anchor).socket("/" + "x".repeat(200)))) {
            Cases.equal(refused(b).code(), "config-invalid", "code");
        }
        for (byte[] bad : List.of(new byte[0], License.bytes("{}"), new byte[] {-1}, License.bytes(anchor.replace("acme", "ACME")))) {
            AgentException e = refused(Checker.of(bad).language("zh-CN"));
            Cases.equal(e.code(), "anchor", "code");
            Cases.that(e.sentence().contains("信任锚") && !e.hint().isEmpty(), "sentence");
        }
    }

    private static AgentException refused(Checker.Builder b) {
        try {
            b.build();
        } catch (AgentException e) {
            return e;
        }
        throw new AssertionError("not refused");
    }

    private void golden() throws Exception {
        for (String[] g : new String[][] {{"check-answer", "200", "agent-untrusted"}, {"error", "422", "merchant-refused"}}) {
            String body = Files.readString(Cases.REPOSITORY.resolve("agent/api/testdata/" + g[0] + ".json"));
            try (FakeAgent a = new FakeAgent((t, b) -> FakeAgent.Reply.of(Integer.parseInt(g[1]), body))) {
                Cases.equal(code(a.socket), g[2], g[0]);
            }
        }
    }

    private void watch() throws Exception {
        String golden = Files.readString(Cases.REPOSITORY.resolve("agent/api/testdata/events.json"));
        String[] answers = {"{\"serial\":5,\"events\":[]}", "{\"serial\":5,\"events\":[]}", golden, "", "{\"serial\":1,\"events\":[]}"};
        List<String> asked = new ArrayList<>();
        List<Long> seen = new ArrayList<>();
        List<Long> pauses = new ArrayList<>();
        try (FakeAgent a = new FakeAgent((t, b) -> {
            asked.add(t.replace("/v1/events?since=", ""));
            String said = asked.size() <= answers.length ? answers[asked.size() - 1] : "";
            return said.isEmpty() ? FakeAgent.Reply.of(500, "{}") : FakeAgent.Reply.of(200, said);
        }); Checker k = checker(a.socket.toString(), genuine).build()) {
            k.watch(c -> {
                seen.add(c.serial());
                if (seen.size() == 3) {
                    k.close();
                }
            }, pauses::add);
        }
        Cases.equal(seen, List.of(5L, 7L, 1L), "serials");
        Cases.equal(asked, List.of("0&wait=0s", "5&wait=30s", "5&wait=30s", "7&wait=30s", "0&wait=0s"), "requests");
        Cases.equal(pauses, List.of(1000L), "pauses");
    }

    private void closeEndsWatch() throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        try (FakeAgent a = new FakeAgent((t, b) -> {
            if (t.contains("wait=0s")) {
                return FakeAgent.Reply.of(200, "{\"serial\":1,\"events\":[]}");
            }
            asked.countDown();
            return null;
        }); Checker k = checker(a.socket.toString(), genuine).build()) {
            Thread t = new Thread(() -> k.watch(c -> { }));
            t.start();
            Cases.that(asked.await(10, TimeUnit.SECONDS), "asked");
            k.close();
            t.join(10_000);
            Cases.that(!t.isAlive(), "ended");
        }
    }

    private void closeEndsThePause() throws Exception {
        Checker k = checker("/nonexistent/agent.sock", genuine).build();
        Thread closing = new Thread(k::close);
        closing.start();
        Cases.that(!k.rest(3_600_000), "the pause ends");
        closing.join();
    }

    private void drip() throws Exception {
        CountDownLatch asked = new CountDownLatch(1);
        try (FakeAgent a = new FakeAgent((t, b) -> {
            asked.countDown();
            return null;
        })) {
            Thread t = new Thread(() -> {
                try {
                    asked.await();
                    byte[] say = License.bytes("HTTP/1.1 200 OK\r\nX: y");
                    while (true) {
                        for (var c : a.open) {
                            c.write(java.nio.ByteBuffer.wrap(say));
                        }
                        say = new byte[] {'y'};
                        Thread.sleep(10);
                    }
                } catch (Exception e) {
                    return; // the program hung up, or the test is over
                }
            });
            t.start();
            Cases.equal(code(a.socket, Set.of(), 300), "agent-timeout", "code");
            t.interrupt();
            t.join();
        }
    }
}
