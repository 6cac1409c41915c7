package example.licenseagent;

import java.io.EOFException;
import java.io.IOException;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.SocketChannel;
import java.util.Set;

/** One connection to the agent. Every call ends at its deadline (System.nanoTime). */
abstract class Connection {
    boolean used;
    boolean received;

    abstract void send(byte[] data, long deadline) throws IOException;

    /** As a channel's read, but waits for at least a byte. */
    abstract int read(ByteBuffer b, long deadline) throws IOException;

    /** Says whether the other side has ended a connection on which it says nothing. */
    abstract boolean ended();

    abstract void close();

    /** Fills b with what is there, waiting for at least a byte. */
    final void receive(ByteBuffer b, long deadline, String where) throws IOException {
        b.clear();
        int n = read(b, deadline);
        if (System.nanoTime() > deadline) {
            throw new SocketTimeoutException("deadline");
        }
        if (n < 0) {
            throw new EOFException("connection ended within the " + where);
        }
        received = true;
        b.flip();
    }

    /** The Unix socket. A blocking channel of this kind has no time limit, so each waits with a selector. */
    static final class Socket extends Connection {
        private final SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        private final Selector selector = Selector.open();

        Socket(String path, Set<Integer> expect, long deadline) throws IOException {
            try {
                Set<Integer> owners = Endpoint.inspect(path, expect);
                channel.configureBlocking(false);
                SelectionKey key = channel.register(selector, 0);
                if (!channel.connect(UnixDomainSocketAddress.of(path))) {
                    do {
                        await(key, SelectionKey.OP_CONNECT, deadline);
                    } while (!channel.finishConnect());
                }
                Endpoint.checkPeer(channel, owners);
            } catch (IOException | RuntimeException e) {
                close();
                throw e;
            }
        }

        private void await(SelectionKey key, int what, long deadline) throws IOException {
            key.interestOps(what);
            long left = (deadline - System.nanoTime()) / 1_000_000;
            if (left <= 0 || Thread.currentThread().isInterrupted()) {
                throw new SocketTimeoutException("deadline");
            }
            selector.select(left);
            selector.selectedKeys().clear();
        }

        @Override
        void send(byte[] data, long deadline) throws IOException {
            ByteBuffer b = ByteBuffer.wrap(data);
            while (true) {
                channel.write(b);
                if (!b.hasRemaining()) {
                    return;
                }
                await(channel.keyFor(selector), SelectionKey.OP_WRITE, deadline);
            }
        }

        @Override
        int read(ByteBuffer b, long deadline) throws IOException {
            int n;
            while ((n = channel.read(b)) == 0) {
                await(channel.keyFor(selector), SelectionKey.OP_READ, deadline);
            }
            return n;
        }

        @Override
        boolean ended() {
            try {
                return channel.read(ByteBuffer.allocate(1)) != 0;
            } catch (IOException e) {
                return true;
            }
        }

        @Override
        void close() {
            try (selector) {
                channel.close();
            } catch (IOException e) {
                return; // it is gone either way
            }
        }
    }
}
