using System;
using System.Linq;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Example.LicenseAgent
{
    /// <summary>Whom a pipe of Windows belongs to, asked through the open handle: the name
    /// may have been taken by another user before the agent started.</summary>
    internal static class PipeOwner
    {
        const string system = "S-1-5-18", administrators = "S-1-5-32-544";

        [DllImport("advapi32")]
        static extern uint GetSecurityInfo(SafeHandle handle, int type, uint what, out IntPtr owner, IntPtr group, IntPtr dacl, IntPtr sacl, out IntPtr descriptor);

        [DllImport("advapi32")]
        static extern int ConvertSidToStringSidW(IntPtr sid, out IntPtr text);

        [DllImport("advapi32")]
        static extern int OpenProcessToken(IntPtr process, uint access, out IntPtr token);

        [DllImport("advapi32")]
        static extern int GetTokenInformation(IntPtr token, int what, IntPtr buffer, int size, out int needed);

        [DllImport("kernel32")]
        static extern IntPtr GetCurrentProcess();

        [DllImport("kernel32")]
        static extern int CloseHandle(IntPtr handle);

        [DllImport("kernel32")]
        static extern IntPtr LocalFree(IntPtr memory);

        static string Sid(IntPtr sid)
        {
            IntPtr text;
            if (sid == IntPtr.Zero || ConvertSidToStringSidW(sid, out text) == 0) { return null; }
            try { return Marshal.PtrToStringUni(text); }
            finally { LocalFree(text); }
        }

        /// <summary>The owner's SID, null when Windows does not say.</summary>
        internal static string Of(SafeHandle pipe)
        {
            const int kernelObject = 6;
            const uint ownerInformation = 1;
            IntPtr owner, descriptor;
            if (GetSecurityInfo(pipe, kernelObject, ownerInformation, out owner, IntPtr.Zero, IntPtr.Zero, IntPtr.Zero, out descriptor) != 0) { return null; }
            try { return Sid(owner); }
            finally { LocalFree(descriptor); }
        }

        /// <summary>The account of this process.</summary>
        internal static string Self()
        {
            const uint query = 8;
            const int user = 1, size = 256;
            IntPtr token, buffer = Marshal.AllocHGlobal(size);
            int needed;
            try
            {
                if (OpenProcessToken(GetCurrentProcess(), query, out token) == 0) { return null; }
                try { return GetTokenInformation(token, user, buffer, size, out needed) == 0 ? null : Sid(Marshal.ReadIntPtr(buffer)); }
                finally { CloseHandle(token); }
            }
            finally { Marshal.FreeHGlobal(buffer); }
        }

        /// <summary>The account NT SERVICE\name, as Windows derives it from the name.</summary>
        internal static string Service(string name)
        {
            using (var sha = SHA1.Create())
            {
                byte[] digest = sha.ComputeHash(Encoding.Unicode.GetBytes(name.ToUpperInvariant()));
                return "S-1-5-80-" + string.Join("-", Enumerable.Range(0, 5).Select(i => BitConverter.ToUInt32(digest, 4 * i).ToString()));
            }
        }

        /// <summary>Whether a pipe of this owner may be the agent's: the system's, the
        /// service's that it is named after, or our own (a demonstration).</summary>
        internal static bool Trusted(string owner, string path, string self)
        {
            return owner != null && new[] { system, administrators, Service(path.Substring(path.LastIndexOf('\\') + 1)), self }.Contains(owner);
        }
    }
}
