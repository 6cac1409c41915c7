using System;
using System.Collections.Generic;
using System.Linq;

namespace Example.LicenseAgent
{
    /// <summary>Values that identify nobody: firmware defaults and shared addresses.
    /// The lists are those of the Go package fingerprint; the shared vectors hold
    /// both against each other.</summary>
    internal static class Placeholder
    {
        const string Letters = "abcdefghijklmnopqrstuvwxyz", Digits = "0123456789";

        static readonly HashSet<string> Texts = Words(
            "none na nil null nullstring nostring empty blank void nothing unknown unknow unkn uknown undefined error reserved " +
            "notavailable notapplicable notpresent notprovided notsettable notset notsupported notsupportedbycpu doesnotexist " +
            "noassetinformation badindex outofspec nodimm noserial tbd tba todo 00h " +
            "sn serial serialno serialnum systemserialnumb oemserial pcaserial mbserial boardserial systemproductname " +
            "systemmanufacturer systemversion systemname systemsku chassisversion chassismanufacture chassismanufacturer " +
            "baseboardversion baseboardproductname baseboardmanufacturer sku skunumber type1productconfigid type1family " +
            "type2boardversion type2boardproductname smbiostype4partnumber mkfoemsmbiosdefaultstring " +
            "customer model vendor device generic manufacturer productname " +
            "oem dell eval iatpass square tulipcomputers default revx0x xxx123xaba 03142563 sn123456fvgv3i0b8o5n6n7k " +
            "0123456789abcdef 123456789000 amazonec2 77837084326590858269328677 " +
            "03000200040005000006000700080009 00020003000400050006000700080009 " +
            "6ab5b300538d10149fb5b0684d007b53 00b3b56a8d5314109fb5b0684d007b53 " +
            "01010101010101010101010101010101 fefefefefefefefefefefefefefefefe " +
            "123456781234567890abcddeefaabbcc 11111111222233334444555555555555 00112233445566778899aabbccddeeff ");

        static readonly HashSet<string> Macs = Words(
            "FE:FF:FF:FF:FF:FF 20:41:53:59:4E:FF 33:50:6F:45:30:30 50:50:54:50:30:30 24:B6:20:52:41:53 26:0F:20:52:41:53 " +
            "02:00:4E:43:50:49 02:80:37:EC:02:00 00:A0:C6:00:00:00 00:0B:CA:FE:00:00 00:20:07:01:16:06 00:0B:0E:0F:00:ED " +
            "ED:0B:00:00:E0:00 00:E0:4C:53:44:58 04:4B:80:80:80:03 04:4B:80:80:80:04 04:4B:80:80:80:F0 0C:5B:8F:27:9A:64 " +
            "E2:E6:16:20:0A:35 D2:0A:2D:A0:04:BE D2:6B:25:2F:2C:E7 0A:00:27:00:00:00 00:50:56:C0:00:01 00:50:56:C0:00:02 " +
            "00:50:56:C0:00:08 52:54:00:12:34:56 02:FC:00:00:00:01 AA:FC:00:00:00:01 06:00:AC:10:00:02 5C:BB:F6:9E:EE:FA ");

        static readonly string[] Phrases = { "filledby", "fillby", "tobefilled", "byoem", "defaultstring", "serialnumber", "invalid", "notspecified", "unspecified", "assettag", "partnumber" };
        static readonly HashSet<string> Prefixes = Words(" sn mb sys bsn board ppn pn asset ser serial oem no system chassis"), Stems = Words("sernum assettagnum oemdefine partnum oemdefaultstring");

        static HashSet<string> Words(string text) { return new HashSet<string>(text.TrimEnd(' ').Split(' ')); }

        static bool Only(string s, string set) { return s.All(c => set.IndexOf(c) >= 0); }

        static bool Begins(string s, params string[] with) { return with.Any(w => s.StartsWith(w, StringComparison.Ordinal)); }

        /// <summary>Judges a value in its canonical spelling.</summary>
        internal static bool Is(string kind, string spelled)
        {
            if (kind == "mac") { return Mac(spelled); }
            string low = spelled.ToLowerInvariant(), bare = new string(low.Where(c => Letters.IndexOf(c) >= 0 || Digits.IndexOf(c) >= 0).ToArray());
            return kind == "disk" && Disk(low, bare) || Text(low, bare);
        }

        static bool Text(string low, string bare)
        {
            return bare == "" || Only(bare, bare.Substring(0, 1)) || Only(bare, "x0") || Only(bare, "01") || Phrases.Any(p => bare.Contains(p)) || low.Contains("o.e.m")
                || Sequence(bare) || Stems.Contains(bare.TrimEnd(Digits.ToCharArray())) || Texts.Contains(bare);
        }

        static bool Sequence(string bare)
        {
            string digits = bare.TrimStart(Letters.ToCharArray()), prefix = bare.Substring(0, bare.Length - digits.Length);
            int enough = 5;
            if (!Prefixes.Contains(prefix))
            {
                if (prefix.Length > 1) { return false; }
                enough = 9;
            }
            int run = Math.Max(Run(digits, 1), Run(digits, -1));
            string rest = digits.Substring(run);
            return run >= enough && (rest == "" || run >= 9 && Only(rest, "0"));
        }

        static int Run(string s, int step)
        {
            for (int i = 1; i < s.Length; i++)
            {
                char was = s[i - 1], now = s[i];
                if (was <= '9' && now == (char)('0' + (was - '0' + 10 + step) % 10)) { continue; }
                if (step > 0 && (was == '9' && now == 'a' || was >= 'a' && was < 'f' && now == was + 1)) { continue; }
                return i;
            }
            return s.Length;
        }

        static bool Disk(string low, string bare)
        {
            string name = low;
            foreach (string p in new[] { "0google_persistentdisk_", "google-" })
            {
                if (Begins(name, p)) { name = name.Substring(p.Length); }
            }
            return Begins(low, "qm000") && low.Length == 7 && Only(low.Substring(5), Digits) || Begins(low, "lxd_", "incus_")
                || Begins(low, "drive-") && Begins(low.Substring(6), "scsi", "virtio", "sata", "ide", "efidisk")
                || Begins(name, "persistent-disk-", "local-ssd-", "local-nvme-ssd-") || low == "nvme_card" || low == "nvme_card-pd" || low == "overlayblk" || low == "rootfs"
                || bare.Length >= 10 && Only(bare.Substring(0, bare.Length - 2), "0") && Only(bare, Digits);
        }

        static bool Mac(string mac)
        {
            string[] pairs = mac.Split(':');
            if (mac.Length != 17 || pairs.Length != 6 || pairs.Any(p => p.Length != 2 || !Only(p, "0123456789ABCDEFabcdef"))) { return true; }
            int[] octets = pairs.Select(p => Convert.ToInt32(p, 16)).ToArray();
            return octets.Distinct().Count() == 1 || new[] { 0x00, 0x88, 0xff }.Any(v => octets.Count(o => o == v) >= 5)
                || Macs.Contains(mac) || Begins(mac, "02:42:AC:11:00:") || (octets[0] & 1) == 1;
        }
    }
}
