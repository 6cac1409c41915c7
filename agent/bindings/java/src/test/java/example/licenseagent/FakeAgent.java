package example.licenseagent;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;

/** Listens as the agent would, in a private directory. */
final class FakeAgent implements AutoCloseable {
    /** What the other side does with one request. */
    interface Handler {
        /** Null: silence. */
        Reply answer(String target, String body) throws Exception;
    }

    /** A status and a body, or bytes as they are (status 0), after which the connection ends unless hang. */
    record Reply(int status, byte[] body, boolean hang) {
        static Reply of(int status, String body) {
            return new Reply(status, License.bytes(body), false);
        }
    }

    final Path dir = Files.createTempDirectory("agent");
    final Path socket = dir.resolve("a.sock");
    final AtomicInteger connections = new AtomicInteger();
    final Set<SocketChannel> open = ConcurrentHashMap.newKeySet();
    private final CountDownLatch done = new CountDownLatch(1);
    private final Handler handler;
    private final ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);

    FakeAgent(Handler handler) throws IOException {
        this.handler = handler;
        server.bind(UnixDomainSocketAddress.of(socket));
        daemon(this::accept);
    }

    private static void daemon(Runnable r) {
        Thread t = new Thread(r);
        t.setDaemon(true);
        t.start();
    }

    private void accept() {
        try {
            while (true) {
                SocketChannel c = server.accept();
                connections.incrementAndGet();
                open.add(c);
                daemon(() -> serve(c));
            }
        } catch (IOException e) {
            return; // closed
        }
    }

    private void serve(SocketChannel c) {
        try (c) {
            InputStream in = new BufferedInputStream(Channels.newInputStream(c));
            for (String line = line(in); !line.isEmpty(); line = line(in)) {
                String target = line.split(" ")[1];
                int length = 0;
                for (String h = line(in); !h.isEmpty(); h = line(in)) {
                    length = h.toLowerCase(java.util.Locale.ROOT).startsWith("content-length:") ? Integer.parseInt(h.substring(15).strip()) : length;
                }
                Reply r = handler.answer(target, new String(in.readNBytes(length), StandardCharsets.UTF_8));
                if (r == null || r.status == 0) {
                    write(c, r == null ? new byte[0] : r.body);
                    if (r == null || r.hang) {
                        done.await();
                    }
                    return;
                }
                write(c, License.bytes("HTTP/1.1 " + r.status + " Said\r\nContent-Type: application/json\r\nContent-Length: " + r.body.length + "\r\n\r\n"));
                write(c, r.body);
            }
        } catch (Exception e) {
            return; // the program hung up
        } finally {
            open.remove(c);
        }
    }

    private static void write(SocketChannel c, byte[] data) throws IOException {
        for (ByteBuffer b = ByteBuffer.wrap(data); b.hasRemaining(); ) {
            c.write(b);
        }
    }

    private static String line(InputStream in) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int b = in.read(); b >= 0 && b != '\n'; b = in.read()) {
            if (b != '\r') {
                out.write(b);
            }
        }
        return out.toString(StandardCharsets.ISO_8859_1);
    }

    @Override
    public void close() throws IOException {
        done.countDown();
        server.close();
        for (SocketChannel c : open) {
            c.close();
        }
        FingerprintCases.delete(dir);
    }
}
