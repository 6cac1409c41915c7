package example.licenseagent;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Files below a root: "/" or, in tests, a recorded machine, where an empty
 * PATH.unreadable marks what the recorder was not allowed to read.
 */
final class Tree {
    private static final int MAX_FILE = 64 << 10;
    private static final int MANY = 4096; // more interfaces or disks than this are not looked at
    private final Path root;
    final boolean recorded;

    Tree(Path root) {
        this.recorded = root != null;
        this.root = recorded ? root : Path.of("/");
    }

    private Path path(String name) {
        return root.resolve(name);
    }

    /** The content, or null when there is no such file. IOException: it cannot be read. */
    byte[] raw(String name) throws IOException {
        try (InputStream in = Files.newInputStream(path(name))) {
            return in.readNBytes(MAX_FILE);
        } catch (NoSuchFileException e) {
            if (recorded && Files.exists(path(name + ".unreadable"))) {
                throw new IOException(name);
            }
            return null;
        } catch (FileSystemException e) {
            if ("Not a directory".equals(e.getReason())) {
                return null;
            }
            throw e;
        }
    }

    /** Trimmed text, "" when absent or unreadable. */
    String text(String name) {
        try {
            byte[] data = raw(name);
            return data == null ? "" : clean(data);
        } catch (IOException e) {
            return "";
        }
    }

    /**
     * Text of hardware: padding cut. In text that is not UTF-8 each byte outside
     * ASCII becomes '_', as it would in the canonical form.
     */
    static String clean(byte[] data) {
        String s = new String(data, StandardCharsets.UTF_8);
        if (s.indexOf('\ufffd') >= 0) {
            s = new String(data, StandardCharsets.ISO_8859_1).replaceAll("[\u0080-\u00ff]", "_");
        }
        String padding = " \t\r\n\u000b\f\0";
        int start = 0;
        int end = s.length();
        while (start < end && padding.indexOf(s.charAt(start)) >= 0) {
            start++;
        }
        while (end > start && padding.indexOf(s.charAt(end - 1)) >= 0) {
            end--;
        }
        return s.substring(start, end);
    }

    boolean exists(String name) {
        return Files.exists(path(name), LinkOption.NOFOLLOW_LINKS);
    }

    List<String> list(String name) throws IOException {
        try (Stream<Path> files = Files.list(path(name))) {
            return files.map(p -> p.getFileName().toString()).sorted().limit(MANY).toList();
        }
    }

    /** What a link says, "" if it is none. */
    String link(String name) {
        try {
            return Files.readSymbolicLink(path(name)).toString();
        } catch (IOException | UnsupportedOperationException e) {
            return "";
        }
    }

    /** The path below the root to which a link leads, "" if it is none. */
    String resolve(String directory, String name) {
        String target = link(directory + "/" + name);
        return target.isEmpty() ? "" : Path.of("/" + directory).resolve(target).normalize().toString().substring(1);
    }
}
