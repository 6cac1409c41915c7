package example.licenseagent;

import java.math.BigInteger;

/**
 * Numbers modulo a prime of 255 or 256 bits, as five limbs of 52 bits in Montgomery's
 * form: a stands for a · 2^260. The limbs of a sum or difference are not carried, and
 * may be negative; up to 16 of them may be added before the next product, which brings
 * everything back below 2p. Time depends on the values: only for what is public.
 */
final class Field {
    private static final int BITS = 52;
    private static final int SPARE = 6; // (a << 6)·(b << 6) >> 64 is a·b >> 52
    private static final long MASK = (1L << BITS) - 1;
    private static final BigInteger R = BigInteger.TWO.pow(5 * BITS);

    final BigInteger p;
    private final BigInteger fromR;
    private final long inverse; // −1/p mod 2^52
    private final int top; // where the bits above p begin in the last limb
    private final long p0;
    private final long p1;
    private final long p2;
    private final long p3;
    private final long p4;

    Field(BigInteger p) {
        this.p = p;
        fromR = R.modInverse(p);
        BigInteger limb = BigInteger.ONE.shiftLeft(BITS);
        inverse = p.negate().modInverse(limb).longValue();
        top = p.bitLength() - 4 * BITS;
        long[] l = limbs(p);
        p0 = l[0];
        p1 = l[1];
        p2 = l[2];
        p3 = l[3];
        p4 = l[4];
    }

    private static long[] limbs(BigInteger v) {
        long[] l = new long[5];
        for (int i = 0; i < 5; i++) {
            l[i] = v.shiftRight(i * BITS).longValue() & MASK;
        }
        return l;
    }

    long[] of(BigInteger v) {
        return limbs(v.multiply(R).mod(p));
    }

    BigInteger value(long[] a) {
        BigInteger v = BigInteger.ZERO;
        for (int i = 4; i >= 0; i--) {
            v = v.shiftLeft(BITS).add(BigInteger.valueOf(a[i]));
        }
        return v.multiply(fromR).mod(p);
    }

    static long[] add(long[] a, long[] b) {
        return new long[] {a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]};
    }

    static long[] sub(long[] a, long[] b) {
        return new long[] {a[0] - b[0], a[1] - b[1], a[2] - b[2], a[3] - b[3], a[4] - b[4]};
    }

    private static long high(long a, long b) {
        return Math.multiplyHigh(a, b);
    }

    /** Montgomery's product a · b / 2^260, limb by limb of a. */
    long[] mul(long[] a, long[] b) {
        long b0 = b[0];
        long b1 = b[1];
        long b2 = b[2];
        long b3 = b[3];
        long b4 = b[4];
        long c0 = 0;
        long c1 = 0;
        long c2 = 0;
        long c3 = 0;
        long c4 = 0;
        for (int i = 0; i < 5; i++) {
            long x = a[i];
            long xs = x << SPARE;
            c0 += x * b0 & MASK;
            long m = c0 * inverse & MASK; // c + m · p ends in 52 zero bits
            long ms = m << SPARE;
            c0 = c1 + (c0 + (m * p0 & MASK) >> BITS) + (x * b1 & MASK) + high(xs, b0 << SPARE) + (m * p1 & MASK) + high(ms, p0 << SPARE);
            c1 = c2 + (x * b2 & MASK) + high(xs, b1 << SPARE) + (m * p2 & MASK) + high(ms, p1 << SPARE);
            c2 = c3 + (x * b3 & MASK) + high(xs, b2 << SPARE) + (m * p3 & MASK) + high(ms, p2 << SPARE);
            c3 = c4 + (x * b4 & MASK) + high(xs, b3 << SPARE) + (m * p4 & MASK) + high(ms, p3 << SPARE);
            c4 = high(xs, b4 << SPARE) + high(ms, p4 << SPARE);
        }
        long q = c4 + (c3 >> BITS) >> top; // how often p is too much, or one off
        c0 -= q * p0;
        c1 -= q * p1;
        c2 -= q * p2;
        c3 -= q * p3;
        c4 -= q * p4;
        c1 += c0 >> BITS;
        c2 += c1 >> BITS;
        c3 += c2 >> BITS;
        c4 += c3 >> BITS;
        return new long[] {c0 & MASK, c1 & MASK, c2 & MASK, c3 & MASK, c4};
    }
}
