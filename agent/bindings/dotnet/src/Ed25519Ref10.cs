// Written by translate.py from agent/bindings/c/crypto: Ed25519 by Orson Peters
// (github.com/orlp/ed25519, SUPERCOP ref10). "All code is in the public domain."
namespace Example.LicenseAgent.Crypto
{
    internal static class Ref10
    {
        internal sealed class ge_p2
        {
            internal int[] X = new int[10], Y = new int[10], Z = new int[10];

            internal static ge_p2[] Row(int n)
            {
                var row = new ge_p2[n];
                for (int i = 0; i < n; i++) { row[i] = new ge_p2(); }
                return row;
            }
        }

        internal sealed class ge_p3
        {
            internal int[] X = new int[10], Y = new int[10], Z = new int[10], T = new int[10];

            internal static ge_p3[] Row(int n)
            {
                var row = new ge_p3[n];
                for (int i = 0; i < n; i++) { row[i] = new ge_p3(); }
                return row;
            }
        }

        internal sealed class ge_p1p1
        {
            internal int[] X = new int[10], Y = new int[10], Z = new int[10], T = new int[10];

            internal static ge_p1p1[] Row(int n)
            {
                var row = new ge_p1p1[n];
                for (int i = 0; i < n; i++) { row[i] = new ge_p1p1(); }
                return row;
            }
        }

        internal sealed class ge_precomp
        {
            internal int[] yplusx = new int[10], yminusx = new int[10], xy2d = new int[10];

            internal static ge_precomp[] Row(int n)
            {
                var row = new ge_precomp[n];
                for (int i = 0; i < n; i++) { row[i] = new ge_precomp(); }
                return row;
            }
        }

        internal sealed class ge_cached
        {
            internal int[] YplusX = new int[10], YminusX = new int[10], Z = new int[10], T2d = new int[10];

            internal static ge_cached[] Row(int n)
            {
                var row = new ge_cached[n];
                for (int i = 0; i < n; i++) { row[i] = new ge_cached(); }
                return row;
            }
        }

        static readonly int[] d = { -10913610, 13857413, -15372611, 6949391, 114729, -8787816, -6275908, -3247719, -18696448, -12055116 };
        static readonly int[] sqrtm1 = { -32595792, -7943725, 9377950, 3500415, 12389472, -272473, -25146209, -2005654, 326686, 11406482 };
        static readonly int[] d2 = { -21827239, -5839606, -30745221, 13898782, 229458, 15978800, -12551817, -6495438, 29715968, 9444199 };
        static readonly ge_precomp[] Bi =
        {
            new ge_precomp
            {
                yplusx = new int[] { 25967493, -14356035, 29566456, 3660896, -12694345, 4014787, 27544626, -11754271, -6079156, 2047605 },
                yminusx = new int[] { -12545711, 934262, -2722910, 3049990, -727428, 9406986, 12720692, 5043384, 19500929, -15469378 },
                xy2d = new int[] { -8738181, 4489570, 9688441, -14785194, 10184609, -12363380, 29287919, 11864899, -24514362, -4438546 },
            },
            new ge_precomp
            {
                yplusx = new int[] { 15636291, -9688557, 24204773, -7912398, 616977, -16685262, 27787600, -14772189, 28944400, -1550024 },
                yminusx = new int[] { 16568933, 4717097, -11556148, -1102322, 15682896, -11807043, 16354577, -11775962, 7689662, 11199574 },
                xy2d = new int[] { 30464156, -5976125, -11779434, -15670865, 23220365, 15915852, 7512774, 10017326, -17749093, -9920357 },
            },
            new ge_precomp
            {
                yplusx = new int[] { 10861363, 11473154, 27284546, 1981175, -30064349, 12577861, 32867885, 14515107, -15438304, 10819380 },
                yminusx = new int[] { 4708026, 6336745, 20377586, 9066809, -11272109, 6594696, -25653668, 12483688, -12668491, 5581306 },
                xy2d = new int[] { 19563160, 16186464, -29386857, 4097519, 10237984, -4348115, 28542350, 13850243, -23678021, -15815942 },
            },
            new ge_precomp
            {
                yplusx = new int[] { 5153746, 9909285, 1723747, -2777874, 30523605, 5516873, 19480852, 5230134, -23952439, -15175766 },
                yminusx = new int[] { -30269007, -3463509, 7665486, 10083793, 28475525, 1649722, 20654025, 16520125, 30598449, 7715701 },
                xy2d = new int[] { 28881845, 14381568, 9657904, 3680757, -20181635, 7843316, -31400660, 1370708, 29794553, -1409300 },
            },
            new ge_precomp
            {
                yplusx = new int[] { -22518993, -6692182, 14201702, -8745502, -23510406, 8844726, 18474211, -1361450, -13062696, 13821877 },
                yminusx = new int[] { -6455177, -7839871, 3374702, -4740862, -27098617, -10571707, 31655028, -7212327, 18853322, -14220951 },
                xy2d = new int[] { 4566830, -12963868, -28974889, -12240689, -7602672, -2830569, -8514358, -10431137, 2207753, -3209784 },
            },
            new ge_precomp
            {
                yplusx = new int[] { -25154831, -4185821, 29681144, 7868801, -6854661, -9423865, -12437364, -663000, -31111463, -16132436 },
                yminusx = new int[] { 25576264, -2703214, 7349804, -11814844, 16472782, 9300885, 3844789, 15725684, 171356, 6466918 },
                xy2d = new int[] { 23103977, 13316479, 9739013, -16149481, 817875, -15038942, 8965339, -14088058, -30714912, 16193877 },
            },
            new ge_precomp
            {
                yplusx = new int[] { -33521811, 3180713, -2394130, 14003687, -16903474, -16270840, 17238398, 4729455, -18074513, 9256800 },
                yminusx = new int[] { -25182317, -4174131, 32336398, 5036987, -21236817, 11360617, 22616405, 9761698, -19827198, 630305 },
                xy2d = new int[] { -13720693, 2639453, -24237460, -7406481, 9494427, -5774029, -6554551, -15960994, -2449256, -14291300 },
            },
            new ge_precomp
            {
                yplusx = new int[] { -3151181, -5046075, 9282714, 6866145, -31907062, -863023, -18940575, 15033784, 25105118, -7894876 },
                yminusx = new int[] { -24326370, 15950226, -31801215, -14592823, -11662737, -5090925, 1573892, -2625887, 2198790, -15804619 },
                xy2d = new int[] { -3099351, 10324967, -2241613, 7453183, -5446979, -2735503, -13812022, -16236442, -32461234, -12290683 },
            },
        };

        static long load_3(byte[] input, int at) {
            long result;

            result = (long) input[at + 0];
            result |= ((long) input[at + 1]) << 8;
            result |= ((long) input[at + 2]) << 16;

            return result;
        }

        static long load_4(byte[] input, int at) {
            long result;

            result = (long) input[at + 0];
            result |= ((long) input[at + 1]) << 8;
            result |= ((long) input[at + 2]) << 16;
            result |= ((long) input[at + 3]) << 24;

            return result;
        }

        internal static void fe_0(int[] h) {
            h[0] = 0;
            h[1] = 0;
            h[2] = 0;
            h[3] = 0;
            h[4] = 0;
            h[5] = 0;
            h[6] = 0;
            h[7] = 0;
            h[8] = 0;
            h[9] = 0;
        }

        internal static void fe_1(int[] h) {
            h[0] = 1;
            h[1] = 0;
            h[2] = 0;
            h[3] = 0;
            h[4] = 0;
            h[5] = 0;
            h[6] = 0;
            h[7] = 0;
            h[8] = 0;
            h[9] = 0;
        }

        internal static void fe_add(int[] h, int[] f, int[] g) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int g0 = g[0];
            int g1 = g[1];
            int g2 = g[2];
            int g3 = g[3];
            int g4 = g[4];
            int g5 = g[5];
            int g6 = g[6];
            int g7 = g[7];
            int g8 = g[8];
            int g9 = g[9];
            int h0 = f0 + g0;
            int h1 = f1 + g1;
            int h2 = f2 + g2;
            int h3 = f3 + g3;
            int h4 = f4 + g4;
            int h5 = f5 + g5;
            int h6 = f6 + g6;
            int h7 = f7 + g7;
            int h8 = f8 + g8;
            int h9 = f9 + g9;

            h[0] = h0;
            h[1] = h1;
            h[2] = h2;
            h[3] = h3;
            h[4] = h4;
            h[5] = h5;
            h[6] = h6;
            h[7] = h7;
            h[8] = h8;
            h[9] = h9;
        }

