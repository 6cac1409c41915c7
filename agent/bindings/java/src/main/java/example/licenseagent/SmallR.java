package example.licenseagent;

import java.math.BigInteger;
import java.security.spec.ECFieldFp;
import java.security.spec.ECParameterSpec;
import java.security.spec.ECPoint;

/**
 * ECDSA verification for the one case that the JDK gets wrong: Java 17 compares r
 * with the x coordinate without reducing it mod n, so that it refuses a valid
 * signature whose point has x ≥ n (Wycheproof P-256, tcId 115 and 257). Then
 * r &lt; p − n, which no honest signer meets: one signature in 2^127. Everything here
 * is public, so that plain arithmetic of variable time does no harm.
 */
final class SmallR {
    private final ECParameterSpec curve;
    private final BigInteger p;
    private final BigInteger n;

    SmallR(ECParameterSpec curve) {
        this.curve = curve;
        this.p = ((ECFieldFp) curve.getCurve().getField()).getP();
        this.n = curve.getOrder();
    }

    boolean applies(BigInteger r) {
        return r.compareTo(p.subtract(n)) < 0;
    }

    /** FIPS 186-5, 6.4.2, with the SHA-256 of the message; r and s lie in 1…n−1. */
    boolean verify(ECPoint key, byte[] hash, BigInteger r, BigInteger s) {
        BigInteger w = s.modInverse(n);
        BigInteger u = new BigInteger(1, hash).multiply(w).mod(n);
        ECPoint sum = add(times(u, curve.getGenerator()), times(r.multiply(w).mod(n), key));
        return sum != ECPoint.POINT_INFINITY && sum.getAffineX().mod(n).equals(r);
    }

    private ECPoint times(BigInteger k, ECPoint point) {
        ECPoint sum = ECPoint.POINT_INFINITY;
        for (int i = k.bitLength() - 1; i >= 0; i--) {
            sum = add(sum, sum);
            if (k.testBit(i)) {
                sum = add(sum, point);
            }
        }
        return sum;
    }

    private ECPoint add(ECPoint a, ECPoint b) {
        if (a == ECPoint.POINT_INFINITY || b == ECPoint.POINT_INFINITY) {
            return a == ECPoint.POINT_INFINITY ? b : a;
        }
        BigInteger x = a.getAffineX();
        BigInteger y = a.getAffineY();
        BigInteger slope;
        if (!x.equals(b.getAffineX())) {
            slope = b.getAffineY().subtract(y).multiply(b.getAffineX().subtract(x).modInverse(p));
        } else if (y.add(b.getAffineY()).mod(p).signum() == 0) {
            return ECPoint.POINT_INFINITY;
        } else {
            BigInteger top = x.multiply(x).multiply(BigInteger.valueOf(3)).add(curve.getCurve().getA());
            slope = top.multiply(y.shiftLeft(1).modInverse(p));
        }
        BigInteger x3 = slope.multiply(slope).subtract(x).subtract(b.getAffineX()).mod(p);
        return new ECPoint(x3, slope.multiply(x.subtract(x3)).subtract(y).mod(p));
    }
}
