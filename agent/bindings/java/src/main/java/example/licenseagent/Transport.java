package example.licenseagent;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.ConnectException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** HTTP/1.1 over the agent's Unix socket, on Windows through its relay, with a deadline and limits. */
final class Transport {
    private static final int MAX_ANSWER = 1 << 20;
    private static final int MAX_HEADER = 16 << 10;
    private static final Pattern STATUS = Pattern.compile("HTTP/1\\.[01] ([0-9]{3})(?: [^\r\n]*)?");
    private final String language;
    private final String path;
    private final Set<Integer> expect;
    private final String relay; // "": the socket itself
    private final Deque<Connection> idle = new ArrayDeque<>();
    private final Set<Connection> open = new HashSet<>();
    private boolean closed;

    Transport(String socket, String instance, Set<Integer> owners, String language, String relay) throws AgentException {
        this.language = language;
        this.expect = Set.copyOf(owners);
        this.path = socket.isEmpty() ? Endpoint.path(instance, Endpoint.WINDOWS) : socket;
        this.relay = relay.isEmpty() && Endpoint.WINDOWS ? Endpoint.program(instance, System.getenv()) : relay;
        if (path == null || !Endpoint.usable(path)) {
            throw fail("config-invalid", "socket '" + socket + "', instance '" + instance + "'", "");
        }
    }

    /** An error of this side. */
    AgentException fail(String code, String detail, String reason) {
        return AgentException.of(code, language, reason, detail == null ? "" : detail);
    }

    /** What a verdict says that says no, where no agent has said why. */
    Map<?, ?> no(String reason) {
        Map<?, ?> words = AgentException.words("not-licensed", language, reason);
        return Map.of("message", words.get("message"), "next_step", words.get("hint"));
    }

    /** Ends all connections, also those that wait for an answer. */
    synchronized void close() {
        closed = true;
        idle.clear();
        open.forEach(Connection::close);
        open.clear();
    }

    /** What the other side says cannot be an answer of an agent. */
    private static final class BadAnswerException extends IOException {
        private static final long serialVersionUID = 1;

        BadAnswerException(String detail) {
            super(detail);
        }
    }

    private record Answer(int status, byte[] body, boolean keep) {}

    private static Answer read(Connection c, long deadline) throws IOException {
        ByteBuffer b = ByteBuffer.allocate(16 << 10);
        ByteArrayOutputStream in = new ByteArrayOutputStream();
        int end;
        do {
            c.receive(b, deadline, "header");
            in.write(b.array(), 0, b.limit());
            String head = in.toString(StandardCharsets.ISO_8859_1);
            end = head.indexOf("\r\n\r\n");
            if (!head.startsWith("HTTP/1.".substring(0, Math.min(7, head.length()))) || end < 0 && head.length() > MAX_HEADER) {
                throw new BadAnswerException("not an HTTP answer");
            }
        } while (end < 0);
        byte[] all = in.toByteArray();
        List<String> lines = List.of(new String(all, 0, end, StandardCharsets.ISO_8859_1).split("\r\n"));
        Matcher status = STATUS.matcher(lines.get(0));
        Map<String, String> fields = new HashMap<>();
        for (String line : lines.subList(1, lines.size())) {
            int colon = Math.max(line.indexOf(':'), 0);
            fields.merge(line.substring(0, colon).strip().toLowerCase(java.util.Locale.ROOT), line.substring(colon + 1).strip(), (x, y) -> x.equals(y) ? x : "");
        }
        String size = fields.getOrDefault("content-length", "");
        if (!status.matches() || !size.matches("[0-9]{1,9}") || fields.containsKey("transfer-encoding")) {
            throw new BadAnswerException("not an HTTP answer with a Content-Length");
        }
        int length = Integer.parseInt(size);
        if (length > MAX_ANSWER) {
            throw new BadAnswerException("an answer of " + length + " bytes");
        }
        ByteArrayOutputStream body = new ByteArrayOutputStream(length);
        body.write(all, end + 4, all.length - end - 4);
        while (body.size() < length) {
            c.receive(b, deadline, "answer");
            body.write(b.array(), 0, b.limit());
        }
        boolean keep = body.size() == length && !fields.getOrDefault("connection", "").equalsIgnoreCase("close");
        return new Answer(Integer.parseInt(status.group(1)), java.util.Arrays.copyOf(body.toByteArray(), length), keep);
    }

    private synchronized boolean closed() {
        return closed;
    }

    private Connection dial(long deadline) throws IOException {
        while (!closed()) {
            try {
                Connection c = relay.isEmpty() ? new Connection.Socket(path, expect, deadline) : new Relay(relay, path);
                synchronized (this) {
                    if (!closed) {
                        open.add(c);
                        return c;
                    }
                }
                c.close();
            } catch (SocketException e) {
                // The queue of callers is full (EAGAIN, unix(7)): ask again.
                if (!String.valueOf(e.getMessage()).contains("temporarily unavailable") || System.nanoTime() > deadline) {
                    throw e;
                }
                java.util.concurrent.locks.LockSupport.parkNanos(5_000_000);
            }
        }
        throw new BadAnswerException("closed");
    }

