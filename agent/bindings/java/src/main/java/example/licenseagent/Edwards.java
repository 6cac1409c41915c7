package example.licenseagent;

import java.math.BigInteger;
import java.util.Arrays;

/** Ed25519 (RFC 8032): −x² + y² = 1 + d·x²·y², points as X, Y, Z, T with x = X/Z, y = Y/Z, x·y = T/Z. */
final class Edwards extends Curve {
    static final BigInteger P = BigInteger.TWO.pow(255).subtract(BigInteger.valueOf(19));
    private static final BigInteger L = BigInteger.TWO.pow(252).add(new BigInteger("27742317777372353535851937790883648493"));
    private static final BigInteger D = BigInteger.valueOf(-121665).multiply(BigInteger.valueOf(121666).modInverse(P)).mod(P);
    static final Edwards CURVE = new Edwards(new Field(P));
    private final long[] d2 = f.of(D.shiftLeft(1));
    private final long[][][] base;

    private Edwards(Field f) {
        super(f, f.of(BigInteger.ZERO), f.of(BigInteger.ONE), f.of(BigInteger.ONE), f.of(BigInteger.ZERO));
        byte[] b = new byte[32];
        Arrays.fill(b, (byte) 0x66); // y = 4/5, even x
        b[0] = 0x58;
        base = table(point(b, false));
    }

    // Hisil, Wong, Carter, Dawson: Twisted Edwards Curves Revisited (2008), 3.1.
    @Override
    long[][] add(long[][] a, long[][] b) {
        long[] m = f.mul(Field.sub(a[1], a[0]), Field.sub(b[1], b[0]));
        long[] n = f.mul(Field.add(a[1], a[0]), Field.add(b[1], b[0]));
        long[] c = f.mul(f.mul(a[3], b[3]), d2);
        long[] z = f.mul(a[2], b[2]);
        z = Field.add(z, z);
        long[] e = Field.sub(n, m);
        long[] g = Field.add(z, c);
        long[] h = Field.add(n, m);
        z = Field.sub(z, c);
        return new long[][] {f.mul(e, z), f.mul(g, h), f.mul(z, g), f.mul(e, h)};
    }

    static BigInteger littleEndian(byte[] b) {
        byte[] big = new byte[b.length];
        for (int i = 0; i < b.length; i++) {
            big[b.length - 1 - i] = b[i];
        }
        return new BigInteger(1, big);
    }

    /** The point of 32 bytes, or its opposite; null when there is none. */
    private long[][] point(byte[] raw, boolean opposite) {
        BigInteger y = littleEndian(raw);
        boolean odd = y.testBit(255);
        y = y.clearBit(255);
        BigInteger yy = y.multiply(y);
        BigInteger xx = yy.subtract(BigInteger.ONE).multiply(D.multiply(yy).add(BigInteger.ONE).modInverse(P)).mod(P);
        BigInteger x = xx.modPow(P.add(BigInteger.valueOf(3)).shiftRight(3), P);
        if (!x.multiply(x).mod(P).equals(xx)) {
            x = x.multiply(BigInteger.TWO.modPow(P.shiftRight(2), P)).mod(P); // times the root of −1
        }
        if (!x.multiply(x).mod(P).equals(xx) || y.compareTo(P) >= 0 || odd && x.signum() == 0) {
            return null;
        }
        x = x.testBit(0) == odd ? x : P.subtract(x);
        x = opposite ? P.subtract(x) : x;
        return new long[][] {f.of(x), f.of(y), f.of(BigInteger.ONE), f.of(x.multiply(y))};
    }

    /** What verify needs of a public key; null when it is no point. */
    long[][][] key(byte[] raw) {
        long[][] a = point(raw, true);
        return a == null ? null : table(a);
    }

    /** RFC 8032, 5.1.7, without the cofactor: R must be the bytes of S·B − h·A. */
    boolean verify(long[][][] key, byte[] raw, byte[] message, byte[] signature) {
        byte[] first = Arrays.copyOf(signature, 32);
        BigInteger s = littleEndian(Arrays.copyOfRange(signature, 32, 64));
        if (s.compareTo(L) >= 0) {
            return false;
        }
        long[][] r = sum(s, base, littleEndian(License.digest("SHA-512", first, raw, message)).mod(L), key);
        BigInteger z = f.value(r[2]).modInverse(P);
        BigInteger y = f.value(r[1]).multiply(z).mod(P);
        boolean odd = f.value(r[0]).multiply(z).mod(P).testBit(0);
        return littleEndian(first).equals(odd ? y.setBit(255) : y);
    }
}
