package example.licenseagent;

import java.math.BigInteger;
import java.util.Collections;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Public keys and raw signatures (SPEC.md section 1). */
final class Keys {
    static final String ED25519 = "ed25519";
    static final String P256 = "p256-sha256";
    private static final int KEEP = 256;
    // y of the points of order 1, 2, 4 and 8: under such a key one signature
    // fits many messages, and libraries disagree about them.
    private static final Set<BigInteger> WEAK = Set.of(BigInteger.ZERO, BigInteger.ONE, Edwards.P.subtract(BigInteger.ONE),
            new BigInteger("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16),
            new BigInteger("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16));
    private static final Map<PublicKey, Optional<Loaded>> LOADED = Collections.synchronizedMap(new LinkedHashMap<>() {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<PublicKey, Optional<Loaded>> eldest) {
            return size() > KEEP;
        }
    });

    /** A public key as it stands in a message. */
    record PublicKey(String alg, String pub) {}

    /** A usable key. Its table is made with the first signature: a key set lists keys that never sign here. */
    private static final class Loaded {
        final byte[] raw;
        final String digest;
        private long[][][] table;

        Loaded(String alg, byte[] raw) {
            this.raw = raw;
            digest = HexFormat.of().formatHex(License.digest("SHA-256", License.bytes(alg + "\n"), raw), 0, 16);
        }

        /** Null for an Ed25519 key that is no point. */
        synchronized long[][][] table() {
            if (table == null) {
                table = raw.length == 32 ? Edwards.CURVE.key(raw) : Weierstrass.CURVE.key(raw);
            }
            return table;
        }
    }

    private Keys() {}

    private static Optional<Loaded> load(PublicKey key) {
        Optional<Loaded> known = LOADED.get(key);
        if (known == null) {
            byte[] raw = Canonical.decode64(key.pub);
            known = raw != null && sound(key.alg, raw) ? Optional.of(new Loaded(key.alg, raw)) : Optional.empty();
            LOADED.put(key, known);
        }
        return known;
    }

    private static boolean sound(String alg, byte[] raw) {
        if (alg.equals(ED25519) && raw.length == 32) {
            BigInteger y = Edwards.littleEndian(raw).clearBit(255);
            return y.compareTo(Edwards.P) < 0 && !WEAK.contains(y);
        }
        return alg.equals(P256) && Weierstrass.sound(raw);
    }

    /** Says whether a key can be used at all. */
    static boolean usable(PublicKey key) {
        return load(key).isPresent();
    }

    /** The id of a key, "" for an unusable one. */
    static String id(PublicKey key) {
        return load(key).map(k -> "sha256:" + k.digest).orElse("");
    }

    /** The id of the device with this key, "" for an unusable one. */
    static String deviceId(PublicKey key) {
        return load(key).map(k -> "dev:" + k.digest).orElse("");
    }

    /** Checks one raw signature. */
    static boolean verify(PublicKey key, byte[] message, byte[] signature) {
        Optional<Loaded> loaded = load(key);
        long[][][] table = loaded.map(Loaded::table).orElse(null);
        if (table == null || signature.length != 64) {
            return false;
        }
        if (key.alg.equals(ED25519)) {
            return Edwards.CURVE.verify(table, loaded.get().raw, message, signature);
        }
        return Weierstrass.CURVE.verify(table, message, signature);
    }
}
