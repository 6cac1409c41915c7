using System;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Example.LicenseAgent
{
    /// <summary>The few calls of Linux and Windows that the framework does not offer.</summary>
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

        [DllImport("kernel32", CharSet = CharSet.Unicode, SetLastError = true)]
        static extern IntPtr CreateFileW(string name, uint access, uint share, IntPtr security, uint disposition, uint flags, IntPtr template);

        internal const int FileNotFound = 2, PathNotFound = 3, AccessDenied = 5, PipeBusy = 231, Eperm = 1, Eacces = 13;

        /// <summary>Opens a pipe for overlapped use, null with the error's number when that
        /// fails. NamedPipeClientStream opens it by a name with GENERIC_WRITE, which contains
        /// the right to create instances of the pipe and is given to nobody; .NET 8 has no
        /// constructor that takes other rights.</summary>
        internal static SafePipeHandle OpenPipe(string name, out int error)
        {
            const uint overlapped = 0x40000000, identification = 0x110000;
            IntPtr h = CreateFileW(name, 0x12019b, 0, IntPtr.Zero, 3, overlapped | identification, IntPtr.Zero);
            error = Marshal.GetLastWin32Error();
            return h == new IntPtr(-1) ? null : new SafePipeHandle(h, true);
        }

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
