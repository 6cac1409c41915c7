package example.licenseagent;

import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;
import java.security.spec.ECPublicKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
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
    private static final BigInteger P = BigInteger.TWO.pow(255).subtract(BigInteger.valueOf(19));
    private static final BigInteger L = BigInteger.TWO.pow(252).add(new BigInteger("27742317777372353535851937790883648493"));
    // y of the points of order 1, 2, 4 and 8: under such a key one signature
    // fits many messages, and libraries disagree about them.
    private static final Set<BigInteger> WEAK = Set.of(BigInteger.ZERO, BigInteger.ONE, P.subtract(BigInteger.ONE),
            new BigInteger("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16),
            new BigInteger("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16));
    private static final byte[] SPKI_ED25519 = HexFormat.of().parseHex("302a300506032b6570032100"); // RFC 8410
    private static final ECParameterSpec CURVE = curve();
    private static final Map<PublicKey, Optional<Loaded>> LOADED = Collections.synchronizedMap(new LinkedHashMap<>() {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<PublicKey, Optional<Loaded>> eldest) {
            return size() > KEEP;
        }
    });

    /** A public key as it stands in a message. */
    record PublicKey(String alg, String pub) {}

    private record Loaded(java.security.PublicKey key, String digest) {}

    private Keys() {}

    private static ECParameterSpec curve() {
        try {
            AlgorithmParameters p = AlgorithmParameters.getInstance("EC");
            p.init(new ECGenParameterSpec("secp256r1"));
            return p.getParameterSpec(ECParameterSpec.class);
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("this Java has no P-256", e);
        }
    }

    private static Optional<Loaded> load(PublicKey key) {
        Optional<Loaded> known = LOADED.get(key);
        if (known == null) {
            known = Optional.ofNullable(make(key));
            LOADED.put(key, known);
        }
        return known;
    }

    private static Loaded make(PublicKey key) {
        byte[] raw = Canonical.decode64(key.pub);
        try {
            java.security.PublicKey made;
            if (raw != null && key.alg.equals(ED25519) && raw.length == 32) {
                BigInteger y = littleEndian(raw).clearBit(255);
                if (y.compareTo(P) >= 0 || WEAK.contains(y)) {
                    return null;
                }
                byte[] spki = Arrays.copyOf(SPKI_ED25519, SPKI_ED25519.length + 32);
                System.arraycopy(raw, 0, spki, SPKI_ED25519.length, 32);
                made = KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(spki));
            } else if (raw != null && key.alg.equals(P256) && raw.length == 65 && raw[0] == 4) {
                BigInteger x = new BigInteger(1, raw, 1, 32);
                BigInteger y = new BigInteger(1, raw, 33, 32);
                if (!onCurve(x, y)) {
                    return null;
                }
                made = KeyFactory.getInstance("EC").generatePublic(new ECPublicKeySpec(new ECPoint(x, y), CURVE));
            } else {
                return null;
            }
            MessageDigest sha = MessageDigest.getInstance("SHA-256");
            sha.update((key.alg + "\n").getBytes(StandardCharsets.US_ASCII));
            return new Loaded(made, HexFormat.of().formatHex(sha.digest(raw), 0, 16));
        } catch (GeneralSecurityException e) {
            return null;
        }
    }

    // The JDK does not check the point: a key off the curve is accepted there.
    private static boolean onCurve(BigInteger x, BigInteger y) {
        BigInteger p = ((java.security.spec.ECFieldFp) CURVE.getCurve().getField()).getP();
        if (x.compareTo(p) >= 0 || y.compareTo(p) >= 0) {
            return false;
        }
        BigInteger right = x.multiply(x).add(CURVE.getCurve().getA()).multiply(x).add(CURVE.getCurve().getB());
        return y.multiply(y).subtract(right).mod(p).signum() == 0;
    }

    private static BigInteger littleEndian(byte[] b) {
        byte[] big = new byte[b.length];
        for (int i = 0; i < b.length; i++) {
            big[b.length - 1 - i] = b[i];
        }
        return new BigInteger(1, big);
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

    /**
     * Checks one raw signature. The length comes first: Java's Ed25519 accepts a
     * signature with a byte appended. It also compares points and not bytes, so
     * that R must be checked to be the one spelling of its point.
     */
    static boolean verify(PublicKey key, byte[] message, byte[] signature) {
        Optional<Loaded> loaded = load(key);
        if (loaded.isEmpty() || signature.length != 64) {
            return false;
        }
        byte[] first = Arrays.copyOf(signature, 32);
        byte[] second = Arrays.copyOfRange(signature, 32, 64);
        try {
            Signature s;
            if (key.alg.equals(ED25519)) {
                BigInteger y = littleEndian(first);
                boolean sign = y.testBit(255);
                y = y.clearBit(255);
                boolean noX = y.equals(BigInteger.ONE) || y.equals(P.subtract(BigInteger.ONE));
                if (y.compareTo(P) >= 0 || sign && noX || littleEndian(second).compareTo(L) >= 0) {
                    return false;
                }
                s = Signature.getInstance("Ed25519");
            } else {
                BigInteger r = new BigInteger(1, first);
                BigInteger v = new BigInteger(1, second);
                for (BigInteger half : new BigInteger[] {r, v}) {
                    if (half.signum() == 0 || half.compareTo(CURVE.getOrder()) >= 0) {
                        return false;
                    }
                }
                SmallR small = new SmallR(CURVE);
                if (small.applies(r)) {
                    byte[] hash = MessageDigest.getInstance("SHA-256").digest(message);
                    return small.verify(((ECPublicKey) loaded.get().key).getW(), hash, r, v);
                }
                s = Signature.getInstance("SHA256withECDSAinP1363Format");
            }
            s.initVerify(loaded.get().key);
            s.update(message);
            return s.verify(signature);
        } catch (GeneralSecurityException e) {
            return false;
        }
    }
}
