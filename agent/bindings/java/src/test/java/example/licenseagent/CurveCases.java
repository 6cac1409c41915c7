package example.licenseagent;

import java.math.BigInteger;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;

/** The curves against Java's own arithmetic and signatures. Wycheproof's vectors are in LicenseCases. */
final class CurveCases {
    private static final int SIGNATURES = 300;
    private static final BigInteger N = new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);
    private final Cases cases;
    private final Random random = new Random(8); // the same inputs in each run

    CurveCases(Cases cases) {
        this.cases = cases;
    }

    void run() {
        for (BigInteger p : List.of(Edwards.CURVE.f.p, Weierstrass.CURVE.f.p)) {
            cases.run("products modulo " + p.toString(16), () -> products(new Field(p)));
        }
        cases.run("Ed25519 as Java", () -> signatures(Keys.ED25519, "Ed25519", "Ed25519"));
        cases.run("P-256 as Java", () -> signatures(Keys.P256, "EC", "SHA256withECDSAinP1363Format"));
        cases.run("a sum that is no point", this::neutral);
        cases.run("a point in a second spelling", CurveCases::spelling);
    }

    /** Limbs as far from zero as sixteen sums reach, and others. */
    private void products(Field f) {
        for (int round = 0; round < 20_000; round++) {
            long[][] in = new long[2][5];
            for (long[] limbs : in) {
                for (int i = 0; i < 5; i++) {
                    long most = 16 * ((1L << (i < 4 ? 52 : 48)) - 1);
                    long any = random.nextLong() >> 7 + random.nextInt(57);
                    limbs[i] = Math.min(most, Math.max(-most, random.nextInt(3) == 0 ? any : any < 0 ? -most : most));
                }
            }
            long[] out = f.mul(in[0], in[1]);
            Cases.equal(f.value(out), f.value(in[0]).multiply(f.value(in[1])).mod(f.p), Arrays.deepToString(in));
            for (int i = 0; i < 5; i++) {
                Cases.that(i < 4 ? out[i] >= 0 && out[i] < 1L << 52 : Math.abs(out[i]) < 1L << 49, "carried: " + Arrays.toString(out));
            }
        }
    }

    private void signatures(String alg, String generator, String algorithm) throws Exception {
        KeyPairGenerator g = KeyPairGenerator.getInstance(generator);
        if (generator.equals("EC")) {
            g.initialize(256);
        }
        int believed = 0;
        for (int round = 0; round < SIGNATURES; round++) {
            KeyPair pair = g.generateKeyPair();
            byte[] spki = pair.getPublic().getEncoded();
            int length = alg.equals(Keys.P256) ? 65 : 32;
            Keys.PublicKey key = new Keys.PublicKey(alg, Canonical.encode64(Arrays.copyOfRange(spki, spki.length - length, spki.length)));
            byte[] message = new byte[random.nextInt(300)];
            random.nextBytes(message);
            Signature s = Signature.getInstance(algorithm);
            s.initSign(pair.getPrivate());
            s.update(message);
            byte[] signature = s.sign();
            Cases.that(Keys.verify(key, message, signature), "a genuine signature");
            signature[random.nextInt(64)] ^= (byte) (1 << random.nextInt(8));
            boolean library;
            try {
                s.initVerify(pair.getPublic());
                s.update(message);
                library = s.verify(signature);
            } catch (java.security.SignatureException e) {
                library = false; // it throws for some of them
            }
            believed += library ? 1 : 0;
            Cases.equal(Keys.verify(key, message, signature), library, "one bit changed");
        }
        Cases.equal(believed, 0, "changed signatures that Java accepts");
        Cases.count("random " + alg, SIGNATURES);
    }

    /** u·G + v·G = 0 for r = −hash: X = Z = 0, so that X = r·Z says nothing. */
    private void neutral() {
        byte[] g = Canonical.decode64("BGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=");
        byte[] message = {1, 2, 3};
        BigInteger hash = new BigInteger(1, License.digest("SHA-256", message)).mod(N);
        BigInteger r = N.subtract(hash);
        byte[] signature = new byte[64];
        System.arraycopy(big(r), 0, signature, 0, 32);
        signature[63] = 1;
        Weierstrass c = Weierstrass.CURVE;
        Cases.that(Weierstrass.sound(g), "the base point");
        Cases.that(!c.verify(c.key(g), message, signature), "refused");
        long[][] sum = c.sum(hash, c.key(g), r, c.key(g)); // the control: the comparison alone would accept
        Cases.that(c.f.value(sum[0]).equals(r.multiply(c.f.value(sum[2])).mod(c.f.p)), "the sum has Z = 0");
    }

    /** x + p stands for the same point as x; a key has one spelling. */
    private static void spelling() {
        BigInteger p = Weierstrass.CURVE.f.p;
        BigInteger b = new BigInteger("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16);
        BigInteger y = b.modPow(p.add(BigInteger.ONE).shiftRight(2), p); // x = 0 has one
        Cases.that(Weierstrass.sound(uncompressed(BigInteger.ZERO, y)), "x = 0");
        Cases.that(!Weierstrass.sound(uncompressed(p, y)), "x = p");
        Cases.that(!Weierstrass.sound(uncompressed(BigInteger.ONE, y)), "a point off the curve");
    }

    private static byte[] uncompressed(BigInteger x, BigInteger y) {
        byte[] raw = new byte[65];
        raw[0] = 4;
        System.arraycopy(big(x), 0, raw, 1, 32);
        System.arraycopy(big(y), 0, raw, 33, 32);
        return raw;
    }

    private static byte[] big(BigInteger n) {
        return HexFormat.of().parseHex(String.format("%064x", n));
    }
}
