using System;
using System.Collections.Generic;
using System.Numerics;
using System.Security.Cryptography;
using System.Text;
using Example.LicenseAgent.Crypto;

namespace Example.LicenseAgent
{
    /// <summary>A message, key or file that the format does not allow; Code is the
    /// word of SPEC.md section 11.</summary>
    internal sealed class FormatError : Exception
    {
        internal readonly string Code;

        internal FormatError(string code, string detail = "") : base(code + (detail == "" ? "" : ": " + detail)) { Code = code; }
    }

    /// <summary>A public key and raw signatures (SPEC.md section 1).</summary>
    internal sealed class Key
    {
        internal const string Ed25519 = "ed25519", P256 = "p256-sha256";

        /// <summary>The digits after "sha256:" and "dev:".</summary>
        internal readonly string Digits;
        internal readonly string Alg;
        readonly byte[] pub;
        readonly BigInteger x, y;

        // y of the points of order 1, 2, 4 and 8: under such a key one signature
        // fits many messages, and libraries disagree about them.
        static readonly BigInteger Field = BigInteger.Pow(2, 255) - 19;
        static readonly HashSet<BigInteger> Weak = new HashSet<BigInteger>
        {
            0, 1, Field - 1,
            Hex("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"),
            Hex("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7"),
        };
        static readonly BigInteger Order = BigInteger.Pow(2, 252) + BigInteger.Parse("27742317777372353535851937790883648493");

        Key(string alg, byte[] pub)
        {
            Alg = alg;
            this.pub = pub;
            if (alg == P256)
            {
                x = Big(pub, 1, 32);
                y = Big(pub, 33, 32);
            }
            byte[] name = Encoding.ASCII.GetBytes(alg + "\n"), all = new byte[name.Length + pub.Length];
            name.CopyTo(all, 0);
            pub.CopyTo(all, name.Length);
            Digits = ToHex(Sha256(all)).Substring(0, 32);
        }

        /// <summary>Null for a key that cannot be used at all.</summary>
        internal static Key Read(string alg, string text)
        {
            byte[] pub = Text.Decode64(text);
            if (pub == null) { return null; }
            if (alg == Ed25519 && pub.Length == 32)
            {
                BigInteger y = Little(pub, 0, 32) & (BigInteger.Pow(2, 255) - 1);
                return y >= Field || Weak.Contains(y) ? null : new Key(alg, pub);
            }
            if (alg == P256 && pub.Length == 65 && pub[0] == 4)
            {
                var k = new Key(alg, pub);
                return Curve.On(k.x, k.y) ? k : null;
            }
            return null;
        }

        /// <summary>Checks one raw signature of exactly 64 bytes.</summary>
        internal bool Verify(byte[] message, byte[] signature)
        {
            if (signature.Length != 64) { return false; }
            if (Alg == P256) { return Curve.Verify(x, y, Sha256(message), Big(signature, 0, 32), Big(signature, 32, 32)); }
            // RFC 8032 section 5.1.7, strictly: S < L, and R compared as bytes.
            var a = new Ref10.ge_p3();
            if (Little(signature, 32, 32) >= Order || Ref10.ge_frombytes_negate_vartime(a, pub) != 0) { return false; }
            byte[] all = new byte[64 + message.Length], h, s = new byte[32], r = new byte[32];
            Buffer.BlockCopy(signature, 0, all, 0, 32);
            pub.CopyTo(all, 32);
            message.CopyTo(all, 64);
            using (var sha = SHA512.Create()) { h = sha.ComputeHash(all); }
            Ref10.sc_reduce(h);
            Buffer.BlockCopy(signature, 32, s, 0, 32);
            var point = new Ref10.ge_p2();
            Ref10.ge_double_scalarmult_vartime(point, h, a, s);
            Ref10.ge_tobytes(r, point);
            int different = 0;
            for (int i = 0; i < 32; i++) { different |= r[i] ^ signature[i]; }
            return different == 0;
        }

        internal static byte[] Sha256(byte[] data)
        {
            using (var sha = SHA256.Create()) { return sha.ComputeHash(data); }
        }

