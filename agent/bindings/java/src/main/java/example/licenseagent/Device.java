package example.licenseagent;

import java.util.List;

/**
 * One observation of a machine.
 *
 * @param mac permanent addresses of the network adapters
 * @param disk serials of the fixed disks
 * @param board serial of the board or system
 * @param cpu the CPU's model code
 * @param env physical, vm or container
 */
public record Device(Part mac, Part disk, Part board, Part cpu, String env) {
    /**
     * One part of a machine.
     *
     * @param state ok, absent, unreadable or placeholder; only ok carries values
     * @param values what was read
     * @param unread whether something more exists that could not be read: then a difference is no evidence
     * @param placeholder whether a value was left out because it identifies nobody
     */
    public record Part(String state, List<Value> values, boolean unread, boolean placeholder) {
        /** A part without values. */
        public static Part none(String state) {
            return new Part(state, List.of(), false, false);
        }
    }

    /**
     * One serial, address or id.
     *
     * @param text as the hardware gave it
     * @param alt other spellings that are accepted
     */
    public record Value(String text, List<String> alt) {}

    Part part(String kind) {
        return switch (kind) {
            case "mac" -> mac;
            case "disk" -> disk;
            case "board" -> board;
            default -> cpu;
        };
    }
}
