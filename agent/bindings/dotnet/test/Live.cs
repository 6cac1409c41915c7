using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;

namespace Example.LicenseAgent.Tests
{
    /// <summary>Against real agents: Live SCRIPT PLACES. SCRIPT is
    /// agent/bindings/testdata/live.txt, PLACES a folder with own.json, stranger.json and
    /// mirror.json and the endpoints in places.txt. Prints one line of passes and one of
    /// latencies. With the word watch for SCRIPT it prints the phase at the start and after
    /// each change, until the license does not run.</summary>
    internal sealed class Live
    {
        readonly string places;
        readonly Dictionary<string, string> sockets;
        readonly List<KeyValuePair<string, Seat>> taken = new List<KeyValuePair<string, Seat>>();
        readonly Checker checker;

        Live(string places)
        {
            this.places = places;
            sockets = Lines(Path.Combine(places, "places.txt")).ToDictionary(w => w[0], w => w[1]);
            checker = Make("own", "own");
        }

        static IEnumerable<string[]> Lines(string file) { return File.ReadAllLines(file).Where(l => l != "" && l[0] != '#').Select(l => l.Split(' ')); }

        static string Said(Verdict v) { return v.Runs ? v.Phase : "no: " + v.Phase; }

        Checker Make(string place, string anchor)
        {
            byte[] a = File.ReadAllBytes(Path.Combine(places, anchor + ".json"));
            return new Checker(a, place == "instance" ? new Options { Instance = "no-such-instance" } : new Options { Socket = sockets[place] });
        }

        string Check(string place, string anchor, string product)
        {
            using (Checker k = Make(place, anchor)) { return Said(k.Check(product)); }
        }

        int WatchOn()
        {
            foreach (long serial in checker.Watch())
            {
                Verdict v = checker.Check("studio");
                Console.WriteLine(v.Phase);
                if (!v.Runs) { return 0; }
            }
            return 1;
        }

        string TakeSeat(string user, int waitMs)
        {
            Seat s = checker.Seat("studio", user, TimeSpan.FromMilliseconds(waitMs));
            taken.Add(new KeyValuePair<string, Seat>(user, s));
            return s.Held ? Said(s.Verdict) : "not held";
        }

        string CloseOwn(string user)
        {
            Seat s;
            using (Checker k = Make("own", "own")) { s = k.Seat("studio", user, TimeSpan.FromSeconds(2)); }
            return s.Held ? "held" : "ended";
        }

        /// <summary>What came of a step; a typed error must have its sentences.</summary>
        string Step(string[] w)
        {
            try
            {
                switch (w[0])
                {
                    case "check": return Check(w[1], w[2], w[3]);
                    case "files": return Said(checker.CheckFiles(w[1], File.ReadAllText(Path.Combine(places, "mirror.json"))));
                    case "watch": return checker.Watch().First() >= 0 ? "changed" : "no";
                    case "seat": return TakeSeat(w[1], int.Parse(w[2]));
                    case "close": return CloseOwn(w[1]);
                }
                foreach (var t in taken.Where(t => t.Key == w[1])) { t.Value.Dispose(); }
                return "";
            }
            catch (AgentException e) { return string.IsNullOrEmpty(e.Sentence) || string.IsNullOrEmpty(e.Hint) ? e.Code + " without its sentences" : e.Code + (e.Cause == "" ? "" : "/" + e.Cause); }
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

        static string Runtime()
        {
            var mono = Type.GetType("Mono.Runtime");
            if (mono == null) { return "dotnet " + Environment.Version; }
            object name = mono.GetMethod("GetDisplayName", System.Reflection.BindingFlags.NonPublic | System.Reflection.BindingFlags.Static).Invoke(null, null);
            return "Mono " + ((string)name).Split(' ')[0];
        }

        static int Main(string[] args)
        {
            var live = new Live(args[1]);
            if (args[0] == "watch") { return live.WatchOn(); }
            int passed = 0, failed = 0;
            foreach (string[] words in Lines(args[0]))
            {
                string got = live.Step(words), want = words[0] == "free" ? "" : words.Last();
                if (got == want) { passed++; } else { failed++; }
                if (got != want) { Console.WriteLine("FAILED live: " + string.Join(" ", words) + " got " + got); }
            }
            Measure(3000, () => live.checker.Check("studio"));
            string cached = Measure(2000, () => live.checker.Check("studio")), uncached = Measure(200, () => live.Check("own", "own", "studio"));
            string seat = Measure(200, () => live.checker.Seat("studio", "", TimeSpan.FromSeconds(2)).Dispose()).Split(',')[0];
            live.checker.Dispose();
            Console.WriteLine("dotnet live: {0} passed, {1} failed", passed, failed);
            Console.WriteLine("{0}: cached {1}; uncached {2}; seat {3}", Runtime(), cached, uncached, seat);
            return failed == 0 && passed > 0 ? 0 : 1;
        }
    }
}
