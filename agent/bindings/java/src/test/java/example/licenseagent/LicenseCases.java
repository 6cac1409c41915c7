package example.licenseagent;

import java.security.KeyFactory;
import java.security.Signature;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/** Every case of the license format's shared vectors. */
final class LicenseCases {
    private final Cases cases;
    private final Members data;
    private final Members file;

    LicenseCases(Cases cases) throws Exception {
        this.cases = cases;
        this.file = Cases.load("activation/license/testdata/vectors.json");
        this.data = file.object("data");
    }

    void run() throws Exception {
        cases.run("number of vectors", () -> Cases.that(file.objects("vectors").size() >= 600, "600 vectors"));
        for (Members v : file.objects("vectors")) {
            cases.run(v.text("name"), () -> one(v));
        }
        for (Members v : Cases.load("agent/bindings/testdata/wycheproof.json").objects("vectors")) {
            cases.run(v.text("name"), () -> one(v));
        }
        cases.run("control: Java accepts a byte appended", this::control);
    }

    private byte[] bytes(Members v, String name) {
        String s = Cases.text(v, name);
        return License.bytes(s.startsWith("@") ? data.text(s.substring(1)) : s);
    }

    private static byte[] hex(String s) {
        return HexFormat.of().parseHex(s);
    }

    private void one(Members v) throws Exception {
        String code = "ok";
        Map<String, Object> got = Map.of();
        try {
            got = op(v);
        } catch (FormatException e) {
            code = e.code;
        }
        Cases.equal(code, v.text("want"), "code");
        if (v.has("result")) {
            Map<Object, Object> want = new LinkedHashMap<>(v.object("result").map());
            if (want.containsKey("state")) {
                want.putIfAbsent("reason", "");
            }
            for (Map.Entry<Object, Object> e : want.entrySet()) {
                Cases.equal(got.get(e.getKey()), e.getValue(), e.getKey().toString());
            }
        }
    }

    private Map<String, Object> op(Members v) throws Exception {
        byte[] input = v.has("input_hex") ? hex(v.text("input_hex")) : bytes(v, "input");
        switch (v.text("op")) {
            case "license":
                return payload(License.openLicense(keySet(v), input));
            case "notice":
                return payload(License.openNotice(keySet(v), input));
            case "keyset":
                Members anchor = License.parseAnchor(bytes(v, "anchor"));
                Members prev = v.has("prev") ? License.openKeySet(anchor, bytes(v, "prev"), null) : null;
                return payload(License.openKeySet(anchor, input, prev));
            case "proof":
                return payload(License.openProof(v.object("key").key(), input));
            case "request":
                return payload(License.openRequest(input));
            case "anchor":
                return payload(License.parseAnchor(input));
            case "check", "files":
                return decide(v);
            case "time":
                License.State s = License.State.at(v.object("times"), v.object("times").number("t"));
                return Map.of("state", s.state(), "reason", s.reason());
            case "verify":
                if (!Keys.verify(v.object("key").key(), hex(v.texts("args").get(0)), hex(v.texts("args").get(1)))) {
                    throw new FormatException("signature");
                }
                return Map.of();
            case "keyid":
                if (!Keys.usable(v.object("key").key())) {
                    throw new FormatException("key");
                }
                return Map.of("text", Keys.id(v.object("key").key()), "text2", Keys.deviceId(v.object("key").key()));
            case "pae":
                return Map.of("text", HexFormat.of().formatHex(Canonical.pae(v.texts("args").get(0), License.bytes(v.texts("args").get(1)))));
            case "hash":
                return Map.of("text", Fingerprint.hash(hex(v.texts("args").get(0)), v.texts("args").get(1), v.texts("args").get(2)));
            default:
                throw new AssertionError("unknown op " + v.text("op"));
        }
    }

    private Members keySet(Members v) throws FormatException {
        return License.openKeySet(License.parseAnchor(bytes(v, "anchor")), bytes(v, "keyset"), null);
    }

    private static Map<String, Object> payload(Members m) {
        return Map.of("payload", Json.write(m.map()));
    }

    private Map<String, Object> decide(Members v) throws Exception {
        Members o = v.object("options");
        License.Verifier verifier = new License.Verifier(License.parseAnchor(bytes(v, "anchor")));
        License.Options options = new License.Options(o.text("product"), o.text("issuer"), hex(o.text("nonce_hex")), o.number("now"),
                o.number("age_ms"), o.number("tolerance"), o.number("min_keyset"));
        License.Checked[] seen = new License.Checked[2];
        String[] codes = {"", ""};
        FormatException last = null;
        for (int i = 0; i < 2; i++) { // what is remembered must not change any verdict
            try {
                seen[i] = v.text("op").equals("files") ? verifier.files(options, bytes(v, "license"), bytes(v, "keyset"))
                        : verifier.check(options, bytes(v, "license"), bytes(v, "keyset"), bytes(v, "proof"));
            } catch (FormatException e) {
                codes[i] = e.code;
                last = e;
            }
        }
        Cases.equal(codes[1], codes[0], "code of the second call");
        Cases.equal(seen[1], seen[0], "second call");
        if (last != null) {
            throw last;
        }
        License.Checked c = seen[0];
        return Map.of("state", c.state().state(), "reason", c.state().reason(), "runs", c.runs(), "time", c.time(), "keyset_expired", c.keySetExpired());
    }

    private void control() throws Exception {
        Members genuine = file.objects("vectors").stream().filter(v -> v.text("name").equals("verify: ed25519: genuine")).findFirst().orElseThrow();
        byte[] spki = hex("302a300506032b6570032100" + HexFormat.of().formatHex(Canonical.decode64(genuine.object("key").text("pub"))));
        byte[] longer = Arrays.copyOf(hex(genuine.texts("args").get(1)), 65);
        Signature s = Signature.getInstance("Ed25519");
        s.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(spki)));
        s.update(hex(genuine.texts("args").get(0)));
        boolean library = false;
        try {
            library = s.verify(longer);
        } catch (java.security.SignatureException e) {
            library = false; // a Java that was mended
        }
        System.out.println("java: this library alone " + (library ? "accepts" : "refuses") + " a signature of 65 bytes");
        Cases.that(!Keys.verify(genuine.object("key").key(), hex(genuine.texts("args").get(0)), longer), "65 bytes are refused here");
        int open = Cases.load("agent/bindings/testdata/wycheproof.json").objects("vectors").size();
        Cases.count("license", file.objects("vectors").size());
        Cases.count("signatures", open);
        Cases.report("P10", file.objects("vectors").size() + " license vectors and " + open + " public signatures, 0 other verdicts",
                "the library alone accepts " + (library ? 1 : 0) + " of 1 signature with a byte appended");
    }
}
