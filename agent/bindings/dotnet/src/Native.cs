using System;
using System.Runtime.InteropServices;
using System.Text;

namespace Example.LicenseAgent
{
    /// <summary>The few calls of Linux that the framework does not offer.</summary>
    internal static class Native
    {
        internal struct Status { internal uint Uid, Mode; }

        internal const uint TypeMask = 0xf000, Link = 0xa000, Directory = 0x4000, Socket = 0xc000;

        [DllImport("libc", SetLastError = true)]
        static extern int statx(int directory, string path, int flags, uint mask, byte[] result);

        [DllImport("libc", SetLastError = true)]
        static extern IntPtr readlink(string path, byte[] buffer, IntPtr size);

        [DllImport("libc", SetLastError = true)]
        static extern int getsockopt(int socket, int level, int name, byte[] value, ref int size);

        [DllImport("libc")]
        internal static extern uint geteuid();

        internal static bool Windows { get { return System.IO.Path.DirectorySeparatorChar == '\\'; } }

        /// <summary>Owner and mode, null when there is nothing; follow resolves a last
        /// link. struct statx has one layout on all machines, struct stat has not.</summary>
        internal static Status? Stat(string path, bool follow)
        {
            var b = new byte[256];
            if (statx(-100, path, follow ? 0 : 0x100, 0x7ff, b) != 0) { return null; }
            return new Status { Uid = BitConverter.ToUInt32(b, 20), Mode = BitConverter.ToUInt16(b, 28) };
        }

        internal static string ReadLink(string path)
        {
            var b = new byte[4096];
            long n = (long)readlink(path, b, (IntPtr)b.Length);
            return n < 0 ? null : Encoding.UTF8.GetString(b, 0, (int)n);
        }

        /// <summary>The user id of the listener, by SO_PEERCRED.</summary>
        internal static uint? Peer(System.Net.Sockets.Socket s)
        {
            var b = new byte[12];
            int size = b.Length;
            return getsockopt((int)s.Handle, 1, 17, b, ref size) == 0 ? BitConverter.ToUInt32(b, 4) : (uint?)null;
        }
    }
}
