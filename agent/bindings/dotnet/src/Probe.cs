using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.RegularExpressions;

namespace Example.LicenseAgent
{
    /// <summary>Reads this Linux machine with what the process may read; elsewhere
    /// every part is unreadable, which is no evidence, and the proof decides. There
    /// is no netlink here: the current address counts where the kernel says that it
    /// is the permanent one. CPUID cannot be executed, so that the CPU stays
    /// unreadable but on ARM.</summary>
    internal sealed class Probe
    {
        readonly string root; // "", or a recorded machine with PATH.unreadable marks

        Probe(string root) { this.root = root; }

        sealed class Choice
        {
            readonly string kind;
            readonly List<KeyValuePair<int, string>> kept = new List<KeyValuePair<int, string>>();
            internal bool Unread, Placeholders;

            internal Choice(string kind) { this.kind = kind; }

            internal bool Any { get { return kept.Count > 0; } }

            internal void Offer(string text, int rank)
            {
                if (string.IsNullOrEmpty(text)) { return; }
                string spelled = Fingerprint.Spell(kind, text);
                if (spelled.Length > Fingerprint.MaxValue) { Unread = true; }
                else if (Placeholder.Is(kind, spelled)) { Placeholders = true; }
                else { kept.Add(new KeyValuePair<int, string>(rank, text)); }
            }

            internal void Settle(Part p)
            {
                if (Any)
                {
                    int lowest = kept.Min(k => k.Key);
                    p.Values.AddRange(kept.Where(k => k.Key == lowest).Select(k => k.Value).GroupBy(v => v.ToLowerInvariant()).Select(g => g.First()));
                }
                p.Unread = Unread;
                p.State = Any ? "ok" : Unread ? "unreadable" : Placeholders ? "placeholder" : "absent";
            }
        }

        internal static Device Observe(string root = "")
        {
            var p = new Probe(root);
            var d = new Device();
            if (Native.Windows)
            {
                foreach (Part part in d.Parts.Values) { part.State = "unreadable"; }
                return d;
            }
            string boxed = p.Container();
            d.Container = boxed != "";
            var readers = new Dictionary<string, Action<Choice>> { { "mac", p.Macs }, { "disk", p.Disks }, { "board", p.Board }, { "cpu", p.Cpu } };
            foreach (var r in readers)
            {
                var c = new Choice(r.Key);
                Part part = d.Parts[r.Key];
                try { r.Value(c); }
                catch (IOException) { c.Unread = true; }
                catch (UnauthorizedAccessException) { c.Unread = true; }
                c.Settle(part);
                // The engine shows a part of the machine: not seeing something inside a
                // container says nothing about the machine.
                if (d.Container && (part.State == "absent" || boxed == "wsl" && r.Key == "mac"))
                {
                    part.State = "unreadable";
                    part.Values.Clear();
                }
            }
            return d;
        }

        static bool Absent(Exception e) { return e is FileNotFoundException || e is DirectoryNotFoundException; }

        /// <summary>Bytes as characters, null when there is no such file. Throws when unreadable.</summary>
        string Raw(string name)
        {
            string path = root + "/" + name;
            try
            {
                using (var f = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite))
                {
                    var b = new byte[1 << 16];
                    int n = 0, got;
                    while (n < b.Length && (got = f.Read(b, n, b.Length - n)) > 0) { n += got; }
                    Array.Resize(ref b, n);
                    return Text.Bytes(b);
                }
            }
            catch (Exception e) when (Absent(e))
            {
                if (root != "" && File.Exists(path + ".unreadable")) { throw new UnauthorizedAccessException(name); }
                return null;
            }
        }

        static string Clean(string s) { return s.Trim(' ', '\t', '\r', '\n', '\v', '\f', '\0'); }

        string Line(string name)
        {
            try { return Clean(Raw(name) ?? ""); }
            catch (IOException) { return ""; }
            catch (UnauthorizedAccessException) { return ""; }
        }

        bool Exists(string name) { return Native.Stat(root + "/" + name, false) != null; }

        IEnumerable<string> List(string name) { return Directory.GetFileSystemEntries(root + "/" + name).Select(Path.GetFileName).OrderBy(n => n, StringComparer.Ordinal).Take(4096); }

        /// <summary>Where a link leads below the root, null if it is none.</summary>
        string Resolve(string directory, string name)
        {
            string target = Native.ReadLink(root + "/" + directory + "/" + name);
            if (target == null) { return null; }
            var steps = new List<string>();
            foreach (string s in (target.StartsWith("/", StringComparison.Ordinal) ? target : directory + "/" + target).Split('/'))
            {
                if (s == "..")
                {
                    if (steps.Count > 0) { steps.RemoveAt(steps.Count - 1); }
                }
                else if (s != "" && s != ".") { steps.Add(s); }
            }
            return string.Join("/", steps);
        }

        static readonly Regex Address = new Regex("\\A[0-9a-f]{2}(?::[0-9a-f]{2}){5}\\z");

