/* Feeds arbitrary bytes to every reader of this client: the first byte chooses.
 * The signature checks are replaced by ones that accept nearly everything, so
 * that the readers behind them are reached; license_agent_crypto.c is compiled
 * with other names for its own. corpus.py writes genuine messages to begin with,
 * and beside them the answer in which whole checks are made.
 *
 * A check has a connection of memory: what the agent says comes in pieces, and the
 * nonce is always the same, so that a proof that is not signed can be over it. */
#define _GNU_SOURCE
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

static struct {
    char *s;
    size_t n, at, piece;
} wire;

static ssize_t heard(char *to, size_t room) {
    size_t n = wire.n - wire.at < wire.piece ? wire.n - wire.at : wire.piece;
    if (n > room) n = room;
    memcpy(to, wire.s + wire.at, n);
    wire.at += n;
    return (ssize_t)n;
}
static ssize_t drawn(uint8_t *to, size_t n) { return memset(to, 7, n), (ssize_t)n; }

#define recv(fd, to, room, flags) heard(to, room)
#define send(fd, from, n, flags) ((void)(from), (ssize_t)(n))
#define getrandom(to, n, flags) drawn(to, n)
#include "../license_agent.c"

int la_ed25519_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[32]) { return (void)msg, (void)n, sig[0] != 0xff && pub[0] != 0xff; }
int la_p256_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[64]) { return (void)msg, (void)n, sig[0] != 0xff && pub[0] != 0xff; }

static void machine(void *user, la_device *out) {
    (void)user, memset(out, 0, sizeof *out);
    for (int i = 0; i < 4; i++) out->part[i].state = LA_UNREADABLE; /* or no check would get to its end */
}
static void clocks(void *user, int64_t *utc, int64_t *mono) { (void)user, *utc = 1780272000, *mono = 0; }

/* The lines of the answer that corpus.py writes: up to the proof, up to the proof's
 * payload, and what follows that; then the anchor that it ends in. */
static char answered[4][32768];

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    char path[1024];
    snprintf(path, sizeof path, "%s.answer", (*argv)[*argc - 1]);
    FILE *in = fopen(path, "r");
    for (int i = 0; i < 4; i++) {
        if (in == NULL || fgets(answered[i], sizeof answered[i], in) == NULL) {
            fprintf(stderr, "%s cannot be read: the last argument is the folder of corpus.py\n", path);
            exit(1);
        }
        answered[i][strcspn(answered[i], "\n")] = 0;
    }
    fclose(in);
    return 0;
}

static char *put64(char *to, const char *in, size_t n) {
    for (size_t i = 0; i < n; i += 3, to += 4) {
        uint32_t v = 0;
        for (size_t j = 0; j < 3; j++) v = v << 8 | (i + j < n ? (uint8_t)in[i + j] : 0);
        for (size_t j = 0; j < 4; j++) to[j] = j > n - i ? '=' : digits64[v >> (18 - 6 * j) & 63];
    }
    return to;
}

/* A check of which the answer is the input, or genuine but for the payload of its
 * proof and the agent's words. The first byte says in what pieces it comes, the
 * second how much white space follows. */
static void checked(license_agent *la, str in, int whole, la_verdict *verdict, la_error *err) {
    if (in.n < 2) return;
    size_t piece = (uint8_t)in.s[0], space = (size_t)(uint8_t)in.s[1] * 256, room = 8 * in.n + space + 2 * sizeof answered;
    char *own = malloc(room), *body = malloc(room), *proof_ = malloc(room), *to;
    in.s += 2, in.n -= 2;
    if (whole) memcpy(own, in.s, in.n), wire.n = in.n;
    else {
        const char *words = in.n ? memchr(in.s, 0, in.n) : NULL;
        size_t payload_ = words ? (size_t)(words - in.s) : in.n;
        to = put64(proof_ + sprintf(proof_, "%s", answered[1]), in.s, payload_);
        to += sprintf(to, "%s", answered[2]);
        char *at = put64(body + sprintf(body, "%s", answered[0]), proof_, (size_t)(to - proof_));
        at += sprintf(at, "\",\"verdict\":");
        if (words) memcpy(at, words + 1, in.n - payload_ - 1), at += in.n - payload_ - 1;
        else *at++ = '0';
        *at++ = '}';
        wire.n = (size_t)sprintf(own, "HTTP/1.1 200 OK\r\nContent-Length: %lu\r\n\r\n", (unsigned long)(at - body) + space);
        memcpy(own + wire.n, body, (size_t)(at - body)), wire.n += (size_t)(at - body);
    }
    memset(own + wire.n, ' ', space), wire.n += space;
    wire.s = own, wire.at = 0, wire.piece = 1 + piece * piece;
    la->open = 1, la->conn = -1, la->pid = getpid(), la->used = piece & 1;
    la->options.min_keyset = 0; /* or one made-up version would be the last that is taken */
    la_check(la, "studio", verdict, err);
    hang_up(la);
    free(own), free(body), free(proof_);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static anchor a;
    static license_agent *la, *answering; /* the anchors of the vectors and of the conversation */
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
        answering = la_new(answered[3], strlen(answered[3]), &o, &e);
        if (la == NULL || answering == NULL) abort();
    }
    if (size == 0) return 0;
    /* An exact copy, so that one byte too far is seen. */
    char *own = malloc(size - 1);
    memcpy(own, data + 1, size - 1);
    str in = {own, size - 1};
    switch (data[0] % 10) {
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
    case 5: answering->options.min_keyset = 0, la_check_files(answering, "studio", in.s, in.n, &verdict, &e); break;
    case 6: {
        answer got;
        memset(&got, 0, sizeof got);
        const char *end = in.n > 3 ? memchr(in.s, 0, in.n) : NULL;
        size_t head = end ? (size_t)(end - in.s) : in.n;
        if (head > 2 && in.s[head - 2] == '\r' && in.s[head - 1] == '\n') read_head(in.s, head, &got);
        break;
    }
    case 8: checked(answering, in, 1, &verdict, &e); break;
    case 9: checked(answering, in, 0, &verdict, &e); break;
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
