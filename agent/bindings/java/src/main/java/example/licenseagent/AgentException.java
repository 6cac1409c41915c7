package example.licenseagent;

import java.util.Map;

/**
 * Nothing is licensed as far as the program can tell.
 *
 * <p>The code is stable and may be switched on: agent-not-running, agent-timeout,
 * agent-wrong-owner, agent-no-access, agent-bad-answer, agent-untrusted, agent-wrong-device,
 * not-licensed (a seat of a license that does not run), config-invalid, anchor, or a code that the agent sent, such as not-activated.
 */
public final class AgentException extends Exception {
    private static final long serialVersionUID = 1;

    private final String code;
    private final String reason;
    private final String sentence;
    private final String hint;

    AgentException(String code, String reason, String sentence, String hint, String detail) {
        super(code + (reason.isEmpty() ? "" : " (" + reason + ")") + (sentence.isEmpty() ? "" : ": " + sentence)
                + (detail.isEmpty() ? "" : " [" + detail + "]"));
        this.code = code;
        this.reason = reason;
        this.sentence = sentence;
        this.hint = hint;
    }

    /** An error that arises in the program, with the sentences of its code. */
    static AgentException of(String code, String language, String reason, String detail) {
        Map<?, ?> words = words(code, language, reason);
        return new AgentException(code, reason, Transport.text(words, "message"), Transport.text(words, "hint"), detail);
    }

    /** The sentence (message) and the next step (hint) of a code. */
    static Map<?, ?> words(String code, String language, String reason) {
        String pair = code + "/" + reason;
        Map<?, ?> languages = (Map<?, ?>) Messages.ALL.get(Messages.ALL.containsKey(pair) ? pair : code);
        return (Map<?, ?>) languages.get(languages.containsKey(language) ? language : "en");
    }

    /** The stable code. */
    public String code() {
        return code;
    }

    /** Behind agent-untrusted the word of SPEC.md section 11 (nonce, signature, …), or the merchant's code. */
    public String reason() {
        return reason;
    }

    /** A sentence for people. */
    public String sentence() {
        return sentence;
    }

    /** The next step. */
    public String hint() {
        return hint;
    }

    /** The sentences of the errors that arise in a program, read once. */
    private static final class Messages {
        static final Map<?, ?> ALL = load();

        private static Map<?, ?> load() {
            try (var in = AgentException.class.getResourceAsStream("messages.json")) {
                return (Map<?, ?>) Json.parse(in.readAllBytes());
            } catch (java.io.IOException | FormatException e) {
                throw new IllegalStateException("messages.json is not in the archive", e);
            }
        }
    }
}