    synchronized void drop(Connection c) {
        open.remove(c);
        c.close();
    }

    private Answer alone(byte[] request, long deadline, Connection c) throws IOException {
        c.send(request, deadline);
        Answer a = read(c, deadline);
        if (a.status == 200 && !a.keep) {
            throw new BadAnswerException("more than the answer, or the end");
        }
        return a;
    }

    /** An answer and the connection that it came on, which stays open. */
    record Held(Map<?, ?> answer, Connection connection) {}

    /** As call, on a connection of its own, which stays open when the status is 200. */
    Held hold(String target, Map<String, Object> body, long deadline) throws AgentException {
        Connection[] own = new Connection[1];
        try {
            return new Held(call(target, body, deadline, own), own[0]);
        } catch (AgentException | RuntimeException e) {
            if (own[0] != null) {
                drop(own[0]);
            }
            throw e;
        }
    }

    private Answer exchange(byte[] request, long deadline) throws IOException {
        Connection c;
        synchronized (this) {
            c = idle.poll();
        }
        if (c == null) {
            c = dial(deadline);
        }
        Answer a;
        try {
            c.received = false;
            try {
                c.send(request, deadline);
                a = read(c, deadline);
            } catch (IOException e) {
                boolean stale = c.used && !c.received && !(e instanceof SocketTimeoutException);
                if (!stale || closed()) {
                    throw e;
                }
                // The agent closed a kept connection, as after a restart.
                drop(c);
                c = dial(deadline);
                c.send(request, deadline);
                a = read(c, deadline);
            }
        } catch (IOException | RuntimeException e) {
            drop(c);
            throw e;
        }
        c.used = true;
        synchronized (this) {
            if (a.keep && !closed) {
                idle.push(c);
                return a;
            }
        }
        drop(c);
        return a;
    }

    /** The deadline of a call that may take so long. */
    static long after(long ms) {
        return System.nanoTime() + ms * 1_000_000;
    }

    /** The earlier of two deadlines. */
    static long earlier(long a, long b) {
        return a - b < 0 ? a : b;
    }

    /** Sends one request and returns the parsed answer; body is null for GET. */
    Map<?, ?> call(String target, Map<String, Object> body, long deadline) throws AgentException {
        return call(target, body, deadline, null);
    }

    private Map<?, ?> call(String target, Map<String, Object> body, long deadline, Connection[] own) throws AgentException {
        byte[] data = body == null ? new byte[0] : License.bytes(Json.write(body));
        String head = (body == null ? "GET " : "POST ") + target + " HTTP/1.1\r\nHost: license-agent\r\nAccept-Language: " + language + "\r\n"
                + (body == null ? "" : "Content-Type: application/json\r\nContent-Length: " + data.length + "\r\n") + "\r\n";
        byte[] request = java.util.Arrays.copyOf(head.getBytes(StandardCharsets.ISO_8859_1), head.length() + data.length);
        System.arraycopy(data, 0, request, head.length(), data.length);
        Answer a;
        try {
            if (own == null) {
                a = exchange(request, deadline);
            } else {
                own[0] = dial(deadline);
                a = alone(request, deadline, own[0]);
            }
        } catch (SocketTimeoutException e) {
            throw fail("agent-timeout", e.getMessage(), "");
        } catch (Endpoint.ForeignException e) {
            throw fail("agent-wrong-owner", e.getMessage(), "");
        } catch (Relay.RefusedException e) {
            throw fail(e.code, e.getMessage(), "");
        } catch (AccessDeniedException e) {
            throw fail("agent-no-access", e.getMessage(), "");
        } catch (NoSuchFileException | ConnectException e) {
            throw fail("agent-not-running", e.getMessage(), "");
        } catch (IOException | RuntimeException e) {
            boolean none = e instanceof SocketException && String.valueOf(e.getMessage()).matches(".*(refused|No such file).*");
            boolean file = e instanceof java.nio.file.FileSystemException f && "Not a directory".equals(f.getReason());
            boolean barred = e instanceof SocketException && String.valueOf(e.getMessage()).matches(".*(Permission denied|not permitted).*");
            // Nobody takes the connection in: connecting does not wait for that.
            boolean full = e instanceof SocketException && String.valueOf(e.getMessage()).contains("temporarily unavailable");
            throw fail(none || file ? "agent-not-running" : barred ? "agent-no-access" : full ? "agent-timeout" : "agent-bad-answer", e.toString(), "");
        }
        Map<?, ?> value;
        try {
            value = Json.parse(a.body) instanceof Map<?, ?> map ? map : null;
        } catch (FormatException e) {
            value = null;
        }
        if (value == null) {
            throw fail("agent-bad-answer", "not a JSON object", "");
        }
        if (a.status == 200) {
            return value;
        }
        if (!(value.get("error") instanceof Map<?, ?> error) || text(error, "code").isEmpty()) {
            throw fail("agent-bad-answer", "status " + a.status + " without an error", "");
        }
        throw new AgentException(text(error, "code"), text(error, "cause"), text(error, "message"), text(error, "hint"), "");
    }

    /** A member that is text, else "". */
    static String text(Map<?, ?> map, String name) {
        return map.get(name) instanceof String s ? s : "";
    }
}
