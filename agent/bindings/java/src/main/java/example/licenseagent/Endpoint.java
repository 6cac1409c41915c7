package example.licenseagent;

import java.io.IOException;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.UserPrincipal;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import jdk.net.ExtendedSocketOptions;

/** Where the agent listens, and whether it is the agent who does. */
final class Endpoint {
    private static final Pattern INSTANCE = Pattern.compile("[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?");
    private static final int TYPE = 0170000;
    private static final int LINK = 0120000;
    private static final int SOCKET = 0140000;
    private static final int DIRECTORY = 0040000;
    private static final int STICKY = 01000;

    private Endpoint() {}

    /** Whether this is Windows, where the agent listens on a pipe. */
    static final boolean WINDOWS = System.getProperty("os.name", "").startsWith("Windows");
    private static final Pattern PIPE = Pattern.compile("\\\\\\\\\\.\\\\pipe\\\\[^\\\\/]{1,240}");

    /** The socket or pipe of an instance; null for an impossible name. */
    static String path(String instance, boolean windows) {
        if (!instance.isEmpty() && !INSTANCE.matcher(instance).matches()) {
            return null;
        }
        return windows ? "\\\\.\\pipe\\" + name(instance) : "/run/" + name(instance) + "/agent.sock";
    }

    private static String name(String instance) {
        return "license-agent" + (instance.isEmpty() ? "" : "-" + instance);
    }

    /** Whether a socket or pipe can be asked on this system. */
    static boolean usable(String path) {
        return WINDOWS ? PIPE.matcher(path).matches() : path.startsWith("/") && path.getBytes(StandardCharsets.UTF_8).length <= 107;
    }

    /** The program of an installed agent on Windows. */
    static String program(String instance, Map<String, String> env) {
        String files = env.getOrDefault("ProgramW6432", env.getOrDefault("ProgramFiles", "C:\\Program Files"));
        return files + "\\" + name(instance) + "\\license-agent.exe";
    }

    /** Somebody else than the agent could have put the socket there. */
    static final class ForeignException extends IOException {
        private static final long serialVersionUID = 1;

        ForeignException(String detail) {
            super(detail);
        }
    }

    private record Stat(int uid, int mode) {
        static Stat of(Path p, LinkOption... options) throws IOException {
            Map<String, Object> a = Files.readAttributes(p, "unix:uid,mode", options);
            return new Stat((Integer) a.get("uid"), (Integer) a.get("mode"));
        }

        boolean is(int type) {
            return (mode & TYPE) == type;
        }

        boolean open() {
            return (mode & 022) != 0;
        }
    }

    /**
     * Judges the way to the socket and returns the user ids that may listen. Each
     * directory must be root's or our own and closed to others; a sticky one like
     * /tmp may stand on the way, but then root is not the only one who could have
     * made what lies in it. Who could change a directory could put another socket
     * there.
     */
    static Set<Integer> inspect(String socket, Set<Integer> expect) throws IOException {
        int me = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid"); // the effective user id
        Deque<String> todo = new ArrayDeque<>(steps(socket));
        String name = todo.removeLast();
        Path here = Path.of("/");
        boolean rootOnly = true;
        int links = 0;
        while (!todo.isEmpty()) {
            Stat st = Stat.of(here);
            rootOnly &= st.uid == 0 && !st.open();
            if (st.uid != 0 && st.uid != me && !expect.contains(st.uid)) {
                throw new ForeignException(here + " belongs to uid " + st.uid);
            }
            if (st.open() && (st.mode & STICKY) == 0) {
                throw new ForeignException(here + " can be changed by others");
            }
            here = here.resolve(todo.removeFirst());
            if (here.endsWith("..")) {
                here = here.normalize();
                continue;
            }
            st = Stat.of(here, LinkOption.NOFOLLOW_LINKS);
            if (st.is(LINK)) {
                if (++links > 40 || st.uid != 0 && st.uid != me) {
                    throw new ForeignException("the link " + here + " was made by uid " + st.uid);
                }
                String target = Files.readSymbolicLink(here).toString();
                List<String> more = steps(target);
                for (int i = more.size() - 1; i >= 0; i--) {
                    todo.addFirst(more.get(i));
                }
                here = target.startsWith("/") ? Path.of("/") : here.getParent();
            } else if (!st.is(DIRECTORY)) {
                throw new java.nio.file.NoSuchFileException(here.toString());
            }
        }
        Stat dir = Stat.of(here);
        Set<Integer> owners = new HashSet<>(expect);
        owners.add(0);
        if (expect.isEmpty()) {
            owners.add(me);
            if (rootOnly) {
                owners.add(dir.uid); // only root could make it, so its owner is root's choice
            }
        }
        if (!owners.contains(dir.uid) || dir.open()) {
            throw new ForeignException(here + " belongs to uid " + dir.uid + " or can be changed by others");
        }
        Stat st = Stat.of(here.resolve(name), LinkOption.NOFOLLOW_LINKS);
        if (!st.is(SOCKET) || !owners.contains(st.uid)) {
            throw new ForeignException(socket + " is not the agent's socket");
        }
        return owners;
    }

    private static List<String> steps(String path) {
        return Arrays.stream(path.split("/")).filter(s -> !s.isEmpty() && !s.equals(".")).toList();
    }

    /** Asks the kernel who listens on the other side; this closes the gap between looking at the path and connecting. */
    static void checkPeer(SocketChannel channel, Set<Integer> owners) throws IOException {
        UserPrincipal user = channel.getOption(ExtendedSocketOptions.SO_PEERCRED).user();
        for (int uid : owners) {
            // The lookup takes a number where no account has that name, and
            // principals are equal when their ids are.
            if (user.equals(FileSystems.getDefault().getUserPrincipalLookupService().lookupPrincipalByName(Integer.toString(uid)))) {
                return;
            }
        }
        throw new ForeignException("the process behind the socket runs as " + user.getName());
    }
}
