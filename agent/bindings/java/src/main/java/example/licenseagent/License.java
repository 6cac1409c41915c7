package example.licenseagent;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Opening signed messages and deciding (SPEC.md sections 4 to 11). The methods
 * throw FormatException with the code of section 11; what they return has passed
 * every check.
 */
final class License {
    private static final long DEFAULT_TOLERANCE = 400 * Limits.DAY;
    private static final long MAX_AGE_MS = 5000;

    private License() {}

    private static Canonical.Envelope envelope(byte[] data, String kind, int limit) throws FormatException {
        return Canonical.envelope(data, "application/vnd.license-agent." + kind + ".v1+json", limit);
    }

    /** Reads a trust anchor file; every failure is "anchor". */
    static Members parseAnchor(byte[] file) throws FormatException {
        try {
            if (file.length > 64 << 10) {
                throw new FormatException("too-large");
            }
            Members a = Canonical.decode(Canonical.compact(file), Shapes.ANCHOR, true);
            Limits.anchor(a);
            return a;
        } catch (FormatException e) {
            throw new FormatException("anchor", e.getMessage());
        }
    }

    private static boolean signedBy(Keys.PublicKey key, Canonical.Envelope env) {
        String id = Keys.id(key);
        return !id.isEmpty() && env.signatures().stream().anyMatch(s -> s.keyId().equals(id) && Keys.verify(key, env.message(), s.bytes()));
    }

    // Each key counts once however often it signs or is listed.
    private static void reached(Members roots, Canonical.Envelope env) throws FormatException {
        Set<Keys.PublicKey> keys = new HashSet<>();
        roots.objects("keys").forEach(k -> keys.add(k.key()));
        if (keys.stream().filter(k -> signedBy(k, env)).count() < roots.number("threshold")) {
            throw new FormatException("threshold");
        }
    }

    /** Verifies a key set by the roots of the anchor, of the set held before (or null), and its own. */
    static Members openKeySet(Members anchor, byte[] data, Members previous) throws FormatException {
        Canonical.Envelope env = envelope(data, "keyset", 128 << 10);
        reached(anchor.object("roots"), env);
        if (previous != null) {
            reached(previous.object("roots"), env);
        }
        Members ks = Canonical.decode(env.payload(), Shapes.KEYSET);
        Limits.keyset(ks);
        reached(ks.object("roots"), env);
        if (!ks.text("iss").equals(anchor.text("iss")) || previous != null && !ks.text("iss").equals(previous.text("iss"))) {
            throw new FormatException("issuer");
        }
        if (previous != null && (ks.number("ver") < previous.number("ver") || ks.number("ver") == previous.number("ver") && !ks.equals(previous))) {
            throw new FormatException("keyset-rollback");
        }
        return ks;
    }

    private static List<Members> signers(Members ks, Canonical.Envelope env, String use) throws FormatException {
        List<Members> found = new ArrayList<>();
        for (Canonical.Signature s : env.signatures()) {
            for (Members k : ks.objects("keys")) {
                if (k.text("kid").equals(s.keyId()) && k.text("use").equals(use) && Keys.verify(k.key(), env.message(), s.bytes())) {
                    found.add(k);
                }
            }
        }
        if (found.isEmpty()) {
            throw new FormatException("signature");
        }
        return found;
    }

    private static void pairs(Members ks, List<Members> keys, Members message, long made) throws FormatException {
        List<String> problems = keys.stream().map(k -> problem(ks, k, made)).toList();
        if (!problems.contains("")) {
            throw new FormatException(problems.get(0));
        }
        if (!message.text("iss").equals(ks.text("iss"))) {
            throw new FormatException("issuer");
        }
        if (ks.number("ver") < message.number("ks")) {
            throw new FormatException("keyset-too-old");
        }
    }

    private static String problem(Members ks, Members key, long made) {
        if (ks.texts("revoked").contains(key.text("kid"))) {
            return "key-revoked";
        }
        if (made < key.number("nbf")) {
            return "key-not-yet";
        }
        return made < key.number("min") ? "key-revoked" : "";
    }

    /** Verifies a license by an open key set; revlic and time are asked separately. */
    static Members openLicense(Members ks, byte[] data) throws FormatException {
        Canonical.Envelope env = envelope(data, "license", 16 << 10);
        List<Members> keys = signers(ks, env, "license");
        Members c = Canonical.decode(env.payload(), Shapes.LICENSE);
        Limits.license(c);
        pairs(ks, keys, c, c.number("iat"));
        return c;
    }

    /** Verifies a notice by an open key set. */
    static Members openNotice(Members ks, byte[] data) throws FormatException {
        Canonical.Envelope env = envelope(data, "notice", 16 << 10);
        List<Members> keys = signers(ks, env, "notice");
        Members n = Canonical.decode(env.payload(), Shapes.NOTICE);
        Limits.notice(n);
        pairs(ks, keys, n, n.number("st"));
        return n;
    }

    /** Verifies a proof by the device key of a license. */
    static Members openProof(Keys.PublicKey key, byte[] data) throws FormatException {
        Canonical.Envelope env = envelope(data, "proof", 16 << 10);
        if (!signedBy(key, env)) {
            throw new FormatException("signature");
        }
        Members p = Canonical.decode(env.payload(), Shapes.PROOF);
        Limits.proof(p);
        return p;
    }