        void Macs(Choice c)
        {
            foreach (string name in List("sys/class/net"))
            {
                if (Line("sys/class/net/" + name + "/type") != "1") { continue; } // not Ethernet
                string at = Resolve("sys/class/net", name), device = at == null ? null : Resolve(at, "device");
                if (device == null || ("/" + at).Contains("/virtual/") || ("/" + device).Contains("/virtual/") || Exists(device + "/physfn")) { continue; }
                string mac = Line(at + "/bonding_slave/perm_hwaddr").ToLowerInvariant();
                if (!Address.IsMatch(mac)) { mac = Line(at + "/addr_assign_type") == "0" ? Line(at + "/address").ToLowerInvariant() : ""; }
                if (!Address.IsMatch(mac))
                {
                    c.Unread = true;
                    continue;
                }
                int first = Convert.ToInt32(mac.Substring(0, 2), 16);
                if ((first & 1) == 0) { c.Offer(mac, ((first & 2) != 0 ? 1 : 0) + (device.Contains("/usb") ? 2 : 0)); }
            }
        }

        static readonly Regex NoDisk = new Regex("\\A(?:(?:sr|fd|mtdblock|ubiblock)|mmcblk.*(?:boot|rpmb)|nvme[0-9]*c)");
        static readonly string[] Elsewhere = { "/pseudo_", "/usb", "/session", "/rport-", "/devices/rbd/" }, Remote = { "tcp", "fc", "rdma" };

        void Disks(Choice c)
        {
            foreach (string name in List("sys/block"))
            {
                string at = Resolve("sys/block", name), full = "/" + at;
                if (at == null || NoDisk.IsMatch(name)) { continue; }
                bool subsystem = full.Contains("/virtual/nvme-subsystem/"), nvme = name.StartsWith("nvme", StringComparison.Ordinal);
                if (full.Contains("/virtual/") && !subsystem || Elsewhere.Any(full.Contains) || Line(at + "/removable") == "1" || Line(at + "/size") == "0") { continue; }
                if (nvme && Remote.Contains(Line(at + "/device/transport"))) { continue; }
                string above = at.Substring(0, at.LastIndexOf('/'));
                if (subsystem && List(above).Any(n => n.StartsWith("nvme", StringComparison.Ordinal) && Remote.Contains(Line(above + "/" + n + "/transport")))) { continue; }
                if (name.StartsWith("sd", StringComparison.Ordinal) && Line(at + "/device/type") != "" && Line(at + "/device/type") != "0") { continue; }
                bool unread;
                string serial = Serial(name, at, out unread);
                c.Unread |= unread;
                c.Offer(serial, name.StartsWith("mmcblk", StringComparison.Ordinal) && Line(at + "/device/type") == "SD" ? 1 : 0);
            }
        }

        string Serial(string name, string at, out bool failed)
        {
            bool card = name.StartsWith("mmcblk", StringComparison.Ordinal), scsi = name.StartsWith("sd", StringComparison.Ordinal);
            string[] places = scsi ? new[] { "device/vpd_pg80" } : name.StartsWith("nvme", StringComparison.Ordinal) ? new[] { "device/serial" } : card ? new[] { "device/serial", "device/cid" } : new[] { "serial", "device/serial" };
            failed = false;
            foreach (string place in places)
            {
                string data;
                try { data = Raw(at + "/" + place); }
                catch (Exception e) when (e is IOException || e is UnauthorizedAccessException)
                {
                    failed = true;
                    continue;
                }
                if (data == null) { continue; }
                if (scsi)
                {
                    int size = data.Length > 3 ? data[2] << 8 | data[3] : 0;
                    if (data.Length < 4 || data[1] != 0x80 || size > data.Length - 4)
                    {
                        failed = true;
                        continue;
                    }
                    data = data.Substring(4, size);
                }
                data = Clean(data);
                if (data != "" && !(card && place == "device/serial" && data.Trim('0', 'x') == ""))
                {
                    failed = false;
                    return data;
                }
                if (!card) { break; } // the file is there and empty: a negative answer
            }
            string number = Line(at + "/dev"), entry;
            if (!Regex.IsMatch(number, "\\A[0-9]+:[0-9]+\\z")) { return null; }
            try { entry = Raw("run/udev/data/b" + number) ?? ""; }
            catch (Exception e) when (e is IOException || e is UnauthorizedAccessException)
            {
                failed = true;
                return null;
            }
            // ID_SERIAL_SHORT of a SCSI disk is its WWN, ID_SERIAL begins with the model.
            foreach (string key in new[] { "E:ID_SCSI_SERIAL=", "E:ID_SERIAL_SHORT=", "E:SCSI_IDENT_SERIAL=", "E:ID_SERIAL=" })
            {
                string line = entry.Split('\n').FirstOrDefault(l => l.StartsWith(key, StringComparison.Ordinal));
                if (line == null || Clean(line.Substring(key.Length)) == "") { continue; }
                failed = false;
                return Clean(line.Substring(key.Length));
            }
            return null;
        }

