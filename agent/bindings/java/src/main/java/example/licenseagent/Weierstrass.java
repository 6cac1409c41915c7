package example.licenseagent;

import java.math.BigInteger;
import java.util.HexFormat;

/** ECDSA over P-256 (FIPS 186-5): y² = x³ − 3x + b, points as X, Y, Z with x = X/Z, y = Y/Z. */
final class Weierstrass extends Curve {
    private static final BigInteger P = new BigInteger("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16);
    private static final BigInteger N = new BigInteger("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);
    private static final BigInteger B = new BigInteger("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16);
    static final Weierstrass CURVE = new Weierstrass(new Field(P));
    private final long[] b = f.of(B);
    private final long[][][] base = key(HexFormat.of().parseHex("046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
            + "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"));

    private Weierstrass(Field f) {
        super(f, f.of(BigInteger.ZERO), f.of(BigInteger.ONE), f.of(BigInteger.ZERO));
    }

    // Renes, Costello, Batina: Complete addition formulas for prime order elliptic curves (2016), algorithm 4.
    @Override
    long[][] add(long[][] p, long[][] q) {
        long[] xx = f.mul(p[0], q[0]);
        long[] yy = f.mul(p[1], q[1]);
        long[] zz = f.mul(p[2], q[2]);
        long[] xy = Field.sub(f.mul(Field.add(p[0], p[1]), Field.add(q[0], q[1])), Field.add(xx, yy));
        long[] yz = Field.sub(f.mul(Field.add(p[1], p[2]), Field.add(q[1], q[2])), Field.add(yy, zz));
        long[] xz = Field.sub(f.mul(Field.add(p[0], p[2]), Field.add(q[0], q[2])), Field.add(xx, zz));
        long[] u = triple(Field.sub(xz, f.mul(b, zz)));
        long[] zz3 = triple(zz);
        long[] v = triple(Field.sub(Field.sub(f.mul(b, xz), zz3), xx));
        long[] w = Field.sub(triple(xx), zz3);
        long[] minus = Field.sub(yy, u);
        long[] plus = Field.add(yy, u);
        return new long[][] {
            Field.sub(f.mul(xy, plus), f.mul(yz, v)), Field.add(f.mul(plus, minus), f.mul(w, v)), Field.add(f.mul(yz, minus), f.mul(xy, w)),
        };
    }

    private static long[] triple(long[] a) {
        return Field.add(Field.add(a, a), a);
    }

    /** Says whether these bytes are a point of the curve, uncompressed. */
    static boolean sound(byte[] raw) {
        if (raw.length != 65 || raw[0] != 4) {
            return false;
        }
        BigInteger x = new BigInteger(1, raw, 1, 32);
        BigInteger y = new BigInteger(1, raw, 33, 32);
        BigInteger right = x.multiply(x).subtract(BigInteger.valueOf(3)).multiply(x).add(B);
        return x.compareTo(P) < 0 && y.compareTo(P) < 0 && y.multiply(y).subtract(right).mod(P).signum() == 0;
    }

    /** What verify needs of a public key that is sound. */
    long[][][] key(byte[] raw) {
        return table(new long[][] {f.of(new BigInteger(1, raw, 1, 32)), f.of(new BigInteger(1, raw, 33, 32)), f.of(BigInteger.ONE)});
    }

    /** FIPS 186-5, 6.4.2. */
    boolean verify(long[][][] key, byte[] message, byte[] signature) {
        BigInteger r = new BigInteger(1, signature, 0, 32);
        BigInteger s = new BigInteger(1, signature, 32, 32);
        if (r.signum() == 0 || s.signum() == 0 || r.compareTo(N) >= 0 || s.compareTo(N) >= 0) {
            return false;
        }
        BigInteger w = s.modInverse(N);
        BigInteger hash = new BigInteger(1, License.digest("SHA-256", message));
        long[][] sum = sum(hash.multiply(w).mod(N), base, r.multiply(w).mod(N), key);
        BigInteger x = f.value(sum[0]);
        BigInteger z = f.value(sum[2]);
        // x = X/Z is r, or the one other number below p that is r modulo n.
        boolean other = r.compareTo(P.subtract(N)) < 0 && r.add(N).multiply(z).mod(P).equals(x);
        return z.signum() != 0 && (other || r.multiply(z).mod(P).equals(x));
    }
}
