package example.licenseagent;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/** The shared fingerprint vectors, and recorded hosts. */
final class FingerprintCases {
    private final Cases cases;
    private final Members vectors;
    private final Members presets;
    private final List<Members> hosts;

    FingerprintCases(Cases cases) throws Exception {
        this.cases = cases;
        vectors = Cases.load("fingerprint/testdata/vectors.json");
        presets = Cases.load("agent/bindings/testdata/conversation.json").object("presets");
        hosts = ((List<?>) Json.parse(Files.readAllBytes(Cases.REPOSITORY.resolve("agent/bindings/testdata/hosts.json"))))
                .stream().map(Members::new).toList();
    }

    private interface Check {
        void of(Members v) throws Exception;
    }

    private void list(String name, Check check) {
        int i = 0;
        Cases.count("fingerprint", vectors.objects(name).size());
        for (Members v : vectors.objects(name)) {
            cases.run(name + " " + i++ + " " + Cases.text(v, "name"), () -> check.of(v));
        }
    }

    private static byte[] hex(String s) {
        return HexFormat.of().parseHex(s);
    }

    void run() {
        list("format", v -> Cases.equal(Fingerprint.format(Cases.device(v.object("device"))),
                new Fingerprint.Text(v.text("string"), (int) v.number("dropped_disks"), (int) v.number("dropped_macs")), "text"));
        list("parse", this::parse);
        list("canonical", v -> {
            String got = v.has("input_hex") ? Fingerprint.canonical(hex(v.text("input_hex"))) : Fingerprint.canonical(v.text("input"));
            Cases.equal(got, v.text("output"), "canonical");
            Cases.equal(Fingerprint.canonical(got), got, "canonical again");
        });
        list("hash", v -> Cases.equal(Fingerprint.hash(hex(v.text("salt")), v.text("kind"), v.text("value")), v.text("hash"), "hash"));
        list("placeholder", v -> Cases.equal(Fingerprint.placeholder(v.text("kind"), v.text("value")), v.bool("placeholder"), v.text("value")));
        list("cpu_forms", v -> Cases.equal(Fingerprint.cpuForms(v.text("value")), v.texts("forms"), "forms"));
        list("compare", this::compare);
        Cases.count("hosts", hosts.size());
        for (Members h : hosts) {
            cases.run("host " + h.text("name"), () -> host(h));
        }
        cases.run("this machine is read without an error, twice the same", () -> {
            Device d = Probe.observe(null);
            Cases.equal(Probe.observe(null), d, "second reading");
            for (String kind : Limits.KINDS) {
                Cases.that(List.of("ok", "absent", "unreadable", "placeholder").contains(d.part(kind).state()), kind);
            }
        });
    }

    private void parse(Members v) throws Exception {
        try {
            Fingerprint.Parsed got = Fingerprint.parse(v.text("string"));
            Members want = v.object("parsed");
            Cases.equal(got, new Fingerprint.Parsed(want.texts("macs"), want.texts("disks"), want.text("board"), want.text("cpu")), "parsed");
        } catch (FormatException e) {
            Cases.equal(e.code, Cases.text(v, "error"), "error");
        }
    }

    private void compare(Members v) {
        byte[] salt = hex(v.text("salt"));
        Device then = Cases.device(v.object("then"));
        Comparison c = Fingerprint.compare(presets.object(v.text("preset")), then.env(), salt, Fingerprint.enroll(salt, then), Cases.device(v.object("now")));
        Map<String, Object> got = new LinkedHashMap<>();
        got.put("outcome", c.outcome());
        got.put("results", c.results());
        got.put("matched", c.matched());
        got.put("available", c.available());
        got.put("enrolled", c.enrolled());
        got.put("need", c.need());
        got.put("left", c.left());
        got.put("strong_match", c.strongMatch());
        got.put("strong_changed", c.strongChanged());
        got.put("drift", c.drift());
        v.object("want").map().forEach((member, want) -> Cases.equal(got.get(member), want, member.toString()));
    }

    private void host(Members h) throws Exception {
        Path root = Files.createTempDirectory("host");
        try {
            for (Map.Entry<?, ?> e : h.object("files").map().entrySet()) {
                Path p = root.resolve((String) e.getKey());
                Files.createDirectories(p.getParent());
                Files.write(p, Base64.getDecoder().decode((String) e.getValue()));
            }
            for (Map.Entry<?, ?> e : h.object("links").map().entrySet()) {
                Path p = root.resolve((String) e.getKey());
                Files.createDirectories(p.getParent());
                Files.createSymbolicLink(p, Path.of((String) e.getValue()));
            }
            Device d = Probe.observe(root);
            for (String kind : h.bool("firmware") ? List.of("mac", "disk", "board") : List.of("mac", "disk")) {
                // Which disk lies behind "/" is not looked up in a recording.
                List<String> got = d.part(kind).values().stream().map(Device.Value::text).sorted().toList();
                Cases.equal(got, h.texts(kind).stream().sorted().toList(), kind);
            }
            Cases.equal(d.env().equals("container"), h.bool("container"), "container");
        } finally {
            delete(root);
        }
    }

    /** Removes a directory of a test with everything in it. */
    static void delete(Path root) throws java.io.IOException {
        try (Stream<Path> files = Files.walk(root)) {
            for (Path p : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
                Files.delete(p);
            }
        }
    }
}