        const string Dmi = "sys/class/dmi/id/";
        static readonly string[] Hypervisors = { "KVM", "OpenStack", "KubeVirt", "Amazon EC2", "QEMU", "VMware", "VMW", "innotek GmbH", "VirtualBox", "Xen", "Bochs", "Parallels", "BHYVE", "Hyper-V", "Apple Virtualization", "Google Compute Engine", "Alibaba Cloud ECS", "HUAWEICLOUD", "RHEV Hypervisor", "oVirt" };

        bool Virtual()
        {
            string flags = Line("proc/cpuinfo").Split('\n').Where(l => l.StartsWith("flags", StringComparison.Ordinal)).Select(l => l.Substring(l.IndexOf(':') + 1)).FirstOrDefault() ?? "";
            string vendor = Line(Dmi + "sys_vendor"), product = Line(Dmi + "product_name"), xen = Line("sys/hypervisor/type");
            if (xen != "" && Line("proc/xen/capabilities").Contains("control_d")) { return false; }
            string[] names = { product, vendor, Line(Dmi + "board_vendor"), Line(Dmi + "bios_vendor"), Line(Dmi + "product_version") };
            bool known = names.Any(n => Hypervisors.Any(h => n.StartsWith(h, StringComparison.Ordinal))) || vendor == "Microsoft Corporation" && product == "Virtual Machine", bit = flags.Contains(" hypervisor");
            bool cloud = vendor.StartsWith("Amazon EC2", StringComparison.Ordinal) || vendor.StartsWith("Google", StringComparison.Ordinal) || product.StartsWith("Google Compute Engine", StringComparison.Ordinal);
            if (known && flags != "" && !bit && cloud) { return false; } // the bare machines of these clouds carry the same texts
            return bit || known || xen != "" || Line("sys/firmware/devicetree/base/hypervisor/compatible") != "";
        }

        // The first usable of board, system and chassis serial (for root only), on
        // virtual machines the UUID, the device tree, EC2's instance id. Those that
        // everybody may read count beside it as other spellings.
        void Board(Choice c)
        {
            var chain = new List<string> { Dmi + "board_serial", Dmi + "product_serial", Dmi + "chassis_serial" };
            if (Virtual()) { chain.Add(Dmi + "product_uuid"); }
            int closed = chain.Count;
            chain.Add("sys/firmware/devicetree/base/serial-number");
            chain.Add("sys/devices/soc0/serial_number");
            bool ec2 = Line(Dmi + "sys_vendor").StartsWith("Amazon EC2", StringComparison.Ordinal) || Line(Dmi + "board_vendor").StartsWith("Amazon EC2", StringComparison.Ordinal);
            if (ec2 && Regex.IsMatch(Line(Dmi + "board_asset_tag"), "\\Ai-[0-9a-f]{8,17}\\z")) { chain.Add(Dmi + "board_asset_tag"); }
            for (int i = 0; i < chain.Count; i++)
            {
                try
                {
                    string text = Clean(Raw(chain[i]) ?? "");
                    if (i >= closed || !c.Any) { c.Offer(text, 0); }
                }
                catch (IOException) { c.Unread = true; }
                catch (UnauthorizedAccessException) { c.Unread = true; }
            }
            if (!c.Any && Exists("sys/firmware/dmi/tables/DMI")) { c.Unread = true; } // the table is there, for root
        }

        void Cpu(Choice c)
        {
            string midr = Line("sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
            if (Regex.IsMatch(midr, "\\A0x[0-9a-fA-F]{1,16}\\z")) { c.Offer(Convert.ToUInt64(midr, 16).ToString("X16"), 0); }
            c.Unread |= !c.Any;
        }

        static readonly string[] Engines = { "kubepods", "libpod-", "/docker/", "docker-", "/lxc/", "/lxc.payload", "cri-containerd", "/machine.slice/machine-" };

        string Container()
        {
            string release = Line("proc/sys/kernel/osrelease").ToLowerInvariant();
            if (release.Contains("microsoft") || release.Contains("wsl")) { return "wsl"; }
            if (Line("run/systemd/container") != "" || Engines.Any(Line("proc/self/cgroup").Contains)) { return "yes"; }
            // The marker files survive when an image becomes a machine's disk, so they
            // count only together with a namespace of our own (the numbers of the
            // initial ones are fixed in the kernel, include/linux/proc_ns.h).
            if (!Own("pid", "4026531836") && !Own("cgroup", "4026531835")) { return ""; }
            if (Exists(".dockerenv") || Exists("run/.containerenv") || Exists("var/run/secrets/kubernetes.io")) { return "yes"; }
            string top = Line("proc/self/mountinfo").Split('\n').LastOrDefault(l => l.Split(' ').Length > 5 && l.Split(' ')[4] == "/") ?? "";
            return top.Contains(" - overlay ") ? "yes" : "";
        }

        bool Own(string kind, string initial)
        {
            string link = Native.ReadLink(root + "/proc/self/ns/" + kind);
            return link != null && link != kind + ":[" + initial + "]";
        }
    }
}
