using System;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace Example.LicenseAgent.Tests
{
    /// <summary>Against a real agent: Live ANCHOR STRANGERS-ANCHOR SOCKET PRODUCT MIRROR.
    /// Prints one line of passes and one of latencies.</summary>
    internal static class Live
    {
        static int passed, failed;

        static void Case(string name, bool ok)
        {
            if (ok) { passed++; } else { failed++; }
            if (!ok) { Console.WriteLine("FAILED live: " + name); }
        }

        static string Code(Func<bool> call)
        {
            try { return call() ? "" : "no"; }
            catch (AgentException e) { return e.Code; }
        }

        static string Measure(int times, Action call)
        {
            var took = new double[times];
            for (int i = 0; i < times; i++)
            {
                long from = Stopwatch.GetTimestamp();
                call();
                took[i] = (Stopwatch.GetTimestamp() - from) * 1e6 / Stopwatch.Frequency;
            }
            Array.Sort(took);
            return "p50 " + (int)took[times / 2] + " us, p99 " + (int)took[times * 99 / 100] + " us";
        }

        static int Main(string[] args)
        {
            byte[] anchor = File.ReadAllBytes(args[0]), stranger = File.ReadAllBytes(args[1]);
            Func<byte[], Checker> make = a => new Checker(a, new Options { Socket = args[2] });
            string product = args[3], mirror = File.ReadAllText(args[4]);
            Checker k = make(anchor);
            Verdict v = k.Check(product);
            Case("check", v.Runs && v.Phase == "active" && v.Has("mesh"));
            Case("unknown product", Code(() => k.Check("no-such-product").Runs) == "not-activated");
            Case("another vendor's anchor", Code(() => make(stranger).Check(product).Runs) == "agent-untrusted");
            Case("files", k.CheckFiles(product, mirror).Runs);
            Case("files for another product", Code(() => k.CheckFiles("other", mirror).Runs) == "agent-untrusted");
            Case("watch", k.Watch().First() > 0);
            string seats = Seats(k, product, (int)v.Seats);
            Measure(200, () => k.Check(product));
            string cached = Measure(1000, () => k.Check(product)), uncached = Measure(50, () =>
            {
                using (Checker fresh = make(anchor)) { fresh.Check(product); }
            });
            k.Dispose();
            Console.WriteLine("dotnet live: {0} passed, {1} failed", passed, failed);
            Console.WriteLine("dotnet Mono {0}: cached {1}; uncached {2}; {3}", Environment.Version, cached, uncached, seats);
            return failed == 0 ? 0 : 1;
        }

        static string Seats(Checker k, string product, int all)
        {
            var taken = Enumerable.Range(0, all).Select(i => k.Seat(product, "user-" + i)).ToList();
            Case("seats: all taken", taken.All(s => s.Held) && taken[0].Verdict.Runs);
            Case("seats: one more", Code(() => k.Seat(product, "one-more").Held) == "seats-taken");
            Case("seats: the same user again", Code(() =>
            {
                using (Seat again = k.Seat(product, "user-0")) { return again.Held; }
            }) == "");
            taken[0].Dispose();
            Case("seats: given back and taken by another", Code(() =>
            {
                using (Seat other = k.Seat(product, "other", TimeSpan.FromSeconds(2))) { return other.Held; }
            }) == "");
            taken.ForEach(s => s.Dispose());
            return "seat " + Measure(200, () => k.Seat(product, "", TimeSpan.FromSeconds(2)).Dispose());
        }
    }
}
