package example.licenseagent;

/**
 * A message, key or file that the format does not allow. The code is the word of
 * SPEC.md section 11. It never quotes the message: a request holds an
 * authorization code.
 */
final class FormatException extends Exception {
    private static final long serialVersionUID = 1;
    final String code;

    FormatException(String code, String detail) {
        super(detail.isEmpty() ? code : code + ": " + detail, null, false, false);
        this.code = code;
    }

    FormatException(String code) {
        this(code, "");
    }
}
