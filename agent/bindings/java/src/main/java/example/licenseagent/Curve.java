package example.licenseagent;

import java.math.BigInteger;

/**
 * A curve whose addition holds for every two points, equal, opposite and neutral ones
 * among them, so that nothing here has a special case. It serves signatures, where
 * everything is public: its time depends on the values.
 *
 * <p>Java's own verification takes most of a millisecond, because it neither keeps
 * anything about a key nor may it let its time depend on anything.
 */
abstract class Curve {
    // A number is read in five rows of 52 bits, one below the other; each column is one
    // addition from a table of the 32 sums of 2^0, 2^52, … times the point.
    private static final int ROWS = 5;
    private static final int COLUMNS = 52;
    final Field f;
    final long[][] neutral;

    Curve(Field f, long[]... neutral) {
        this.f = f;
        this.neutral = neutral;
    }

    abstract long[][] add(long[][] a, long[][] b);

    /** The table of a point, which makes its multiples cheap. */
    final long[][][] table(long[][] point) {
        long[][][] t = new long[1 << ROWS][][];
        t[0] = neutral;
        long[][] power = point;
        for (int row = 0; row < ROWS; row++) {
            for (int i = 0; i < 1 << row; i++) {
                t[(1 << row) + i] = add(t[i], power);
            }
            for (int i = 0; i < COLUMNS && row < ROWS - 1; i++) {
                power = add(power, power);
            }
        }
        return t;
    }

    /** u · a + v · b, for tables of a and b. */
    final long[][] sum(BigInteger u, long[][][] a, BigInteger v, long[][][] b) {
        long[][] sum = neutral;
        for (int column = COLUMNS - 1; column >= 0; column--) {
            sum = add(sum, sum);
            sum = add(sum, a[entry(u, column)]);
            sum = add(sum, b[entry(v, column)]);
        }
        return sum;
    }

    private static int entry(BigInteger n, int column) {
        int e = 0;
        for (int row = 0; row < ROWS; row++) {
            e |= n.testBit(row * COLUMNS + column) ? 1 << row : 0;
        }
        return e;
    }
}