    /** Verifies a request by the key that it carries. */
    static Members openRequest(byte[] data) throws FormatException {
        Canonical.Envelope env = envelope(data, "request", 64 << 10);
        Members r = Canonical.decode(env.payload(), Shapes.REQUEST);
        Limits.request(r);
        if (!signedBy(r.object("dk").key(), env)) {
            throw new FormatException("signature");
        }
        return r;
    }

    /** SHA-256 in hex, as a proof names a license envelope. */
    static String sha256(byte[] data) {
        return HexFormat.of().formatHex(digest("SHA-256", data));
    }

    /** A hash of parts, one behind the other. */
    static byte[] digest(String algorithm, byte[]... parts) {
        try {
            MessageDigest d = MessageDigest.getInstance(algorithm);
            for (byte[] part : parts) {
                d.update(part);
            }
            return d.digest();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e); // every Java has it
        }
    }

    /** State and reason of a license at a UTC second. */
    record State(String state, String reason) {
        static State at(Members c, long t) {
            if (t < c.number("nbf")) {
                return new State("not-valid", "not-yet-valid");
            }
            if (t >= c.number("exp")) {
                return new State("not-valid", "entitlement-ended");
            }
            if (t >= c.number("grc")) {
                return new State("not-valid", "grace-ended");
            }
            return new State(t >= c.number("ren") ? "valid-stale" : "valid", "");
        }
    }

    /** What a check of license, key set and proof has shown; proof is null for files. */
    record Checked(Members claims, Members keySet, Members proof, long time, State state, boolean runs, boolean keySetExpired) {}

    /** What a program knows when it checks an answer. */
    record Options(String product, String issuer, byte[] nonce, long now, long ageMs, long tolerance, long minKeySet) {}

    /**
     * Verifies answers for one anchor and remembers by hash what was verified, so
     * that only the proof is verified anew. Not safe for concurrent use.
     */
    static final class Verifier {
        private static final int KEEP = 16;
        private final Members anchor;
        private final Map<String, Members> keySets = bounded();
        private final Map<String, Members> licenses = bounded();

        Verifier(Members anchor) {
            this.anchor = anchor;
        }

        private static Map<String, Members> bounded() {
            return new LinkedHashMap<>() {
                private static final long serialVersionUID = 1;

                @Override
                protected boolean removeEldestEntry(Map.Entry<String, Members> eldest) {
                    return size() > KEEP;
                }
            };
        }

        private record Opened(Members claims, Members keySet, String hash) {}

        private Opened open(Options o, byte[] license, byte[] keySet) throws FormatException {
            if (o.product.isEmpty() || o.tolerance < 0 || o.now < 0) {
                throw new FormatException("options");
            }
            if (!o.issuer.isEmpty() && !o.issuer.equals(anchor.text("iss"))) {
                throw new FormatException("issuer");
            }
            String setHash = sha256(keySet);
            Members ks = keySets.get(setHash);
            if (ks == null) {
                ks = openKeySet(anchor, keySet, null);
                keySets.put(setHash, ks);
            }
            if (ks.number("ver") < o.minKeySet) {
                throw new FormatException("keyset-rollback");
            }
            if (o.now - (o.tolerance == 0 ? DEFAULT_TOLERANCE : o.tolerance) >= ks.number("exp")) {
                throw new FormatException("keyset-expired");
            }
            String hash = sha256(license);
            Members claims = licenses.get(setHash + hash);
            if (claims == null) {
                claims = openLicense(ks, license);
                licenses.put(setHash + hash, claims);
            }
            if (!claims.text("prod").equals(o.product)) {
                throw new FormatException("product", "license");
            }
            return new Opened(claims, ks, hash);
        }

        /** Steps 1, 2, 3 and 5 of SPEC.md section 8. */
        Checked check(Options o, byte[] license, byte[] keySet, byte[] proof) throws FormatException {
            if (o.nonce.length != 32) {
                throw new FormatException("options", "nonce");
            }
            Opened l = open(o, license, keySet);
            Members p = openProof(l.claims.object("dev").object("dk").key(), proof);
            if (!p.text("nonce").equals(Canonical.encode64(o.nonce))) {
                throw new FormatException("nonce");
            }
            if (!p.text("prod").equals(o.product)) {
                throw new FormatException("product", "proof");
            }
            if (!p.text("sha").equals(l.hash)) {
                throw new FormatException("hash");
            }
            if (o.ageMs < 0 || o.ageMs > MAX_AGE_MS) {
                throw new FormatException("stale");
            }
            return decide(l, p, o.now);
        }

        /** Steps 1, 2 and 5: without a proof. */
        Checked files(Options o, byte[] license, byte[] keySet) throws FormatException {
            return decide(open(o, license, keySet), null, o.now);
        }

        private static Checked decide(Opened l, Members proof, long now) {
            // Signed times can only move the clock forward.
            long t = Math.max(Math.max(now, l.claims.number("st")), proof == null ? 0 : proof.number("time"));
            State s = State.at(l.claims, t);
            if (l.keySet.texts("revlic").contains(l.claims.text("lic"))) {
                s = new State("not-valid", "license-revoked");
            }
            boolean runs = !s.state.equals("not-valid") && (proof == null || proof.bool("runs"));
            return new Checked(l.claims, l.keySet, proof, t, s, runs, t >= l.keySet.number("exp"));
        }
    }

    /** UTF-8 of a text. */
    static byte[] bytes(String s) {
        return s.getBytes(StandardCharsets.UTF_8);
    }
}
