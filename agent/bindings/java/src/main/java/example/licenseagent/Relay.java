package example.licenseagent;

import java.io.IOException;
import java.io.InputStream;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * A connection through {@code license-agent relay}. Java opens pipes with a right
 * that the agent gives to nobody (docs/adr/0012), so a child process does it. A
 * thread reads what the child says, because a stream of a process has no time limit.
 */
final class Relay extends Connection {
    private static final List<String> CODES = List.of("agent-not-running", "agent-wrong-owner", "agent-no-access", "agent-timeout");
    private static final int MAX_QUEUED = 32; // pieces of 16 KiB: more than an answer may be
    private static final byte[] END = {};

    /** The relay did not reach the agent. */
    static final class RefusedException extends IOException {
        private static final long serialVersionUID = 1;
        final String code;

        RefusedException(String code, String detail) {
            super(detail);
            this.code = code;
        }
    }

    private final Process child;
    private final LinkedBlockingQueue<byte[]> pieces = new LinkedBlockingQueue<>(MAX_QUEUED);
    private byte[] piece = END;
    private int at;
    private final Thread reader = new Thread(this::pump, "license-agent-relay");
    private volatile boolean over;

    Relay(String program, String endpoint) throws IOException {
        try {
            child = new ProcessBuilder(program, "relay", "--socket", endpoint, "--output", "json").start();
        } catch (IOException e) {
            throw new RefusedException("agent-not-running", e.getMessage());
        }
        reader.setDaemon(true);
        reader.start();
    }

    private void pump() {
        try (InputStream in = child.getInputStream()) {
            byte[] b = new byte[16 << 10];
            for (int n; (n = in.read(b)) >= 0;) {
                pieces.put(Arrays.copyOf(b, n));
            }
        } catch (IOException | InterruptedException e) {
            // the end, as below
        }
        over = true;
        pieces.offer(END); // whoever finds the queue full reads on and then sees over
    }

    @Override
    void send(byte[] data, long deadline) throws IOException {
        CompletableFuture<Void> sent = CompletableFuture.runAsync(() -> {
            try {
                child.getOutputStream().write(data);
                child.getOutputStream().flush();
            } catch (IOException e) {
                return; // the child has ended; reading finds out why
            }
        });
        try {
            sent.get(Math.max(deadline - System.nanoTime(), 0), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new SocketTimeoutException("deadline");
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SocketTimeoutException("interrupted");
        } catch (ExecutionException e) {
            throw new IOException(e.getCause());
        }
    }

    @Override
    int read(ByteBuffer b, long deadline) throws IOException {
        try {
            while (at == piece.length) {
                byte[] next = over ? pieces.poll() : pieces.poll(Math.max(deadline - System.nanoTime(), 0), TimeUnit.NANOSECONDS);
                if (next == null && !over) {
                    throw new SocketTimeoutException("deadline");
                }
                if (next == null || next == END) {
                    return end(deadline);
                }
                piece = next;
                at = 0;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SocketTimeoutException("interrupted");
        }
        int n = Math.min(b.remaining(), piece.length - at);
        b.put(piece, at, n);
        at += n;
        return n;
    }

    /** The child has ended: the agent hung up, or the child says why it never reached it. */
    private int end(long deadline) throws IOException, InterruptedException {
        if (received || !child.waitFor(Math.max(deadline - System.nanoTime(), 0), TimeUnit.NANOSECONDS)) {
            return -1;
        }
        // What is there and no more: others may have the stream too.
        byte[] said = child.getErrorStream().readNBytes(Math.min(child.getErrorStream().available(), 64 << 10));
        String code = "";
        try {
            code = Json.parse(said) instanceof Map<?, ?> all && all.get("error") instanceof Map<?, ?> error ? Transport.text(error, "code") : "";
        } catch (FormatException e) {
            code = ""; // it was not the agent's program
        }
        if (CODES.contains(code)) {
            throw new RefusedException(code, new String(said, StandardCharsets.UTF_8).strip());
        }
        return -1;
    }

    @Override
    boolean ended() {
        return over || !pieces.isEmpty() || !child.isAlive();
    }

    @Override
    void close() {
        child.destroyForcibly();
        reader.interrupt(); // it may wait for room
        try {
            child.getOutputStream().close();
        } catch (IOException e) {
            return; // it is gone either way
        }
    }
}
