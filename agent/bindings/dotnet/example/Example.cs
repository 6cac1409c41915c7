// A licensed program in miniature: Example ANCHOR-FILE PRODUCT [SOCKET]
using System;
using System.IO;
using Example.LicenseAgent;

static class Program
{
    static int Main(string[] args)
    {
        byte[] anchor = File.ReadAllBytes(args[0]); // a real product carries it inside
        try
        {
            var verdict = new Checker(anchor, new Options { Socket = args.Length > 2 ? args[2] : "" }).Check(args[1]);
            Console.WriteLine("{0}: {1} {2} features {3} until {4:yyyy-MM-dd}", verdict.Runs ? "licensed" : "not licensed", verdict.Phase, verdict.Reason, string.Join(" ", verdict.Features), verdict.GraceUntil);
            return verdict.Runs ? 0 : 1;
        }
        catch (AgentException e) { Console.Error.WriteLine("not licensed: {0} {1}", e.Message, e.Hint); }
        return 1;
    }
}
