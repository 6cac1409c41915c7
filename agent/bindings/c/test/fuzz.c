/* Feeds arbitrary bytes to every reader of this client: the first byte chooses.
 * The signature checks are replaced by ones that accept nearly everything, so
 * that the readers behind them are reached; license_agent_crypto.c is compiled
 * with other names for its own. corpus.py writes genuine messages to begin with. */
#include "../license_agent.c"

int la_ed25519_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[32]) { return (void)msg, (void)n, sig[0] != 0xff && pub[0] != 0xff; }
int la_p256_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[64]) { return (void)msg, (void)n, sig[0] != 0xff && pub[0] != 0xff; }

static void machine(void *user, la_device *out) { (void)user, memset(out, 0, sizeof *out); }
static void clocks(void *user, int64_t *utc, int64_t *mono) { (void)user, *utc = 1780272000, *mono = 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static anchor a;
    static license_agent *la;
    static keyset ks;
    static claims c;
    static la_verdict verdict;
    notice n;
    proof p;
    la_error e;
    if (la == NULL) {
        static const char any[] =
            "{\"v\":1,\"iss\":\"acme\",\"roots\":{\"threshold\":1,\"keys\":[{\"alg\":\"ed25519\",\"pub\":\"gJZnzVv+zchL3XtUTmHvJYuWAF+Qv4e2I/pP4GGDNHs=\"}]}}";
        la_options o;
        memset(&o, 0, sizeof o);
        o.observe = machine, o.clock = clocks, o.socket = "/nowhere";
        la = la_new(any, sizeof any - 1, &o, &e);
        if (la == NULL) abort();
    }
    if (size == 0) return 0;
    /* An exact copy, so that one byte too far is seen. */
    char *own = malloc(size - 1);
    memcpy(own, data + 1, size - 1);
    str in = {own, size - 1};
    switch (data[0] % 8) {
    case 0: read_anchor(in, &a), drop(&a.p); break;
    case 1: open_keyset(&la->verifier.anchor, NULL, in, &ks), drop(&ks.p); break;
    case 2:
        if (parse(in, LICENSE, 0, &c.p) == NULL) limit_license(&c);
        drop(&c.p);
        break;
    case 3:
        if (parse(in, NOTICE, 0, &n.p) == NULL) limit_notice(&n);
        drop(&n.p);
        break;
    case 4: open_proof(&la->verifier.anchor.roots.key[0], in, &p), drop(&p.p); break;
    case 5: la_check_files(la, "studio", in.s, in.n, &verdict, &e); break;
    case 6: {
        answer got;
        memset(&got, 0, sizeof got);
        const char *end = in.n > 3 ? memchr(in.s, 0, in.n) : NULL;
        size_t head = end ? (size_t)(end - in.s) : in.n;
        if (head > 2 && in.s[head - 2] == '\r' && in.s[head - 1] == '\n') read_head(in.s, head, &got);
        break;
    }
    default: {
        const char *stop = in.s + in.n, *start = json_space(in.s, stop);
        if (json_skip(start, stop, 0) != NULL && start < stop && *start == '{') {
            char out[64];
            size_t got;
            free(envelope_in(in, "license", &got));
            str v = json_member(in, "verdict");
            json_string(json_member(v, "message"), out, sizeof out);
            json_string(json_member(json_member(in, "error"), "code"), out, sizeof out);
        }
        la_spell(in.n % 4 == 0 ? 0 : (int)(in.n % 4), in.s, in.n, verdict.message);
        la_placeholder((int)(in.n % 4), verdict.message);
    }
    }
    free(own);
    return 0;
}