        internal static void fe_copy(int[] h, int[] f) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];

            h[0] = f0;
            h[1] = f1;
            h[2] = f2;
            h[3] = f3;
            h[4] = f4;
            h[5] = f5;
            h[6] = f6;
            h[7] = f7;
            h[8] = f8;
            h[9] = f9;
        }

        internal static void fe_frombytes(int[] h, byte[] s) {
            long h0 = load_4(s, 0);
            long h1 = load_3(s, 4) << 6;
            long h2 = load_3(s, 7) << 5;
            long h3 = load_3(s, 10) << 3;
            long h4 = load_3(s, 13) << 2;
            long h5 = load_4(s, 16);
            long h6 = load_3(s, 20) << 7;
            long h7 = load_3(s, 23) << 5;
            long h8 = load_3(s, 26) << 4;
            long h9 = (load_3(s, 29) & 8388607) << 2;
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;

            carry9 = (h9 + (long) (1 << 24)) >> 25;
            h0 += carry9 * 19;
            h9 -= carry9 << 25;
            carry1 = (h1 + (long) (1 << 24)) >> 25;
            h2 += carry1;
            h1 -= carry1 << 25;
            carry3 = (h3 + (long) (1 << 24)) >> 25;
            h4 += carry3;
            h3 -= carry3 << 25;
            carry5 = (h5 + (long) (1 << 24)) >> 25;
            h6 += carry5;
            h5 -= carry5 << 25;
            carry7 = (h7 + (long) (1 << 24)) >> 25;
            h8 += carry7;
            h7 -= carry7 << 25;
            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            carry2 = (h2 + (long) (1 << 25)) >> 26;
            h3 += carry2;
            h2 -= carry2 << 26;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry6 = (h6 + (long) (1 << 25)) >> 26;
            h7 += carry6;
            h6 -= carry6 << 26;
            carry8 = (h8 + (long) (1 << 25)) >> 26;
            h9 += carry8;
            h8 -= carry8 << 26;

            h[0] = (int) h0;
            h[1] = (int) h1;
            h[2] = (int) h2;
            h[3] = (int) h3;
            h[4] = (int) h4;
            h[5] = (int) h5;
            h[6] = (int) h6;
            h[7] = (int) h7;
            h[8] = (int) h8;
            h[9] = (int) h9;
        }

        internal static void fe_invert(int[] output, int[] z) {
            int[] t0 = new int[10];
            int[] t1 = new int[10];
            int[] t2 = new int[10];
            int[] t3 = new int[10];
            int i;

            fe_sq(t0, z);

            for (i = 1; i < 1; ++i) {
                fe_sq(t0, t0);
            }

            fe_sq(t1, t0);

            for (i = 1; i < 2; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t1, z, t1);
            fe_mul(t0, t0, t1);
            fe_sq(t2, t0);

            for (i = 1; i < 1; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t1, t2);
            fe_sq(t2, t1);

            for (i = 1; i < 5; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t2, t1);
            fe_sq(t2, t1);

            for (i = 1; i < 10; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t2, t2, t1);
            fe_sq(t3, t2);

            for (i = 1; i < 20; ++i) {
                fe_sq(t3, t3);
            }

            fe_mul(t2, t3, t2);
            fe_sq(t2, t2);

            for (i = 1; i < 10; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t2, t1);
            fe_sq(t2, t1);

            for (i = 1; i < 50; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t2, t2, t1);
            fe_sq(t3, t2);

            for (i = 1; i < 100; ++i) {
                fe_sq(t3, t3);
            }

            fe_mul(t2, t3, t2);
            fe_sq(t2, t2);

            for (i = 1; i < 50; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t2, t1);
            fe_sq(t1, t1);

            for (i = 1; i < 5; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(output, t1, t0);
        }

        internal static int fe_isnegative(int[] f) {
            byte[] s = new byte[32];

            fe_tobytes(s, f);

            return s[0] & 1;
        }

        internal static int fe_isnonzero(int[] f) {
            byte[] s = new byte[32];
            byte r;

            fe_tobytes(s, f);

            r = s[0];
            r |= s[1];
            r |= s[2];
            r |= s[3];
            r |= s[4];
            r |= s[5];
            r |= s[6];
            r |= s[7];
            r |= s[8];
            r |= s[9];
            r |= s[10];
            r |= s[11];
            r |= s[12];
            r |= s[13];
            r |= s[14];
            r |= s[15];
            r |= s[16];
            r |= s[17];
            r |= s[18];
            r |= s[19];
            r |= s[20];
            r |= s[21];
            r |= s[22];
            r |= s[23];
            r |= s[24];
            r |= s[25];
            r |= s[26];
            r |= s[27];
            r |= s[28];
            r |= s[29];
            r |= s[30];
            r |= s[31];

            return r != 0 ? 1 : 0;
        }

        internal static void fe_mul(int[] h, int[] f, int[] g) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int g0 = g[0];
            int g1 = g[1];
            int g2 = g[2];
            int g3 = g[3];
            int g4 = g[4];
            int g5 = g[5];
            int g6 = g[6];
            int g7 = g[7];
            int g8 = g[8];
            int g9 = g[9];
            int g1_19 = 19 * g1;
            int g2_19 = 19 * g2;
            int g3_19 = 19 * g3;
            int g4_19 = 19 * g4;
            int g5_19 = 19 * g5;
            int g6_19 = 19 * g6;
            int g7_19 = 19 * g7;
            int g8_19 = 19 * g8;
            int g9_19 = 19 * g9;
            int f1_2 = 2 * f1;
            int f3_2 = 2 * f3;
            int f5_2 = 2 * f5;
            int f7_2 = 2 * f7;
            int f9_2 = 2 * f9;
            long f0g0    = f0   * (long) g0;
            long f0g1    = f0   * (long) g1;
            long f0g2    = f0   * (long) g2;
            long f0g3    = f0   * (long) g3;
            long f0g4    = f0   * (long) g4;
            long f0g5    = f0   * (long) g5;
            long f0g6    = f0   * (long) g6;
            long f0g7    = f0   * (long) g7;
            long f0g8    = f0   * (long) g8;
            long f0g9    = f0   * (long) g9;
            long f1g0    = f1   * (long) g0;
            long f1g1_2  = f1_2 * (long) g1;
            long f1g2    = f1   * (long) g2;
            long f1g3_2  = f1_2 * (long) g3;
            long f1g4    = f1   * (long) g4;
            long f1g5_2  = f1_2 * (long) g5;
            long f1g6    = f1   * (long) g6;
            long f1g7_2  = f1_2 * (long) g7;
            long f1g8    = f1   * (long) g8;
            long f1g9_38 = f1_2 * (long) g9_19;
            long f2g0    = f2   * (long) g0;
            long f2g1    = f2   * (long) g1;
            long f2g2    = f2   * (long) g2;
            long f2g3    = f2   * (long) g3;
            long f2g4    = f2   * (long) g4;
            long f2g5    = f2   * (long) g5;
            long f2g6    = f2   * (long) g6;
            long f2g7    = f2   * (long) g7;
            long f2g8_19 = f2   * (long) g8_19;
            long f2g9_19 = f2   * (long) g9_19;
            long f3g0    = f3   * (long) g0;
            long f3g1_2  = f3_2 * (long) g1;
            long f3g2    = f3   * (long) g2;
            long f3g3_2  = f3_2 * (long) g3;
            long f3g4    = f3   * (long) g4;
            long f3g5_2  = f3_2 * (long) g5;
            long f3g6    = f3   * (long) g6;
            long f3g7_38 = f3_2 * (long) g7_19;
            long f3g8_19 = f3   * (long) g8_19;
            long f3g9_38 = f3_2 * (long) g9_19;
            long f4g0    = f4   * (long) g0;
            long f4g1    = f4   * (long) g1;
            long f4g2    = f4   * (long) g2;
            long f4g3    = f4   * (long) g3;
            long f4g4    = f4   * (long) g4;
            long f4g5    = f4   * (long) g5;
            long f4g6_19 = f4   * (long) g6_19;
            long f4g7_19 = f4   * (long) g7_19;
            long f4g8_19 = f4   * (long) g8_19;
            long f4g9_19 = f4   * (long) g9_19;
            long f5g0    = f5   * (long) g0;
            long f5g1_2  = f5_2 * (long) g1;
            long f5g2    = f5   * (long) g2;
            long f5g3_2  = f5_2 * (long) g3;
            long f5g4    = f5   * (long) g4;
            long f5g5_38 = f5_2 * (long) g5_19;
            long f5g6_19 = f5   * (long) g6_19;
            long f5g7_38 = f5_2 * (long) g7_19;
            long f5g8_19 = f5   * (long) g8_19;
            long f5g9_38 = f5_2 * (long) g9_19;
            long f6g0    = f6   * (long) g0;
            long f6g1    = f6   * (long) g1;
            long f6g2    = f6   * (long) g2;
            long f6g3    = f6   * (long) g3;
            long f6g4_19 = f6   * (long) g4_19;
            long f6g5_19 = f6   * (long) g5_19;
            long f6g6_19 = f6   * (long) g6_19;
            long f6g7_19 = f6   * (long) g7_19;
            long f6g8_19 = f6   * (long) g8_19;
            long f6g9_19 = f6   * (long) g9_19;
            long f7g0    = f7   * (long) g0;
            long f7g1_2  = f7_2 * (long) g1;
            long f7g2    = f7   * (long) g2;
            long f7g3_38 = f7_2 * (long) g3_19;
            long f7g4_19 = f7   * (long) g4_19;
            long f7g5_38 = f7_2 * (long) g5_19;
            long f7g6_19 = f7   * (long) g6_19;
            long f7g7_38 = f7_2 * (long) g7_19;
            long f7g8_19 = f7   * (long) g8_19;
            long f7g9_38 = f7_2 * (long) g9_19;
            long f8g0    = f8   * (long) g0;
            long f8g1    = f8   * (long) g1;
            long f8g2_19 = f8   * (long) g2_19;
            long f8g3_19 = f8   * (long) g3_19;
            long f8g4_19 = f8   * (long) g4_19;
            long f8g5_19 = f8   * (long) g5_19;
            long f8g6_19 = f8   * (long) g6_19;
            long f8g7_19 = f8   * (long) g7_19;
            long f8g8_19 = f8   * (long) g8_19;
            long f8g9_19 = f8   * (long) g9_19;
            long f9g0    = f9   * (long) g0;
            long f9g1_38 = f9_2 * (long) g1_19;
            long f9g2_19 = f9   * (long) g2_19;
            long f9g3_38 = f9_2 * (long) g3_19;
            long f9g4_19 = f9   * (long) g4_19;
            long f9g5_38 = f9_2 * (long) g5_19;
            long f9g6_19 = f9   * (long) g6_19;
            long f9g7_38 = f9_2 * (long) g7_19;
            long f9g8_19 = f9   * (long) g8_19;
            long f9g9_38 = f9_2 * (long) g9_19;
            long h0 = f0g0 + f1g9_38 + f2g8_19 + f3g7_38 + f4g6_19 + f5g5_38 + f6g4_19 + f7g3_38 + f8g2_19 + f9g1_38;
            long h1 = f0g1 + f1g0   + f2g9_19 + f3g8_19 + f4g7_19 + f5g6_19 + f6g5_19 + f7g4_19 + f8g3_19 + f9g2_19;
            long h2 = f0g2 + f1g1_2 + f2g0   + f3g9_38 + f4g8_19 + f5g7_38 + f6g6_19 + f7g5_38 + f8g4_19 + f9g3_38;
            long h3 = f0g3 + f1g2   + f2g1   + f3g0   + f4g9_19 + f5g8_19 + f6g7_19 + f7g6_19 + f8g5_19 + f9g4_19;
            long h4 = f0g4 + f1g3_2 + f2g2   + f3g1_2 + f4g0   + f5g9_38 + f6g8_19 + f7g7_38 + f8g6_19 + f9g5_38;
            long h5 = f0g5 + f1g4   + f2g3   + f3g2   + f4g1   + f5g0   + f6g9_19 + f7g8_19 + f8g7_19 + f9g6_19;
            long h6 = f0g6 + f1g5_2 + f2g4   + f3g3_2 + f4g2   + f5g1_2 + f6g0   + f7g9_38 + f8g8_19 + f9g7_38;
            long h7 = f0g7 + f1g6   + f2g5   + f3g4   + f4g3   + f5g2   + f6g1   + f7g0   + f8g9_19 + f9g8_19;
            long h8 = f0g8 + f1g7_2 + f2g6   + f3g5_2 + f4g4   + f5g3_2 + f6g2   + f7g1_2 + f8g0   + f9g9_38;
            long h9 = f0g9 + f1g8   + f2g7   + f3g6   + f4g5   + f5g4   + f6g3   + f7g2   + f8g1   + f9g0   ;
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;

            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;

            carry1 = (h1 + (long) (1 << 24)) >> 25;
            h2 += carry1;
            h1 -= carry1 << 25;
            carry5 = (h5 + (long) (1 << 24)) >> 25;
            h6 += carry5;
            h5 -= carry5 << 25;

            carry2 = (h2 + (long) (1 << 25)) >> 26;
            h3 += carry2;
            h2 -= carry2 << 26;
            carry6 = (h6 + (long) (1 << 25)) >> 26;
            h7 += carry6;
            h6 -= carry6 << 26;

            carry3 = (h3 + (long) (1 << 24)) >> 25;
            h4 += carry3;
            h3 -= carry3 << 25;
            carry7 = (h7 + (long) (1 << 24)) >> 25;
            h8 += carry7;
            h7 -= carry7 << 25;

            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry8 = (h8 + (long) (1 << 25)) >> 26;
            h9 += carry8;
            h8 -= carry8 << 26;

            carry9 = (h9 + (long) (1 << 24)) >> 25;
            h0 += carry9 * 19;
            h9 -= carry9 << 25;

            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;

            h[0] = (int) h0;
            h[1] = (int) h1;
            h[2] = (int) h2;
            h[3] = (int) h3;
            h[4] = (int) h4;
            h[5] = (int) h5;
            h[6] = (int) h6;
            h[7] = (int) h7;
            h[8] = (int) h8;
            h[9] = (int) h9;
        }

        internal static void fe_neg(int[] h, int[] f) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int h0 = -f0;
            int h1 = -f1;
            int h2 = -f2;
            int h3 = -f3;
            int h4 = -f4;
            int h5 = -f5;
            int h6 = -f6;
            int h7 = -f7;
            int h8 = -f8;
            int h9 = -f9;

            h[0] = h0;
            h[1] = h1;
            h[2] = h2;
            h[3] = h3;
            h[4] = h4;
            h[5] = h5;
            h[6] = h6;
            h[7] = h7;
            h[8] = h8;
            h[9] = h9;
        }

        internal static void fe_pow22523(int[] output, int[] z) {
            int[] t0 = new int[10];
            int[] t1 = new int[10];
            int[] t2 = new int[10];
            int i;
            fe_sq(t0, z);

            for (i = 1; i < 1; ++i) {
                fe_sq(t0, t0);
            }

            fe_sq(t1, t0);

            for (i = 1; i < 2; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t1, z, t1);
            fe_mul(t0, t0, t1);
            fe_sq(t0, t0);

            for (i = 1; i < 1; ++i) {
                fe_sq(t0, t0);
            }

            fe_mul(t0, t1, t0);
            fe_sq(t1, t0);

            for (i = 1; i < 5; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t0, t1, t0);
            fe_sq(t1, t0);

            for (i = 1; i < 10; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t1, t1, t0);
            fe_sq(t2, t1);

            for (i = 1; i < 20; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t2, t1);
            fe_sq(t1, t1);

            for (i = 1; i < 10; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t0, t1, t0);
            fe_sq(t1, t0);

            for (i = 1; i < 50; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t1, t1, t0);
            fe_sq(t2, t1);

            for (i = 1; i < 100; ++i) {
                fe_sq(t2, t2);
            }

            fe_mul(t1, t2, t1);
            fe_sq(t1, t1);

            for (i = 1; i < 50; ++i) {
                fe_sq(t1, t1);
            }

            fe_mul(t0, t1, t0);
            fe_sq(t0, t0);

            for (i = 1; i < 2; ++i) {
                fe_sq(t0, t0);
            }

            fe_mul(output, t0, z);
            return;
        }

        internal static void fe_sq(int[] h, int[] f) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int f0_2 = 2 * f0;
            int f1_2 = 2 * f1;
            int f2_2 = 2 * f2;
            int f3_2 = 2 * f3;
            int f4_2 = 2 * f4;
            int f5_2 = 2 * f5;
            int f6_2 = 2 * f6;
            int f7_2 = 2 * f7;
            int f5_38 = 38 * f5;
            int f6_19 = 19 * f6;
            int f7_38 = 38 * f7;
            int f8_19 = 19 * f8;
            int f9_38 = 38 * f9;
            long f0f0    = f0   * (long) f0;
            long f0f1_2  = f0_2 * (long) f1;
            long f0f2_2  = f0_2 * (long) f2;
            long f0f3_2  = f0_2 * (long) f3;
            long f0f4_2  = f0_2 * (long) f4;
            long f0f5_2  = f0_2 * (long) f5;
            long f0f6_2  = f0_2 * (long) f6;
            long f0f7_2  = f0_2 * (long) f7;
            long f0f8_2  = f0_2 * (long) f8;
            long f0f9_2  = f0_2 * (long) f9;
            long f1f1_2  = f1_2 * (long) f1;
            long f1f2_2  = f1_2 * (long) f2;
            long f1f3_4  = f1_2 * (long) f3_2;
            long f1f4_2  = f1_2 * (long) f4;
            long f1f5_4  = f1_2 * (long) f5_2;
            long f1f6_2  = f1_2 * (long) f6;
            long f1f7_4  = f1_2 * (long) f7_2;
            long f1f8_2  = f1_2 * (long) f8;
            long f1f9_76 = f1_2 * (long) f9_38;
            long f2f2    = f2   * (long) f2;
            long f2f3_2  = f2_2 * (long) f3;
            long f2f4_2  = f2_2 * (long) f4;
            long f2f5_2  = f2_2 * (long) f5;
            long f2f6_2  = f2_2 * (long) f6;
            long f2f7_2  = f2_2 * (long) f7;
            long f2f8_38 = f2_2 * (long) f8_19;
            long f2f9_38 = f2   * (long) f9_38;
            long f3f3_2  = f3_2 * (long) f3;
            long f3f4_2  = f3_2 * (long) f4;
            long f3f5_4  = f3_2 * (long) f5_2;
            long f3f6_2  = f3_2 * (long) f6;
            long f3f7_76 = f3_2 * (long) f7_38;
            long f3f8_38 = f3_2 * (long) f8_19;
            long f3f9_76 = f3_2 * (long) f9_38;
            long f4f4    = f4   * (long) f4;
            long f4f5_2  = f4_2 * (long) f5;
            long f4f6_38 = f4_2 * (long) f6_19;
            long f4f7_38 = f4   * (long) f7_38;
            long f4f8_38 = f4_2 * (long) f8_19;
            long f4f9_38 = f4   * (long) f9_38;
            long f5f5_38 = f5   * (long) f5_38;
            long f5f6_38 = f5_2 * (long) f6_19;
            long f5f7_76 = f5_2 * (long) f7_38;
            long f5f8_38 = f5_2 * (long) f8_19;
            long f5f9_76 = f5_2 * (long) f9_38;
            long f6f6_19 = f6   * (long) f6_19;
            long f6f7_38 = f6   * (long) f7_38;
            long f6f8_38 = f6_2 * (long) f8_19;
            long f6f9_38 = f6   * (long) f9_38;
            long f7f7_38 = f7   * (long) f7_38;
            long f7f8_38 = f7_2 * (long) f8_19;
            long f7f9_76 = f7_2 * (long) f9_38;
            long f8f8_19 = f8   * (long) f8_19;
            long f8f9_38 = f8   * (long) f9_38;
            long f9f9_38 = f9   * (long) f9_38;
            long h0 = f0f0  + f1f9_76 + f2f8_38 + f3f7_76 + f4f6_38 + f5f5_38;
            long h1 = f0f1_2 + f2f9_38 + f3f8_38 + f4f7_38 + f5f6_38;
            long h2 = f0f2_2 + f1f1_2 + f3f9_76 + f4f8_38 + f5f7_76 + f6f6_19;
            long h3 = f0f3_2 + f1f2_2 + f4f9_38 + f5f8_38 + f6f7_38;
            long h4 = f0f4_2 + f1f3_4 + f2f2   + f5f9_76 + f6f8_38 + f7f7_38;
            long h5 = f0f5_2 + f1f4_2 + f2f3_2 + f6f9_38 + f7f8_38;
            long h6 = f0f6_2 + f1f5_4 + f2f4_2 + f3f3_2 + f7f9_76 + f8f8_19;
            long h7 = f0f7_2 + f1f6_2 + f2f5_2 + f3f4_2 + f8f9_38;
            long h8 = f0f8_2 + f1f7_4 + f2f6_2 + f3f5_4 + f4f4   + f9f9_38;
            long h9 = f0f9_2 + f1f8_2 + f2f7_2 + f3f6_2 + f4f5_2;
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;
            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry1 = (h1 + (long) (1 << 24)) >> 25;
            h2 += carry1;
            h1 -= carry1 << 25;
            carry5 = (h5 + (long) (1 << 24)) >> 25;
            h6 += carry5;
            h5 -= carry5 << 25;
            carry2 = (h2 + (long) (1 << 25)) >> 26;
            h3 += carry2;
            h2 -= carry2 << 26;
            carry6 = (h6 + (long) (1 << 25)) >> 26;
            h7 += carry6;
            h6 -= carry6 << 26;
            carry3 = (h3 + (long) (1 << 24)) >> 25;
            h4 += carry3;
            h3 -= carry3 << 25;
            carry7 = (h7 + (long) (1 << 24)) >> 25;
            h8 += carry7;
            h7 -= carry7 << 25;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry8 = (h8 + (long) (1 << 25)) >> 26;
            h9 += carry8;
            h8 -= carry8 << 26;
            carry9 = (h9 + (long) (1 << 24)) >> 25;
            h0 += carry9 * 19;
            h9 -= carry9 << 25;
            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            h[0] = (int) h0;
            h[1] = (int) h1;
            h[2] = (int) h2;
            h[3] = (int) h3;
            h[4] = (int) h4;
            h[5] = (int) h5;
            h[6] = (int) h6;
            h[7] = (int) h7;
            h[8] = (int) h8;
            h[9] = (int) h9;
        }

        internal static void fe_sq2(int[] h, int[] f) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int f0_2 = 2 * f0;
            int f1_2 = 2 * f1;
            int f2_2 = 2 * f2;
            int f3_2 = 2 * f3;
            int f4_2 = 2 * f4;
            int f5_2 = 2 * f5;
            int f6_2 = 2 * f6;
            int f7_2 = 2 * f7;
            int f5_38 = 38 * f5;
            int f6_19 = 19 * f6;
            int f7_38 = 38 * f7;
            int f8_19 = 19 * f8;
            int f9_38 = 38 * f9;
            long f0f0    = f0   * (long) f0;
            long f0f1_2  = f0_2 * (long) f1;
            long f0f2_2  = f0_2 * (long) f2;
            long f0f3_2  = f0_2 * (long) f3;
            long f0f4_2  = f0_2 * (long) f4;
            long f0f5_2  = f0_2 * (long) f5;
            long f0f6_2  = f0_2 * (long) f6;
            long f0f7_2  = f0_2 * (long) f7;
            long f0f8_2  = f0_2 * (long) f8;
            long f0f9_2  = f0_2 * (long) f9;
            long f1f1_2  = f1_2 * (long) f1;
            long f1f2_2  = f1_2 * (long) f2;
            long f1f3_4  = f1_2 * (long) f3_2;
            long f1f4_2  = f1_2 * (long) f4;
            long f1f5_4  = f1_2 * (long) f5_2;
            long f1f6_2  = f1_2 * (long) f6;
            long f1f7_4  = f1_2 * (long) f7_2;
            long f1f8_2  = f1_2 * (long) f8;
            long f1f9_76 = f1_2 * (long) f9_38;
            long f2f2    = f2   * (long) f2;
            long f2f3_2  = f2_2 * (long) f3;
            long f2f4_2  = f2_2 * (long) f4;
            long f2f5_2  = f2_2 * (long) f5;
            long f2f6_2  = f2_2 * (long) f6;
            long f2f7_2  = f2_2 * (long) f7;
            long f2f8_38 = f2_2 * (long) f8_19;
            long f2f9_38 = f2   * (long) f9_38;
            long f3f3_2  = f3_2 * (long) f3;
            long f3f4_2  = f3_2 * (long) f4;
            long f3f5_4  = f3_2 * (long) f5_2;
            long f3f6_2  = f3_2 * (long) f6;
            long f3f7_76 = f3_2 * (long) f7_38;
            long f3f8_38 = f3_2 * (long) f8_19;
            long f3f9_76 = f3_2 * (long) f9_38;
            long f4f4    = f4   * (long) f4;
            long f4f5_2  = f4_2 * (long) f5;
            long f4f6_38 = f4_2 * (long) f6_19;
            long f4f7_38 = f4   * (long) f7_38;
            long f4f8_38 = f4_2 * (long) f8_19;
            long f4f9_38 = f4   * (long) f9_38;
            long f5f5_38 = f5   * (long) f5_38;
            long f5f6_38 = f5_2 * (long) f6_19;
            long f5f7_76 = f5_2 * (long) f7_38;
            long f5f8_38 = f5_2 * (long) f8_19;
            long f5f9_76 = f5_2 * (long) f9_38;
            long f6f6_19 = f6   * (long) f6_19;
            long f6f7_38 = f6   * (long) f7_38;
            long f6f8_38 = f6_2 * (long) f8_19;
            long f6f9_38 = f6   * (long) f9_38;
            long f7f7_38 = f7   * (long) f7_38;
            long f7f8_38 = f7_2 * (long) f8_19;
            long f7f9_76 = f7_2 * (long) f9_38;
            long f8f8_19 = f8   * (long) f8_19;
            long f8f9_38 = f8   * (long) f9_38;
            long f9f9_38 = f9   * (long) f9_38;
            long h0 = f0f0  + f1f9_76 + f2f8_38 + f3f7_76 + f4f6_38 + f5f5_38;
            long h1 = f0f1_2 + f2f9_38 + f3f8_38 + f4f7_38 + f5f6_38;
            long h2 = f0f2_2 + f1f1_2 + f3f9_76 + f4f8_38 + f5f7_76 + f6f6_19;
            long h3 = f0f3_2 + f1f2_2 + f4f9_38 + f5f8_38 + f6f7_38;
            long h4 = f0f4_2 + f1f3_4 + f2f2   + f5f9_76 + f6f8_38 + f7f7_38;
            long h5 = f0f5_2 + f1f4_2 + f2f3_2 + f6f9_38 + f7f8_38;
            long h6 = f0f6_2 + f1f5_4 + f2f4_2 + f3f3_2 + f7f9_76 + f8f8_19;
            long h7 = f0f7_2 + f1f6_2 + f2f5_2 + f3f4_2 + f8f9_38;
            long h8 = f0f8_2 + f1f7_4 + f2f6_2 + f3f5_4 + f4f4   + f9f9_38;
            long h9 = f0f9_2 + f1f8_2 + f2f7_2 + f3f6_2 + f4f5_2;
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;
            h0 += h0;
            h1 += h1;
            h2 += h2;
            h3 += h3;
            h4 += h4;
            h5 += h5;
            h6 += h6;
            h7 += h7;
            h8 += h8;
            h9 += h9;
            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry1 = (h1 + (long) (1 << 24)) >> 25;
            h2 += carry1;
            h1 -= carry1 << 25;
            carry5 = (h5 + (long) (1 << 24)) >> 25;
            h6 += carry5;
            h5 -= carry5 << 25;
            carry2 = (h2 + (long) (1 << 25)) >> 26;
            h3 += carry2;
            h2 -= carry2 << 26;
            carry6 = (h6 + (long) (1 << 25)) >> 26;
            h7 += carry6;
            h6 -= carry6 << 26;
            carry3 = (h3 + (long) (1 << 24)) >> 25;
            h4 += carry3;
            h3 -= carry3 << 25;
            carry7 = (h7 + (long) (1 << 24)) >> 25;
            h8 += carry7;
            h7 -= carry7 << 25;
            carry4 = (h4 + (long) (1 << 25)) >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry8 = (h8 + (long) (1 << 25)) >> 26;
            h9 += carry8;
            h8 -= carry8 << 26;
            carry9 = (h9 + (long) (1 << 24)) >> 25;
            h0 += carry9 * 19;
            h9 -= carry9 << 25;
            carry0 = (h0 + (long) (1 << 25)) >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            h[0] = (int) h0;
            h[1] = (int) h1;
            h[2] = (int) h2;
            h[3] = (int) h3;
            h[4] = (int) h4;
            h[5] = (int) h5;
            h[6] = (int) h6;
            h[7] = (int) h7;
            h[8] = (int) h8;
            h[9] = (int) h9;
        }

        internal static void fe_sub(int[] h, int[] f, int[] g) {
            int f0 = f[0];
            int f1 = f[1];
            int f2 = f[2];
            int f3 = f[3];
            int f4 = f[4];
            int f5 = f[5];
            int f6 = f[6];
            int f7 = f[7];
            int f8 = f[8];
            int f9 = f[9];
            int g0 = g[0];
            int g1 = g[1];
            int g2 = g[2];
            int g3 = g[3];
            int g4 = g[4];
            int g5 = g[5];
            int g6 = g[6];
            int g7 = g[7];
            int g8 = g[8];
            int g9 = g[9];
            int h0 = f0 - g0;
            int h1 = f1 - g1;
            int h2 = f2 - g2;
            int h3 = f3 - g3;
            int h4 = f4 - g4;
            int h5 = f5 - g5;
            int h6 = f6 - g6;
            int h7 = f7 - g7;
            int h8 = f8 - g8;
            int h9 = f9 - g9;

            h[0] = h0;
            h[1] = h1;
            h[2] = h2;
            h[3] = h3;
            h[4] = h4;
            h[5] = h5;
            h[6] = h6;
            h[7] = h7;
            h[8] = h8;
            h[9] = h9;
        }

        internal static void fe_tobytes(byte[] s, int[] h) {
            int h0 = h[0];
            int h1 = h[1];
            int h2 = h[2];
            int h3 = h[3];
            int h4 = h[4];
            int h5 = h[5];
            int h6 = h[6];
            int h7 = h[7];
            int h8 = h[8];
            int h9 = h[9];
            int q;
            int carry0;
            int carry1;
            int carry2;
            int carry3;
            int carry4;
            int carry5;
            int carry6;
            int carry7;
            int carry8;
            int carry9;
            q = (19 * h9 + (((int) 1) << 24)) >> 25;
            q = (h0 + q) >> 26;
            q = (h1 + q) >> 25;
            q = (h2 + q) >> 26;
            q = (h3 + q) >> 25;
            q = (h4 + q) >> 26;
            q = (h5 + q) >> 25;
            q = (h6 + q) >> 26;
            q = (h7 + q) >> 25;
            q = (h8 + q) >> 26;
            q = (h9 + q) >> 25;

            h0 += 19 * q;

            carry0 = h0 >> 26;
            h1 += carry0;
            h0 -= carry0 << 26;
            carry1 = h1 >> 25;
            h2 += carry1;
            h1 -= carry1 << 25;
            carry2 = h2 >> 26;
            h3 += carry2;
            h2 -= carry2 << 26;
            carry3 = h3 >> 25;
            h4 += carry3;
            h3 -= carry3 << 25;
            carry4 = h4 >> 26;
            h5 += carry4;
            h4 -= carry4 << 26;
            carry5 = h5 >> 25;
            h6 += carry5;
            h5 -= carry5 << 25;
            carry6 = h6 >> 26;
            h7 += carry6;
            h6 -= carry6 << 26;
            carry7 = h7 >> 25;
            h8 += carry7;
            h7 -= carry7 << 25;
            carry8 = h8 >> 26;
            h9 += carry8;
            h8 -= carry8 << 26;
            carry9 = h9 >> 25;
            h9 -= carry9 << 25;



            s[0] = (byte) (h0 >> 0);
            s[1] = (byte) (h0 >> 8);
            s[2] = (byte) (h0 >> 16);
            s[3] = (byte) ((h0 >> 24) | (h1 << 2));
            s[4] = (byte) (h1 >> 6);
            s[5] = (byte) (h1 >> 14);
            s[6] = (byte) ((h1 >> 22) | (h2 << 3));
            s[7] = (byte) (h2 >> 5);
            s[8] = (byte) (h2 >> 13);
            s[9] = (byte) ((h2 >> 21) | (h3 << 5));
            s[10] = (byte) (h3 >> 3);
            s[11] = (byte) (h3 >> 11);
            s[12] = (byte) ((h3 >> 19) | (h4 << 6));
            s[13] = (byte) (h4 >> 2);
            s[14] = (byte) (h4 >> 10);
            s[15] = (byte) (h4 >> 18);
            s[16] = (byte) (h5 >> 0);
            s[17] = (byte) (h5 >> 8);
            s[18] = (byte) (h5 >> 16);
            s[19] = (byte) ((h5 >> 24) | (h6 << 1));
            s[20] = (byte) (h6 >> 7);
            s[21] = (byte) (h6 >> 15);
            s[22] = (byte) ((h6 >> 23) | (h7 << 3));
            s[23] = (byte) (h7 >> 5);
            s[24] = (byte) (h7 >> 13);
            s[25] = (byte) ((h7 >> 21) | (h8 << 4));
            s[26] = (byte) (h8 >> 4);
            s[27] = (byte) (h8 >> 12);
            s[28] = (byte) ((h8 >> 20) | (h9 << 6));
            s[29] = (byte) (h9 >> 2);
            s[30] = (byte) (h9 >> 10);
            s[31] = (byte) (h9 >> 18);
        }

        internal static void ge_add(ge_p1p1 r, ge_p3 p, ge_cached q) {
            int[] t0 = new int[10];
            fe_add(r.X, p.Y, p.X);
            fe_sub(r.Y, p.Y, p.X);
            fe_mul(r.Z, r.X, q.YplusX);
            fe_mul(r.Y, r.Y, q.YminusX);
            fe_mul(r.T, q.T2d, p.T);
            fe_mul(r.X, p.Z, q.Z);
            fe_add(t0, r.X, r.X);
            fe_sub(r.X, r.Z, r.Y);
            fe_add(r.Y, r.Z, r.Y);
            fe_add(r.Z, t0, r.T);
            fe_sub(r.T, t0, r.T);
        }

        static void slide(int[] r, byte[] a) {
            int i;
            int b;
            int k;

            for (i = 0; i < 256; ++i) {
                r[i] = 1 & (a[i >> 3] >> (i & 7));
            }

            for (i = 0; i < 256; ++i)
                if (r[i] != 0) {
                    for (b = 1; b <= 6 && i + b < 256; ++b) {
                        if (r[i + b] != 0) {
                            if (r[i] + (r[i + b] << b) <= 15) {
                                r[i] += r[i + b] << b;
                                r[i + b] = 0;
                            } else if (r[i] - (r[i + b] << b) >= -15) {
                                r[i] -= r[i + b] << b;

                                for (k = i + b; k < 256; ++k) {
                                    if (r[k] == 0) {
                                        r[k] = 1;
                                        break;
                                    }

                                    r[k] = 0;
                                }
                            } else {
                                break;
                            }
                        }
                    }
                }
        }

        internal static void ge_double_scalarmult_vartime(ge_p2 r, byte[] a, ge_p3 A, byte[] b) {
            int[] aslide = new int[256];
            int[] bslide = new int[256];
            ge_cached[] Ai = ge_cached.Row(8);
            ge_p1p1 t = new ge_p1p1();
            ge_p3 u = new ge_p3();
            ge_p3 A2 = new ge_p3();
            int i;
            slide(aslide, a);
            slide(bslide, b);
            ge_p3_to_cached(Ai[0], A);
            ge_p3_dbl(t, A);
            ge_p1p1_to_p3(A2, t);
            ge_add(t, A2, Ai[0]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[1], u);
            ge_add(t, A2, Ai[1]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[2], u);
            ge_add(t, A2, Ai[2]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[3], u);
            ge_add(t, A2, Ai[3]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[4], u);
            ge_add(t, A2, Ai[4]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[5], u);
            ge_add(t, A2, Ai[5]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[6], u);
            ge_add(t, A2, Ai[6]);
            ge_p1p1_to_p3(u, t);
            ge_p3_to_cached(Ai[7], u);
            ge_p2_0(r);

            for (i = 255; i >= 0; --i) {
                if (aslide[i] != 0 || bslide[i] != 0) {
                    break;
                }
            }

            for (; i >= 0; --i) {
                ge_p2_dbl(t, r);

                if (aslide[i] > 0) {
                    ge_p1p1_to_p3(u, t);
                    ge_add(t, u, Ai[aslide[i] / 2]);
                } else if (aslide[i] < 0) {
                    ge_p1p1_to_p3(u, t);
                    ge_sub(t, u, Ai[(-aslide[i]) / 2]);
                }

                if (bslide[i] > 0) {
                    ge_p1p1_to_p3(u, t);
                    ge_madd(t, u, Bi[bslide[i] / 2]);
                } else if (bslide[i] < 0) {
                    ge_p1p1_to_p3(u, t);
                    ge_msub(t, u, Bi[(-bslide[i]) / 2]);
                }

                ge_p1p1_to_p2(r, t);
            }
        }

        internal static int ge_frombytes_negate_vartime(ge_p3 h, byte[] s) {
            int[] u = new int[10];
            int[] v = new int[10];
            int[] v3 = new int[10];
            int[] vxx = new int[10];
            int[] check = new int[10];
            fe_frombytes(h.Y, s);
            fe_1(h.Z);
            fe_sq(u, h.Y);
            fe_mul(v, u, d);
            fe_sub(u, u, h.Z);
            fe_add(v, v, h.Z);
            fe_sq(v3, v);
            fe_mul(v3, v3, v);
            fe_sq(h.X, v3);
            fe_mul(h.X, h.X, v);
            fe_mul(h.X, h.X, u);
            fe_pow22523(h.X, h.X);
            fe_mul(h.X, h.X, v3);
            fe_mul(h.X, h.X, u);
            fe_sq(vxx, h.X);
            fe_mul(vxx, vxx, v);
            fe_sub(check, vxx, u);

            if (fe_isnonzero(check) != 0) {
                fe_add(check, vxx, u);

                if (fe_isnonzero(check) != 0) {
                    return -1;
                }

                fe_mul(h.X, h.X, sqrtm1);
            }

            if (fe_isnegative(h.X) == (s[31] >> 7)) {
                fe_neg(h.X, h.X);
            }

            fe_mul(h.T, h.X, h.Y);
            return 0;
        }

        internal static void ge_madd(ge_p1p1 r, ge_p3 p, ge_precomp q) {
            int[] t0 = new int[10];
            fe_add(r.X, p.Y, p.X);
            fe_sub(r.Y, p.Y, p.X);
            fe_mul(r.Z, r.X, q.yplusx);
            fe_mul(r.Y, r.Y, q.yminusx);
            fe_mul(r.T, q.xy2d, p.T);
            fe_add(t0, p.Z, p.Z);
            fe_sub(r.X, r.Z, r.Y);
            fe_add(r.Y, r.Z, r.Y);
            fe_add(r.Z, t0, r.T);
            fe_sub(r.T, t0, r.T);
        }

        internal static void ge_msub(ge_p1p1 r, ge_p3 p, ge_precomp q) {
            int[] t0 = new int[10];

            fe_add(r.X, p.Y, p.X);
            fe_sub(r.Y, p.Y, p.X);
            fe_mul(r.Z, r.X, q.yminusx);
            fe_mul(r.Y, r.Y, q.yplusx);
            fe_mul(r.T, q.xy2d, p.T);
            fe_add(t0, p.Z, p.Z);
            fe_sub(r.X, r.Z, r.Y);
            fe_add(r.Y, r.Z, r.Y);
            fe_sub(r.Z, t0, r.T);
            fe_add(r.T, t0, r.T);
        }

        internal static void ge_p1p1_to_p2(ge_p2 r, ge_p1p1 p) {
            fe_mul(r.X, p.X, p.T);
            fe_mul(r.Y, p.Y, p.Z);
            fe_mul(r.Z, p.Z, p.T);
        }

        internal static void ge_p1p1_to_p3(ge_p3 r, ge_p1p1 p) {
            fe_mul(r.X, p.X, p.T);
            fe_mul(r.Y, p.Y, p.Z);
            fe_mul(r.Z, p.Z, p.T);
            fe_mul(r.T, p.X, p.Y);
        }

        internal static void ge_p2_0(ge_p2 h) {
            fe_0(h.X);
            fe_1(h.Y);
            fe_1(h.Z);
        }

        internal static void ge_p2_dbl(ge_p1p1 r, ge_p2 p) {
            int[] t0 = new int[10];

            fe_sq(r.X, p.X);
            fe_sq(r.Z, p.Y);
            fe_sq2(r.T, p.Z);
            fe_add(r.Y, p.X, p.Y);
            fe_sq(t0, r.Y);
            fe_add(r.Y, r.Z, r.X);
            fe_sub(r.Z, r.Z, r.X);
            fe_sub(r.X, t0, r.Y);
            fe_sub(r.T, r.T, r.Z);
        }

        internal static void ge_p3_dbl(ge_p1p1 r, ge_p3 p) {
            ge_p2 q = new ge_p2();
            ge_p3_to_p2(q, p);
            ge_p2_dbl(r, q);
        }

        internal static void ge_p3_to_cached(ge_cached r, ge_p3 p) {
            fe_add(r.YplusX, p.Y, p.X);
            fe_sub(r.YminusX, p.Y, p.X);
            fe_copy(r.Z, p.Z);
            fe_mul(r.T2d, p.T, d2);
        }

        internal static void ge_p3_to_p2(ge_p2 r, ge_p3 p) {
            fe_copy(r.X, p.X);
            fe_copy(r.Y, p.Y);
            fe_copy(r.Z, p.Z);
        }

        internal static void ge_sub(ge_p1p1 r, ge_p3 p, ge_cached q) {
            int[] t0 = new int[10];

            fe_add(r.X, p.Y, p.X);
            fe_sub(r.Y, p.Y, p.X);
            fe_mul(r.Z, r.X, q.YminusX);
            fe_mul(r.Y, r.Y, q.YplusX);
            fe_mul(r.T, q.T2d, p.T);
            fe_mul(r.X, p.Z, q.Z);
            fe_add(t0, r.X, r.X);
            fe_sub(r.X, r.Z, r.Y);
            fe_add(r.Y, r.Z, r.Y);
            fe_sub(r.Z, t0, r.T);
            fe_add(r.T, t0, r.T);
        }

        internal static void ge_tobytes(byte[] s, ge_p2 h) {
            int[] recip = new int[10];
            int[] x = new int[10];
            int[] y = new int[10];
            fe_invert(recip, h.Z);
            fe_mul(x, h.X, recip);
            fe_mul(y, h.Y, recip);
            fe_tobytes(s, y);
            s[31] ^= (byte) (fe_isnegative(x) << 7);
        }

        internal static void sc_reduce(byte[] s) {
            long s0 = 2097151 & load_3(s, 0);
            long s1 = 2097151 & (load_4(s, 2) >> 5);
            long s2 = 2097151 & (load_3(s, 5) >> 2);
            long s3 = 2097151 & (load_4(s, 7) >> 7);
            long s4 = 2097151 & (load_4(s, 10) >> 4);
            long s5 = 2097151 & (load_3(s, 13) >> 1);
            long s6 = 2097151 & (load_4(s, 15) >> 6);
            long s7 = 2097151 & (load_3(s, 18) >> 3);
            long s8 = 2097151 & load_3(s, 21);
            long s9 = 2097151 & (load_4(s, 23) >> 5);
            long s10 = 2097151 & (load_3(s, 26) >> 2);
            long s11 = 2097151 & (load_4(s, 28) >> 7);
            long s12 = 2097151 & (load_4(s, 31) >> 4);
            long s13 = 2097151 & (load_3(s, 34) >> 1);
            long s14 = 2097151 & (load_4(s, 36) >> 6);
            long s15 = 2097151 & (load_3(s, 39) >> 3);
            long s16 = 2097151 & load_3(s, 42);
            long s17 = 2097151 & (load_4(s, 44) >> 5);
            long s18 = 2097151 & (load_3(s, 47) >> 2);
            long s19 = 2097151 & (load_4(s, 49) >> 7);
            long s20 = 2097151 & (load_4(s, 52) >> 4);
            long s21 = 2097151 & (load_3(s, 55) >> 1);
            long s22 = 2097151 & (load_4(s, 57) >> 6);
            long s23 = (load_4(s, 60) >> 3);
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;
            long carry10;
            long carry11;
            long carry12;
            long carry13;
            long carry14;
            long carry15;
            long carry16;

            s11 += s23 * 666643;
            s12 += s23 * 470296;
            s13 += s23 * 654183;
            s14 -= s23 * 997805;
            s15 += s23 * 136657;
            s16 -= s23 * 683901;
            s23 = 0;
            s10 += s22 * 666643;
            s11 += s22 * 470296;
            s12 += s22 * 654183;
            s13 -= s22 * 997805;
            s14 += s22 * 136657;
            s15 -= s22 * 683901;
            s22 = 0;
            s9 += s21 * 666643;
            s10 += s21 * 470296;
            s11 += s21 * 654183;
            s12 -= s21 * 997805;
            s13 += s21 * 136657;
            s14 -= s21 * 683901;
            s21 = 0;
            s8 += s20 * 666643;
            s9 += s20 * 470296;
            s10 += s20 * 654183;
            s11 -= s20 * 997805;
            s12 += s20 * 136657;
            s13 -= s20 * 683901;
            s20 = 0;
            s7 += s19 * 666643;
            s8 += s19 * 470296;
            s9 += s19 * 654183;
            s10 -= s19 * 997805;
            s11 += s19 * 136657;
            s12 -= s19 * 683901;
            s19 = 0;
            s6 += s18 * 666643;
            s7 += s18 * 470296;
            s8 += s18 * 654183;
            s9 -= s18 * 997805;
            s10 += s18 * 136657;
            s11 -= s18 * 683901;
            s18 = 0;
            carry6 = (s6 + (1 << 20)) >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry8 = (s8 + (1 << 20)) >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry10 = (s10 + (1 << 20)) >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry12 = (s12 + (1 << 20)) >> 21;
            s13 += carry12;
            s12 -= carry12 << 21;
            carry14 = (s14 + (1 << 20)) >> 21;
            s15 += carry14;
            s14 -= carry14 << 21;
            carry16 = (s16 + (1 << 20)) >> 21;
            s17 += carry16;
            s16 -= carry16 << 21;
            carry7 = (s7 + (1 << 20)) >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry9 = (s9 + (1 << 20)) >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry11 = (s11 + (1 << 20)) >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            carry13 = (s13 + (1 << 20)) >> 21;
            s14 += carry13;
            s13 -= carry13 << 21;
            carry15 = (s15 + (1 << 20)) >> 21;
            s16 += carry15;
            s15 -= carry15 << 21;
            s5 += s17 * 666643;
            s6 += s17 * 470296;
            s7 += s17 * 654183;
            s8 -= s17 * 997805;
            s9 += s17 * 136657;
            s10 -= s17 * 683901;
            s17 = 0;
            s4 += s16 * 666643;
            s5 += s16 * 470296;
            s6 += s16 * 654183;
            s7 -= s16 * 997805;
            s8 += s16 * 136657;
            s9 -= s16 * 683901;
            s16 = 0;
            s3 += s15 * 666643;
            s4 += s15 * 470296;
            s5 += s15 * 654183;
            s6 -= s15 * 997805;
            s7 += s15 * 136657;
            s8 -= s15 * 683901;
            s15 = 0;
            s2 += s14 * 666643;
            s3 += s14 * 470296;
            s4 += s14 * 654183;
            s5 -= s14 * 997805;
            s6 += s14 * 136657;
            s7 -= s14 * 683901;
            s14 = 0;
            s1 += s13 * 666643;
            s2 += s13 * 470296;
            s3 += s13 * 654183;
            s4 -= s13 * 997805;
            s5 += s13 * 136657;
            s6 -= s13 * 683901;
            s13 = 0;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = (s0 + (1 << 20)) >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry2 = (s2 + (1 << 20)) >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry4 = (s4 + (1 << 20)) >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry6 = (s6 + (1 << 20)) >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry8 = (s8 + (1 << 20)) >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry10 = (s10 + (1 << 20)) >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry1 = (s1 + (1 << 20)) >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry3 = (s3 + (1 << 20)) >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry5 = (s5 + (1 << 20)) >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry7 = (s7 + (1 << 20)) >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry9 = (s9 + (1 << 20)) >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry11 = (s11 + (1 << 20)) >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = s0 >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry1 = s1 >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry2 = s2 >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry3 = s3 >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry4 = s4 >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry5 = s5 >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry6 = s6 >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry7 = s7 >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry8 = s8 >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry9 = s9 >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry10 = s10 >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry11 = s11 >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = s0 >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry1 = s1 >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry2 = s2 >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry3 = s3 >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry4 = s4 >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry5 = s5 >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry6 = s6 >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry7 = s7 >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry8 = s8 >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry9 = s9 >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry10 = s10 >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;

            s[0] = (byte) (s0 >> 0);
            s[1] = (byte) (s0 >> 8);
            s[2] = (byte) ((s0 >> 16) | (s1 << 5));
            s[3] = (byte) (s1 >> 3);
            s[4] = (byte) (s1 >> 11);
            s[5] = (byte) ((s1 >> 19) | (s2 << 2));
            s[6] = (byte) (s2 >> 6);
            s[7] = (byte) ((s2 >> 14) | (s3 << 7));
            s[8] = (byte) (s3 >> 1);
            s[9] = (byte) (s3 >> 9);
            s[10] = (byte) ((s3 >> 17) | (s4 << 4));
            s[11] = (byte) (s4 >> 4);
            s[12] = (byte) (s4 >> 12);
            s[13] = (byte) ((s4 >> 20) | (s5 << 1));
            s[14] = (byte) (s5 >> 7);
            s[15] = (byte) ((s5 >> 15) | (s6 << 6));
            s[16] = (byte) (s6 >> 2);
            s[17] = (byte) (s6 >> 10);
            s[18] = (byte) ((s6 >> 18) | (s7 << 3));
            s[19] = (byte) (s7 >> 5);
            s[20] = (byte) (s7 >> 13);
            s[21] = (byte) (s8 >> 0);
            s[22] = (byte) (s8 >> 8);
            s[23] = (byte) ((s8 >> 16) | (s9 << 5));
            s[24] = (byte) (s9 >> 3);
            s[25] = (byte) (s9 >> 11);
            s[26] = (byte) ((s9 >> 19) | (s10 << 2));
            s[27] = (byte) (s10 >> 6);
            s[28] = (byte) ((s10 >> 14) | (s11 << 7));
            s[29] = (byte) (s11 >> 1);
            s[30] = (byte) (s11 >> 9);
            s[31] = (byte) (s11 >> 17);
        }

        internal static void sc_muladd(byte[] s, byte[] a, byte[] b, byte[] c) {
            long a0 = 2097151 & load_3(a, 0);
            long a1 = 2097151 & (load_4(a, 2) >> 5);
            long a2 = 2097151 & (load_3(a, 5) >> 2);
            long a3 = 2097151 & (load_4(a, 7) >> 7);
            long a4 = 2097151 & (load_4(a, 10) >> 4);
            long a5 = 2097151 & (load_3(a, 13) >> 1);
            long a6 = 2097151 & (load_4(a, 15) >> 6);
            long a7 = 2097151 & (load_3(a, 18) >> 3);
            long a8 = 2097151 & load_3(a, 21);
            long a9 = 2097151 & (load_4(a, 23) >> 5);
            long a10 = 2097151 & (load_3(a, 26) >> 2);
            long a11 = (load_4(a, 28) >> 7);
            long b0 = 2097151 & load_3(b, 0);
            long b1 = 2097151 & (load_4(b, 2) >> 5);
            long b2 = 2097151 & (load_3(b, 5) >> 2);
            long b3 = 2097151 & (load_4(b, 7) >> 7);
            long b4 = 2097151 & (load_4(b, 10) >> 4);
            long b5 = 2097151 & (load_3(b, 13) >> 1);
            long b6 = 2097151 & (load_4(b, 15) >> 6);
            long b7 = 2097151 & (load_3(b, 18) >> 3);
            long b8 = 2097151 & load_3(b, 21);
            long b9 = 2097151 & (load_4(b, 23) >> 5);
            long b10 = 2097151 & (load_3(b, 26) >> 2);
            long b11 = (load_4(b, 28) >> 7);
            long c0 = 2097151 & load_3(c, 0);
            long c1 = 2097151 & (load_4(c, 2) >> 5);
            long c2 = 2097151 & (load_3(c, 5) >> 2);
            long c3 = 2097151 & (load_4(c, 7) >> 7);
            long c4 = 2097151 & (load_4(c, 10) >> 4);
            long c5 = 2097151 & (load_3(c, 13) >> 1);
            long c6 = 2097151 & (load_4(c, 15) >> 6);
            long c7 = 2097151 & (load_3(c, 18) >> 3);
            long c8 = 2097151 & load_3(c, 21);
            long c9 = 2097151 & (load_4(c, 23) >> 5);
            long c10 = 2097151 & (load_3(c, 26) >> 2);
            long c11 = (load_4(c, 28) >> 7);
            long s0;
            long s1;
            long s2;
            long s3;
            long s4;
            long s5;
            long s6;
            long s7;
            long s8;
            long s9;
            long s10;
            long s11;
            long s12;
            long s13;
            long s14;
            long s15;
            long s16;
            long s17;
            long s18;
            long s19;
            long s20;
            long s21;
            long s22;
            long s23;
            long carry0;
            long carry1;
            long carry2;
            long carry3;
            long carry4;
            long carry5;
            long carry6;
            long carry7;
            long carry8;
            long carry9;
            long carry10;
            long carry11;
            long carry12;
            long carry13;
            long carry14;
            long carry15;
            long carry16;
            long carry17;
            long carry18;
            long carry19;
            long carry20;
            long carry21;
            long carry22;

            s0 = c0 + a0 * b0;
            s1 = c1 + a0 * b1 + a1 * b0;
            s2 = c2 + a0 * b2 + a1 * b1 + a2 * b0;
            s3 = c3 + a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0;
            s4 = c4 + a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0;
            s5 = c5 + a0 * b5 + a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1 + a5 * b0;
            s6 = c6 + a0 * b6 + a1 * b5 + a2 * b4 + a3 * b3 + a4 * b2 + a5 * b1 + a6 * b0;
            s7 = c7 + a0 * b7 + a1 * b6 + a2 * b5 + a3 * b4 + a4 * b3 + a5 * b2 + a6 * b1 + a7 * b0;
            s8 = c8 + a0 * b8 + a1 * b7 + a2 * b6 + a3 * b5 + a4 * b4 + a5 * b3 + a6 * b2 + a7 * b1 + a8 * b0;
            s9 = c9 + a0 * b9 + a1 * b8 + a2 * b7 + a3 * b6 + a4 * b5 + a5 * b4 + a6 * b3 + a7 * b2 + a8 * b1 + a9 * b0;
            s10 = c10 + a0 * b10 + a1 * b9 + a2 * b8 + a3 * b7 + a4 * b6 + a5 * b5 + a6 * b4 + a7 * b3 + a8 * b2 + a9 * b1 + a10 * b0;
            s11 = c11 + a0 * b11 + a1 * b10 + a2 * b9 + a3 * b8 + a4 * b7 + a5 * b6 + a6 * b5 + a7 * b4 + a8 * b3 + a9 * b2 + a10 * b1 + a11 * b0;
            s12 = a1 * b11 + a2 * b10 + a3 * b9 + a4 * b8 + a5 * b7 + a6 * b6 + a7 * b5 + a8 * b4 + a9 * b3 + a10 * b2 + a11 * b1;
            s13 = a2 * b11 + a3 * b10 + a4 * b9 + a5 * b8 + a6 * b7 + a7 * b6 + a8 * b5 + a9 * b4 + a10 * b3 + a11 * b2;
            s14 = a3 * b11 + a4 * b10 + a5 * b9 + a6 * b8 + a7 * b7 + a8 * b6 + a9 * b5 + a10 * b4 + a11 * b3;
            s15 = a4 * b11 + a5 * b10 + a6 * b9 + a7 * b8 + a8 * b7 + a9 * b6 + a10 * b5 + a11 * b4;
            s16 = a5 * b11 + a6 * b10 + a7 * b9 + a8 * b8 + a9 * b7 + a10 * b6 + a11 * b5;
            s17 = a6 * b11 + a7 * b10 + a8 * b9 + a9 * b8 + a10 * b7 + a11 * b6;
            s18 = a7 * b11 + a8 * b10 + a9 * b9 + a10 * b8 + a11 * b7;
            s19 = a8 * b11 + a9 * b10 + a10 * b9 + a11 * b8;
            s20 = a9 * b11 + a10 * b10 + a11 * b9;
            s21 = a10 * b11 + a11 * b10;
            s22 = a11 * b11;
            s23 = 0;
            carry0 = (s0 + (1 << 20)) >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry2 = (s2 + (1 << 20)) >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry4 = (s4 + (1 << 20)) >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry6 = (s6 + (1 << 20)) >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry8 = (s8 + (1 << 20)) >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry10 = (s10 + (1 << 20)) >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry12 = (s12 + (1 << 20)) >> 21;
            s13 += carry12;
            s12 -= carry12 << 21;
            carry14 = (s14 + (1 << 20)) >> 21;
            s15 += carry14;
            s14 -= carry14 << 21;
            carry16 = (s16 + (1 << 20)) >> 21;
            s17 += carry16;
            s16 -= carry16 << 21;
            carry18 = (s18 + (1 << 20)) >> 21;
            s19 += carry18;
            s18 -= carry18 << 21;
            carry20 = (s20 + (1 << 20)) >> 21;
            s21 += carry20;
            s20 -= carry20 << 21;
            carry22 = (s22 + (1 << 20)) >> 21;
            s23 += carry22;
            s22 -= carry22 << 21;
            carry1 = (s1 + (1 << 20)) >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry3 = (s3 + (1 << 20)) >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry5 = (s5 + (1 << 20)) >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry7 = (s7 + (1 << 20)) >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry9 = (s9 + (1 << 20)) >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry11 = (s11 + (1 << 20)) >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            carry13 = (s13 + (1 << 20)) >> 21;
            s14 += carry13;
            s13 -= carry13 << 21;
            carry15 = (s15 + (1 << 20)) >> 21;
            s16 += carry15;
            s15 -= carry15 << 21;
            carry17 = (s17 + (1 << 20)) >> 21;
            s18 += carry17;
            s17 -= carry17 << 21;
            carry19 = (s19 + (1 << 20)) >> 21;
            s20 += carry19;
            s19 -= carry19 << 21;
            carry21 = (s21 + (1 << 20)) >> 21;
            s22 += carry21;
            s21 -= carry21 << 21;
            s11 += s23 * 666643;
            s12 += s23 * 470296;
            s13 += s23 * 654183;
            s14 -= s23 * 997805;
            s15 += s23 * 136657;
            s16 -= s23 * 683901;
            s23 = 0;
            s10 += s22 * 666643;
            s11 += s22 * 470296;
            s12 += s22 * 654183;
            s13 -= s22 * 997805;
            s14 += s22 * 136657;
            s15 -= s22 * 683901;
            s22 = 0;
            s9 += s21 * 666643;
            s10 += s21 * 470296;
            s11 += s21 * 654183;
            s12 -= s21 * 997805;
            s13 += s21 * 136657;
            s14 -= s21 * 683901;
            s21 = 0;
            s8 += s20 * 666643;
            s9 += s20 * 470296;
            s10 += s20 * 654183;
            s11 -= s20 * 997805;
            s12 += s20 * 136657;
            s13 -= s20 * 683901;
            s20 = 0;
            s7 += s19 * 666643;
            s8 += s19 * 470296;
            s9 += s19 * 654183;
            s10 -= s19 * 997805;
            s11 += s19 * 136657;
            s12 -= s19 * 683901;
            s19 = 0;
            s6 += s18 * 666643;
            s7 += s18 * 470296;
            s8 += s18 * 654183;
            s9 -= s18 * 997805;
            s10 += s18 * 136657;
            s11 -= s18 * 683901;
            s18 = 0;
            carry6 = (s6 + (1 << 20)) >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry8 = (s8 + (1 << 20)) >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry10 = (s10 + (1 << 20)) >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry12 = (s12 + (1 << 20)) >> 21;
            s13 += carry12;
            s12 -= carry12 << 21;
            carry14 = (s14 + (1 << 20)) >> 21;
            s15 += carry14;
            s14 -= carry14 << 21;
            carry16 = (s16 + (1 << 20)) >> 21;
            s17 += carry16;
            s16 -= carry16 << 21;
            carry7 = (s7 + (1 << 20)) >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry9 = (s9 + (1 << 20)) >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry11 = (s11 + (1 << 20)) >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            carry13 = (s13 + (1 << 20)) >> 21;
            s14 += carry13;
            s13 -= carry13 << 21;
            carry15 = (s15 + (1 << 20)) >> 21;
            s16 += carry15;
            s15 -= carry15 << 21;
            s5 += s17 * 666643;
            s6 += s17 * 470296;
            s7 += s17 * 654183;
            s8 -= s17 * 997805;
            s9 += s17 * 136657;
            s10 -= s17 * 683901;
            s17 = 0;
            s4 += s16 * 666643;
            s5 += s16 * 470296;
            s6 += s16 * 654183;
            s7 -= s16 * 997805;
            s8 += s16 * 136657;
            s9 -= s16 * 683901;
            s16 = 0;
            s3 += s15 * 666643;
            s4 += s15 * 470296;
            s5 += s15 * 654183;
            s6 -= s15 * 997805;
            s7 += s15 * 136657;
            s8 -= s15 * 683901;
            s15 = 0;
            s2 += s14 * 666643;
            s3 += s14 * 470296;
            s4 += s14 * 654183;
            s5 -= s14 * 997805;
            s6 += s14 * 136657;
            s7 -= s14 * 683901;
            s14 = 0;
            s1 += s13 * 666643;
            s2 += s13 * 470296;
            s3 += s13 * 654183;
            s4 -= s13 * 997805;
            s5 += s13 * 136657;
            s6 -= s13 * 683901;
            s13 = 0;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = (s0 + (1 << 20)) >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry2 = (s2 + (1 << 20)) >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry4 = (s4 + (1 << 20)) >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry6 = (s6 + (1 << 20)) >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry8 = (s8 + (1 << 20)) >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry10 = (s10 + (1 << 20)) >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry1 = (s1 + (1 << 20)) >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry3 = (s3 + (1 << 20)) >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry5 = (s5 + (1 << 20)) >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry7 = (s7 + (1 << 20)) >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry9 = (s9 + (1 << 20)) >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry11 = (s11 + (1 << 20)) >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = s0 >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry1 = s1 >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry2 = s2 >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry3 = s3 >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry4 = s4 >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry5 = s5 >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry6 = s6 >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry7 = s7 >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry8 = s8 >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry9 = s9 >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry10 = s10 >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;
            carry11 = s11 >> 21;
            s12 += carry11;
            s11 -= carry11 << 21;
            s0 += s12 * 666643;
            s1 += s12 * 470296;
            s2 += s12 * 654183;
            s3 -= s12 * 997805;
            s4 += s12 * 136657;
            s5 -= s12 * 683901;
            s12 = 0;
            carry0 = s0 >> 21;
            s1 += carry0;
            s0 -= carry0 << 21;
            carry1 = s1 >> 21;
            s2 += carry1;
            s1 -= carry1 << 21;
            carry2 = s2 >> 21;
            s3 += carry2;
            s2 -= carry2 << 21;
            carry3 = s3 >> 21;
            s4 += carry3;
            s3 -= carry3 << 21;
            carry4 = s4 >> 21;
            s5 += carry4;
            s4 -= carry4 << 21;
            carry5 = s5 >> 21;
            s6 += carry5;
            s5 -= carry5 << 21;
            carry6 = s6 >> 21;
            s7 += carry6;
            s6 -= carry6 << 21;
            carry7 = s7 >> 21;
            s8 += carry7;
            s7 -= carry7 << 21;
            carry8 = s8 >> 21;
            s9 += carry8;
            s8 -= carry8 << 21;
            carry9 = s9 >> 21;
            s10 += carry9;
            s9 -= carry9 << 21;
            carry10 = s10 >> 21;
            s11 += carry10;
            s10 -= carry10 << 21;

            s[0] = (byte) (s0 >> 0);
            s[1] = (byte) (s0 >> 8);
            s[2] = (byte) ((s0 >> 16) | (s1 << 5));
            s[3] = (byte) (s1 >> 3);
            s[4] = (byte) (s1 >> 11);
            s[5] = (byte) ((s1 >> 19) | (s2 << 2));
            s[6] = (byte) (s2 >> 6);
            s[7] = (byte) ((s2 >> 14) | (s3 << 7));
            s[8] = (byte) (s3 >> 1);
            s[9] = (byte) (s3 >> 9);
            s[10] = (byte) ((s3 >> 17) | (s4 << 4));
            s[11] = (byte) (s4 >> 4);
            s[12] = (byte) (s4 >> 12);
            s[13] = (byte) ((s4 >> 20) | (s5 << 1));
            s[14] = (byte) (s5 >> 7);
            s[15] = (byte) ((s5 >> 15) | (s6 << 6));
            s[16] = (byte) (s6 >> 2);
            s[17] = (byte) (s6 >> 10);
            s[18] = (byte) ((s6 >> 18) | (s7 << 3));
            s[19] = (byte) (s7 >> 5);
            s[20] = (byte) (s7 >> 13);
            s[21] = (byte) (s8 >> 0);
            s[22] = (byte) (s8 >> 8);
            s[23] = (byte) ((s8 >> 16) | (s9 << 5));
            s[24] = (byte) (s9 >> 3);
            s[25] = (byte) (s9 >> 11);
            s[26] = (byte) ((s9 >> 19) | (s10 << 2));
            s[27] = (byte) (s10 >> 6);
            s[28] = (byte) ((s10 >> 14) | (s11 << 7));
            s[29] = (byte) (s11 >> 1);
            s[30] = (byte) (s11 >> 9);
            s[31] = (byte) (s11 >> 17);
        }
    }
}