        internal static string ToHex(byte[] data)
        {
            var s = new StringBuilder(2 * data.Length);
            foreach (byte b in data) { s.Append(b.ToString("x2")); }
            return s.ToString();
        }

        static BigInteger Hex(string digits) { return BigInteger.Parse("0" + digits, System.Globalization.NumberStyles.HexNumber); }

        static BigInteger Little(byte[] b, int at, int n)
        {
            var copy = new byte[n + 1]; // the last byte keeps it positive
            Buffer.BlockCopy(b, at, copy, 0, n);
            return new BigInteger(copy);
        }

        static BigInteger Big(byte[] b, int at, int n)
        {
            var copy = new byte[n];
            for (int i = 0; i < n; i++) { copy[i] = b[at + n - 1 - i]; }
            return Little(copy, 0, n);
        }

        /// <summary>P-256 for verifying only (SEC 1, FIPS 186-5): nothing here is
        /// secret, so that plain numbers are enough. The framework's own class is
        /// missing in Mono and refuses valid signatures elsewhere.</summary>
        static class Curve
        {
            static readonly BigInteger P = Hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"),
                N = Hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
                B = Hex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b"),
                Gx = Hex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"),
                Gy = Hex("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5");

            struct Point { internal BigInteger X, Y, Z; } // Jacobian; Z zero for the neutral element

            static BigInteger Mod(BigInteger v)
            {
                v %= P;
                return v.Sign < 0 ? v + P : v;
            }

            internal static bool On(BigInteger x, BigInteger y) { return x < P && y < P && Mod(y * y - x * x * x + 3 * x - B).IsZero; }

            static Point Double(Point p)
            {
                if (p.Z.IsZero || p.Y.IsZero) { return default(Point); }
                BigInteger delta = Mod(p.Z * p.Z), gamma = Mod(p.Y * p.Y), beta = Mod(p.X * gamma), alpha = Mod(3 * (p.X - delta) * (p.X + delta));
                BigInteger x = Mod(alpha * alpha - 8 * beta);
                return new Point { X = x, Y = Mod(alpha * (4 * beta - x) - 8 * gamma * gamma), Z = Mod(2 * p.Y * p.Z) };
            }

            static Point Add(Point p, Point q)
            {
                if (p.Z.IsZero) { return q; }
                if (q.Z.IsZero) { return p; }
                BigInteger z1 = Mod(p.Z * p.Z), z2 = Mod(q.Z * q.Z), u1 = Mod(p.X * z2), u2 = Mod(q.X * z1), s1 = Mod(p.Y * z2 * q.Z), s2 = Mod(q.Y * z1 * p.Z);
                BigInteger h = Mod(u2 - u1), r = Mod(s2 - s1);
                if (h.IsZero) { return r.IsZero ? Double(p) : default(Point); }
                BigInteger h2 = Mod(h * h), h3 = Mod(h2 * h), v = Mod(u1 * h2), x = Mod(r * r - h3 - 2 * v);
                return new Point { X = x, Y = Mod(r * (v - x) - s1 * h3), Z = Mod(h * p.Z * q.Z) };
            }

            internal static bool Verify(BigInteger x, BigInteger y, byte[] hash, BigInteger r, BigInteger s)
            {
                if (r.Sign <= 0 || s.Sign <= 0 || r >= N || s >= N) { return false; }
                BigInteger w = BigInteger.ModPow(s, N - 2, N), u = Big(hash, 0, 32) * w % N, v = r * w % N;
                Point g = new Point { X = Gx, Y = Gy, Z = 1 }, q = new Point { X = x, Y = y, Z = 1 }, both = Add(g, q), sum = default(Point);
                for (int i = 255; i >= 0; i--)
                {
                    bool a = !((u >> i) & 1).IsZero, b = !((v >> i) & 1).IsZero;
                    sum = Double(sum);
                    if (a || b) { sum = Add(sum, a && b ? both : a ? g : q); }
                }
                if (sum.Z.IsZero) { return false; }
                BigInteger z = BigInteger.ModPow(sum.Z, P - 2, P);
                return Mod(sum.X * z * z) % N == r;
            }
        }
    }
}
