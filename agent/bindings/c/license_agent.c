/* Envelopes, keys, licenses, the decision and the agent's socket or pipe. The
 * rules and their order are those of activation/license/SPEC.md; numbers in
 * comments are its sections. An internal function returns NULL when all is
 * well, else the word of section 11. */
#ifdef _WIN32
#define _WIN32_WINNT 0x0601 /* Windows 7 */
#elif !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* struct ucred */
#endif
#include "license_agent.h"
#include "license_agent_messages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#include <windows.h>
/* after windows.h */
#include <aclapi.h>
#include <ntsecapi.h>
#include <sddl.h>
#else
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#endif

#define MAX_INT ((int64_t)9007199254740991)
#define NO_END ((int64_t)253402300799)
#define DAY ((int64_t)86400)
#define MAX_AGE_MS 5000
#define MAX_ANSWER ((size_t)1 << 20)
#define MAX_HEADER ((size_t)16 << 10)
#define MAX_SIGS 4
#define KEPT 8

typedef struct {
    const char *s;
    size_t n;
} str;

static str text(const char *s) { return (str){s, strlen(s)}; }
static int same(str a, str b) { return a.n == b.n && memcmp(a.s, b.s, a.n) == 0; }
static int is(str a, const char *b) { return same(a, text(b)); }
static void copy(char *out, size_t size, str s) {
    size_t n = s.n < size - 1 ? s.n : size - 1;
    memcpy(out, s.s, n);
    out[n] = 0;
}
static int letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static int digit(char c) { return c >= '0' && c <= '9'; }

/* All of s is a letter, a digit or one of more, and there are 1 to most bytes. */
static int made_of(str s, size_t most, const char *more) {
    if (s.n < 1 || s.n > most) return 0;
    for (size_t i = 0; i < s.n; i++)
        if (!letter(s.s[i]) && !digit(s.s[i]) && (s.s[i] == 0 || strchr(more, s.s[i]) == NULL)) return 0;
    return 1;
}

/* ---- Base64 and hexadecimal digits (3.2) ---- */

static const char digits64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Decodes standard base64 with padding and zero unused bits. Returns the number
 * of bytes, of which at most room are written, or -1. */
static long base64(str in, uint8_t *out, size_t room) {
    size_t n = 0, pad = 0;
    if (in.n % 4) return -1;
    if (in.n && in.s[in.n - 1] == '=') pad = in.s[in.n - 2] == '=' ? 2 : 1;
    for (size_t i = 0; i < in.n; i += 4) {
        uint32_t v = 0;
        size_t bytes = i + 4 == in.n ? 3 - pad : 3;
        for (size_t j = 0; j < 4; j++) {
            const char *at = j <= bytes ? (in.s[i + j] ? strchr(digits64, in.s[i + j]) : NULL) : digits64;
            if (at == NULL) return -1;
            v = v << 6 | (uint32_t)(at - digits64);
        }
        if (v & ((UINT32_C(1) << (24 - 8 * bytes)) - 1)) return -1;
        for (size_t j = 0; j < bytes; j++, n++)
            if (n < room) out[n] = (uint8_t)(v >> (16 - 8 * j));
    }
    return (long)n;
}

static void encode64(const uint8_t in[32], char out[45]) {
    for (int i = 0, o = 0; i < 33; i += 3, o += 4) {
        uint32_t v = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 | (i < 30 ? in[i + 2] : 0);
        for (int j = 0; j < 4; j++) out[o + j] = digits64[v >> (18 - 6 * j) & 63];
    }
    out[43] = '=';
    out[44] = 0;
}

static void hex(const uint8_t *in, size_t n, char *out) {
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[in[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[in[i] & 15];
    }
    out[2 * n] = 0;
}

/* ---- Keys (1) ---- */

typedef struct {
    int p256;
    uint8_t pub[65];
    char id[33]; /* the digits after "sha256:" and "dev:" */
} key;

/* Reads a key; 0 when it cannot be used. */
static int read_key(str alg, str pub, key *k) {
    static const uint8_t weak[4][32] = {
        {0},
        {1},
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
         0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
         0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
    };
    uint8_t in[12 + 65], y[32], sum[32];
    long n = base64(pub, k->pub, sizeof k->pub);
    k->p256 = is(alg, "p256-sha256");
    if (k->p256) {
        if (n != 65 || k->pub[0] != 4 || !la_p256_usable(k->pub + 1)) return 0;
    } else {
        if (!is(alg, "ed25519") || n != 32) return 0;
        memcpy(y, k->pub, 32);
        y[31] &= 127;
        int i = 1;
        while (i < 31 && y[i] == 255) i++;
        if (i == 31 && y[31] == 127 && y[0] >= 0xec) /* -1, or not below 2^255-19 */
            return 0;
        for (i = 0; i < 4; i++)
            if (memcmp(y, weak[i], 32) == 0) return 0;
    }
    memcpy(in, alg.s, alg.n);
    in[alg.n] = '\n';
    memcpy(in + alg.n + 1, k->pub, (size_t)n);
    la_sha256(in, alg.n + 1 + (size_t)n, sum);
    hex(sum, 16, k->id);
    return 1;
}

static int verify(const key *k, str msg, const uint8_t sig[64]) {
    return k->p256 ? la_p256_verify(sig, msg.s, msg.n, k->pub + 1) : la_ed25519_verify(sig, msg.s, msg.n, k->pub);
}

/* ---- Envelope (2) ---- */

typedef struct {
    char *message; /* what is signed; owned */
    str signed_bytes, payload;
    size_t n;
    struct {
        str id;
        int usable; /* exactly 64 bytes */
        uint8_t sig[64];
    } sig[MAX_SIGS];
} envelope;

static int prefix(str *in, const char *want) {
    size_t n = strlen(want);
    if (in->n < n || memcmp(in->s, want, n) != 0) return 0;
    in->s += n;
    in->n -= n;
    return 1;
}

/* Takes what stands before the next quotation mark. */
static int quoted(str *in, str *out) {
    const char *q = in->n ? memchr(in->s, '"', in->n) : NULL;
    if (q == NULL) return 0;
    out->s = in->s;
    out->n = (size_t)(q - in->s);
    in->n -= out->n + 1;
    in->s = q + 1;
    return 1;
}

static const char *open_envelope(str in, const char *kind, size_t limit, envelope *e) {
    char type[80], head[128];
    str t, p, sig;
    memset(e, 0, sizeof *e);
    if (in.n > limit) return "too-large";
    if (!prefix(&in, "{\"payloadType\":\"") || !quoted(&in, &t) || !made_of(t, 128, "./+-")) return "envelope";
    if (!prefix(&in, ",\"payload\":\"") || !quoted(&in, &p) || base64(p, NULL, 0) < 1) return "envelope";
    if (!prefix(&in, ",\"signatures\":[")) return "envelope";
    do {
        long n;
        if (e->n == MAX_SIGS || !prefix(&in, "{\"keyid\":\"") || !quoted(&in, &e->sig[e->n].id) || !made_of(e->sig[e->n].id, 128, "+/=._:-")) return "envelope";
        if (!prefix(&in, ",\"sig\":\"") || !quoted(&in, &sig) || (n = base64(sig, e->sig[e->n].sig, 64)) < 1 || !prefix(&in, "}")) return "envelope";
        e->sig[e->n++].usable = n == 64;
    } while (prefix(&in, ","));
    if (!prefix(&in, "]}") || in.n) return "envelope";
    snprintf(type, sizeof type, "application/vnd.license-agent.%s.v1+json", kind);
    if (!is(t, type)) return "media-type";
    size_t size = (size_t)base64(p, NULL, 0);
    size_t n = (size_t)snprintf(head, sizeof head, "DSSEv1 %lu %s %lu ", (unsigned long)t.n, type, (unsigned long)size);
    if ((e->message = malloc(n + size)) == NULL) return "memory";
    memcpy(e->message, head, n);
    base64(p, (uint8_t *)e->message + n, size);
    e->payload.s = e->message + n;
    e->payload.n = size;
    e->signed_bytes.s = e->message;
    e->signed_bytes.n = n + size;
    return NULL;
}

static int named(str id, const key *k) { return id.n == 39 && memcmp(id.s, "sha256:", 7) == 0 && memcmp(id.s + 7, k->id, 32) == 0; }

static int signed_by(const envelope *e, const key *k) {
    for (size_t i = 0; i < e->n; i++)
        if (e->sig[i].usable && named(e->sig[i].id, k) && verify(k, e->signed_bytes, e->sig[i].sig)) return 1;
    return 0;
}

/* ---- Payload (3.1) ----
 * The member order is fixed, so the text is read against a shape: {name:T,...},
 * [T], s (string), i (integer), b (boolean). One token is kept per string,
 * number and boolean, in order, and per list the count of its entries. */

typedef struct {
    str s; /* a string as it stands, escapes included */
    int64_t v;
} token;

typedef struct {
    char *own; /* what s points into; owned */
    token *t;
    size_t n, at;
} payload;

typedef struct {
    const char *p, *end, *shape;
    payload *out;
    int newline; /* the escape \n is allowed: trust anchors */
} walker;

static int take(walker *w, char c) {
    if (w->p == w->end || *w->p != c) return 0;
    w->p++;
    return 1;
}

static int take_text(walker *w, const char *s, size_t n) {
    if ((size_t)(w->end - w->p) < n || memcmp(w->p, s, n) != 0) return 0;
    w->p += n;
    return 1;
}

static int walk_string(walker *w, token *t) {
    if (!take(w, '"')) return 0;
    for (t->s.s = w->p; w->p < w->end && *w->p != '"'; w->p++) {
        if (*w->p < 0x20 || *w->p > 0x7e) return 0;
        if (*w->p == '\\' && (++w->p == w->end || !(*w->p == '"' || *w->p == '\\' || (w->newline && *w->p == 'n')))) return 0;
    }
    t->s.n = (size_t)(w->p - t->s.s);
    return take(w, '"');
}

static int walk_number(walker *w, token *t) {
    const char *from = w->p;
    while (w->p < w->end && digit(*w->p) && w->p - from < 17) t->v = t->v * 10 + (*w->p++ - '0');
    return w->p > from && w->p - from <= 16 && t->v <= MAX_INT && (*from != '0' || w->p - from == 1);
}

static int walk(walker *w) {
    char kind = *w->shape++;
    token *t = NULL;
    if (kind != '{') {
        t = &w->out->t[w->out->n++];
        memset(t, 0, sizeof *t);
    }
    if (kind == 's') return walk_string(w, t);
    if (kind == 'i') return walk_number(w, t);
    if (kind == 'b') return (t->v = take_text(w, "true", 4)) || take_text(w, "false", 5);
    if (kind == '{') {
        if (!take(w, '{')) return 0;
        for (int first = 1; *w->shape != '}'; first = 0) {
            size_t n = strcspn(w->shape, ":");
            if ((!first && !take(w, ',')) || !take(w, '"') || !take_text(w, w->shape, n) || !take(w, '"') || !take(w, ':')) return 0;
            w->shape += n + 1;
            if (!walk(w)) return 0;
            w->shape += *w->shape == ',';
        }
        w->shape++;
        return take(w, '}');
    }
    const char *entry = w->shape; /* '[' */
    for (int depth = 1; depth; w->shape++) depth += (*w->shape == '[') - (*w->shape == ']');
    const char *after = w->shape;
    if (!take(w, '[')) return 0;
    if (take(w, ']')) return 1;
    do {
        w->shape = entry;
        if (!walk(w)) return 0;
        t->v++;
    } while (take(w, ','));
    w->shape = after;
    return take(w, ']');
}

/* Reads a payload that must be canonical. The text is copied into out. */
static const char *parse(str in, const char *shape, int newline, payload *out) {
    memset(out, 0, sizeof *out);
    /* A token takes two bytes of text at least, a separator included. */
    out->own = malloc(in.n + 1);
    out->t = malloc((in.n / 2 + 16) * sizeof(token));
    if (out->own == NULL || out->t == NULL) return "memory";
    memcpy(out->own, in.s, in.n);
    out->own[in.n] = 0;
    walker w = {out->own, out->own + in.n, shape, out, newline};
    return walk(&w) && w.p == w.end ? NULL : "payload";
}

static void drop(payload *p) {
    free(p->own);
    free(p->t);
    memset(p, 0, sizeof *p);
}

static str next(payload *p) { return p->t[p->at++].s; }
static int64_t next_int(payload *p) { return p->t[p->at++].v; }

/* ---- Kinds of values (3.2). Each takes one token and says whether it fits. ---- */

static int ok_name(str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.s[i] >= 'A' && s.s[i] <= 'Z') return 0;
    return made_of(s, 64, "._-") && (letter(s.s[0]) || digit(s.s[0]));
}
static int ok_id(str s) { return made_of(s, 64, "._-") && (letter(s.s[0]) || digit(s.s[0])); }
static int ok_hex(str s, size_t n) {
    for (size_t i = 0; i < s.n; i++)
        if (!digit(s.s[i]) && !(s.s[i] >= 'a' && s.s[i] <= 'f')) return 0;
    return s.n == n;
}
static int get_name(payload *p, str *out) { return ok_name(*out = next(p)); }
static int get_id(payload *p, str *out) { return ok_id(*out = next(p)); }
static int get_token(payload *p, str *out) { return made_of(*out = next(p), 128, "+/=._:-"); }
static int get_int(payload *p, int64_t *out, int64_t least, int64_t most) { return (*out = next_int(p)) >= least && *out <= most; }
static int get_time(payload *p, int64_t *out) { return get_int(p, out, 0, NO_END); }
static int get_b64(payload *p, uint8_t out[32]) { return base64(next(p), out, 32) == 32; }
static int get_key(payload *p, key *k, int p256) {
    str alg = next(p), pub = next(p);
    return read_key(alg, pub, k) && (p256 || !k->p256);
}
static int ascends(str *last, str s) { /* by bytes, no two equal */
    size_t n = last->n < s.n ? last->n : s.n;
    int c = last->s == NULL ? -1 : n ? memcmp(last->s, s.s, n) : 0;
    int ok = c < 0 || (c == 0 && last->n < s.n);
    *last = s;
    return ok;
}
static int kind_of(str s) {
    static const char *const kinds[] = {"mac", "disk", "board", "cpu"};
    for (int i = 0; i < 4; i++)
        if (is(s, kinds[i])) return i;
    return -1;
}

/* ---- Shapes and limits (4 to 8, 10). `ok &=` goes on after a failure, so that
 * the cursor stays where it belongs. ---- */

#define KEY "{alg:s,pub:s}"
#define ROOTS "{threshold:i,keys:[" KEY "]}"
#define PROFILE "{req:[s],w:{board:i,disk:i,mac:i,cpu:i},min:i,floor:i}"
#define CHAIN "seq:i,head:s,ks:i,rn:s,st:i}"
#define KEYSET "{v:i,iss:s,ver:i,nbf:i,exp:i,roots:" ROOTS ",keys:[{kid:s,use:s,alg:s,pub:s,nbf:i,min:i}],revoked:[s],revlic:[s]}"
#define LICENSE                                                                                                                                                \
    "{v:i,iss:s,lic:s,prod:s,ed:s,seats:i,feat:[s],lim:[{name:s,value:i}],dev:{id:s,env:s,fpv:i,salt:s,fp:[{kind:s,h:[s]}],pol:{name:s,phys:" PROFILE          \
    ",virt:" PROFILE "},dk:" KEY "},iat:i,nbf:i,exp:i,ren:i,grc:i," CHAIN
#define NOTICE "{v:i,iss:s,lic:s,prod:s,dev:s,state:s,reason:s," CHAIN
#define PROOF "{v:i,nonce:s,prod:s,sha:s,phase:s,runs:b,missing:[s],time:i,boot:s}"

typedef struct {
    int64_t threshold;
    size_t n;
    key key[8];
} roots;

typedef struct {
    payload p;
    str issuer;
    roots roots;
} anchor;

typedef struct {
    payload p;
    str issuer;
    int64_t version, not_before, expires;
    roots roots;
    size_t n_keys, revoked, revlic; /* the latter: where the lists begin */
    struct {
        key key;
        char use; /* 'l'icense, 'n'otice, 'b'undle */
        int64_t not_before, min;
    } keys[32];
} keyset;

typedef struct {
    int required; /* bit per kind */
    int64_t weight[4], min, floor;
} profile;

typedef struct {
    payload p;
    str issuer, id, product, edition, env, head;
    int64_t seats, issued, not_before, expires, renew_by, grace_until, seq, keyset, server_time;
    size_t features, limits, parts; /* where the lists begin */
    uint8_t salt[32];
    profile profile;
    key key;
} claims;

typedef struct {
    payload p;
    str issuer, license, product, device, state, reason;
    int64_t seq, keyset, server_time;
} notice;

typedef struct {
    payload p;
    uint8_t nonce[32];
    str product, sha, phase;
    int64_t runs, time;
    int missing; /* bit per kind */
} proof;

static int get_roots(payload *p, roots *r) {
    r->threshold = next_int(p);
    int64_t n = next_int(p);
    if (n < 1 || n > 8 || r->threshold < 1 || r->threshold > 4 || r->threshold > n) return 0;
    for (r->n = 0; r->n < (size_t)n; r->n++) {
        if (!get_key(p, &r->key[r->n], 0)) return 0;
        for (size_t i = 0; i < r->n; i++)
            if (memcmp(r->key[i].pub, r->key[r->n].pub, 32) == 0) return 0;
    }
    return 1;
}

static int root_id(const roots *r, str id) {
    for (size_t i = 0; i < r->n; i++)
        if (named(id, &r->key[i])) return 1;
    return 0;
}

/* A sorted list of so many at most. */
static int get_list(payload *p, int64_t most, int (*get)(payload *, str *)) {
    str last = {NULL, 0}, s;
    int64_t n = next_int(p);
    int ok = n <= most;
    for (; ok && n > 0; n--) ok = get(p, &s) && ascends(&last, s);
    return ok;
}

static int limit_keyset(keyset *k) {
    payload *p = &k->p;
    str last = {NULL, 0}, kid, use, alg, pub;
    int ok = next_int(p) == 1 && get_name(p, &k->issuer) && get_int(p, &k->version, 1, MAX_INT) && get_time(p, &k->not_before) && get_time(p, &k->expires);
    if (!ok || k->not_before >= k->expires || k->expires > k->not_before + 400 * DAY || !get_roots(p, &k->roots)) return 0;
    int64_t n = next_int(p);
    if (n > 32) return 0;
    for (k->n_keys = 0; k->n_keys < (size_t)n; k->n_keys++) {
        kid = next(p), use = next(p), alg = next(p), pub = next(p);
        if (!is(use, "license") && !is(use, "notice") && !is(use, "bundle")) return 0;
        k->keys[k->n_keys].use = use.s[0];
        if (!is(alg, "ed25519") || !read_key(alg, pub, &k->keys[k->n_keys].key) || !named(kid, &k->keys[k->n_keys].key) || root_id(&k->roots, kid)) return 0;
        if (!get_time(p, &k->keys[k->n_keys].not_before) || !get_time(p, &k->keys[k->n_keys].min) || !ascends(&last, kid)) return 0;
    }
    k->revoked = p->at;
    last.s = NULL;
    for (n = next_int(p), ok = n <= 256; ok && n > 0; n--) {
        str s = next(p);
        ok = s.n == 39 && memcmp(s.s, "sha256:", 7) == 0 && !root_id(&k->roots, s) && ascends(&last, s);
        s.s += 7, s.n -= 7;
        ok = ok && ok_hex(s, 32);
    }
    if (!ok) return 0;
    k->revlic = p->at;
    return get_list(p, 1024, get_id);
}

/* Says whether a sorted list of strings that begins at token `at` holds s. */
static int listed(const payload *p, size_t at, str s) {
    for (int64_t i = p->t[at].v; i > 0; i--)
        if (same(p->t[at + (size_t)i].s, s)) return 1;
    return 0;
}

static int get_kinds(payload *p, int *bits) { /* of a sorted list */
    str last = {NULL, 0}, s;
    int64_t n = next_int(p);
    int ok = n <= 4;
    for (*bits = 0; ok && n > 0; n--)
        if ((ok = kind_of(s = next(p)) >= 0 && ascends(&last, s))) *bits |= 1 << kind_of(s);
    return ok;
}

static int get_profile(payload *p, profile *out) {
    memset(out, 0, sizeof *out);
    int ok = get_kinds(p, &out->required);
    /* In the text: board, disk, mac, cpu. */
    ok = ok && get_int(p, &out->weight[2], 0, 1000) && get_int(p, &out->weight[1], 0, 1000) && get_int(p, &out->weight[0], 0, 1000) &&
         get_int(p, &out->weight[3], 0, 1000);
    return ok && get_int(p, &out->min, 1, 100) && get_int(p, &out->floor, 0, 100);
}

static int get_chain(payload *p, int64_t *seq, str *head, int64_t *ks, int64_t *st) {
    uint8_t nonce[32];
    return get_int(p, seq, 1, MAX_INT) && get_token(p, head) && get_int(p, ks, 1, MAX_INT) && get_b64(p, nonce) && get_time(p, st);
}

static int get_device(payload *p, claims *c, str *id) {
    str name;
    profile virt;
    int kind = -1, ok = get_token(p, id);
    c->env = next(p);
    ok = ok && (is(c->env, "physical") || is(c->env, "vm") || is(c->env, "container")) && next_int(p) == 1 && get_b64(p, c->salt);
    if (!ok) return 0;
    c->parts = p->at;
    for (int64_t n = next_int(p); n > 0; n--) {
        str last = {NULL, 0};
        int k = kind_of(next(p));
        int64_t h = next_int(p);
        ok = k > kind && h >= 1 && h <= 16;
        for (kind = k; ok && h > 0; h--) {
            str s = next(p);
            ok = ok_hex(s, 64) && ascends(&last, s);
        }
        if (!ok) return 0;
    }
    if (!get_name(p, &name) || !get_profile(p, &c->profile) || !get_profile(p, &virt)) return 0;
    if (!is(c->env, "physical")) c->profile = virt;
    return get_key(p, &c->key, 1);
}

static const char *limit_license(claims *c) {
    payload *p = &c->p;
    str id, last = {NULL, 0};
    int ok = next_int(p) == 1 && get_name(p, &c->issuer) && get_id(p, &c->id) && get_name(p, &c->product);
    if (!ok) return "limits";
    c->edition = next(p);
    ok = (c->edition.n == 0 || ok_name(c->edition)) && get_int(p, &c->seats, 1, 1000000000);
    c->features = p->at;
    ok = ok && get_list(p, 64, get_name);
    c->limits = p->at;
    int64_t n = ok ? next_int(p) : 0;
    for (ok = ok && n <= 64; ok && n > 0; n--) {
        str s;
        int64_t v;
        ok = get_name(p, &s) && get_int(p, &v, 0, MAX_INT) && ascends(&last, s);
    }
    ok = ok && get_device(p, c, &id);
    ok = ok && get_time(p, &c->issued) && get_time(p, &c->not_before) && get_time(p, &c->expires) && get_time(p, &c->renew_by) && get_time(p, &c->grace_until);
    ok = ok && c->not_before < c->expires && c->not_before <= c->renew_by && c->renew_by <= c->grace_until;
    ok = ok && get_chain(p, &c->seq, &c->head, &c->keyset, &c->server_time);
    if (!ok) return "limits";
    return id.n == 36 && memcmp(id.s, "dev:", 4) == 0 && memcmp(id.s + 4, c->key.id, 32) == 0 ? NULL : "device";
}

static int limit_notice(notice *n) {
    static const char *const states[] = {"active", "suspended", "revoked", "released", "contested"};
    payload *p = &n->p;
    str head;
    int ok = next_int(p) == 1 && get_name(p, &n->issuer) && get_id(p, &n->license) && get_name(p, &n->product) && get_token(p, &n->device);
    if (!ok) return 0;
    n->state = next(p), n->reason = next(p), ok = 0;
    for (int i = 0; i < 5; i++) ok |= is(n->state, states[i]);
    return ok && (n->reason.n == 0 || ok_name(n->reason)) && get_chain(p, &n->seq, &head, &n->keyset, &n->server_time);
}

static int limit_proof(proof *f) {
    static const char *const phases[] = {"active", "expiring", "grace", "suspended", "expired", "revoked", "wrong-device", "clock-suspect"};
    payload *p = &f->p;
    str boot;
    if (next_int(p) != 1 || !get_b64(p, f->nonce) || !get_name(p, &f->product) || !ok_hex(f->sha = next(p), 64)) return 0;
    f->phase = next(p), f->runs = next_int(p);
    for (int i = 0; i < 8; i++)
        if (is(f->phase, phases[i])) return (i < 3) == f->runs && get_kinds(p, &f->missing) && get_time(p, &f->time) && get_token(p, &boot);
    return 0;
}

/* ---- Opening (4 to 8, 10) ---- */

static int reached(const roots *r, const envelope *e) {
    int64_t n = 0;
    for (size_t i = 0; i < r->n; i++) /* each key once, however often it signs */
        n += signed_by(e, &r->key[i]);
    return n >= r->threshold;
}

static const char *read_anchor(str in, anchor *a) {
    static const char *const shapes[] = {"{v:i,iss:s,roots:" ROOTS "}", "{v:i,iss:s,roots:" ROOTS ",merchant:s}", "{v:i,iss:s,roots:" ROOTS ",tls_roots:s}",
                                         "{v:i,iss:s,roots:" ROOTS ",merchant:s,tls_roots:s}"};
    static const char pem[] = "-----BEGIN CERTIFICATE-----\\n";
    memset(a, 0, sizeof *a);
    char *bare = in.n <= (size_t)64 << 10 ? malloc(in.n + 1) : NULL;
    size_t n = 0;
    int inside = 0, which = 0;
    for (size_t i = 0; bare != NULL && i < in.n; i++) { /* white space between tokens is for people */
        char c = in.s[i];
        if (inside && c == '\\' && i + 1 < in.n) bare[n++] = in.s[i++];
        else if (c == '"') inside = !inside;
        else if (!inside && (c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
            /* A number must not grow together with another one. */
            if (n && i + 1 < in.n && (digit(bare[n - 1]) || letter(bare[n - 1])) && (digit(in.s[i + 1]) || letter(in.s[i + 1]))) break;
            continue;
        }
        bare[n++] = in.s[i];
    }
    str b = {bare, n};
    const char *bad = bare == NULL ? "too-large" : "payload";
    for (; bad != NULL && bare != NULL && which < 4; which += bad != NULL) {
        drop(&a->p);
        bad = parse(b, shapes[which], 1, &a->p);
    }
    free(bare);
    payload *p = &a->p;
    if (bad != NULL || next_int(p) != 1 || !get_name(p, &a->issuer) || !get_roots(p, &a->roots)) return "anchor";
    if (which & 1) {
        str m = next(p), https = text("https://");
        if (m.n < 9 || m.n > 256 || memchr(m.s, ' ', m.n) || memchr(m.s, '\\', m.n) || memcmp(m.s, https.s, https.n) != 0) return "anchor";
    }
    if (which & 2) {
        str m = next(p);
        size_t escaped = 0;
        for (size_t i = 0; i < m.n; i++)
            if (m.s[i] == '\\') i++, escaped++;
        if (m.n - escaped > 32768 || m.n < sizeof pem - 1 || memcmp(m.s, pem, sizeof pem - 1) != 0) return "anchor";
    }
    return NULL;
}

/* previous is the set held before, or NULL. */
static const char *open_keyset(const anchor *a, const keyset *previous, str in, keyset *k) {
    envelope e;
    memset(k, 0, sizeof *k);
    const char *bad = open_envelope(in, "keyset", (size_t)128 << 10, &e);
    if (bad == NULL && (!reached(&a->roots, &e) || (previous != NULL && !reached(&previous->roots, &e)))) bad = "threshold";
    if (bad == NULL) bad = parse(e.payload, KEYSET, 0, &k->p);
    if (bad == NULL && !limit_keyset(k)) bad = "limits";
    if (bad == NULL && !reached(&k->roots, &e)) bad = "threshold";
    if (bad == NULL && (!same(k->issuer, a->issuer) || (previous != NULL && !same(previous->issuer, k->issuer)))) bad = "issuer";
    if (bad == NULL && previous != NULL && (k->version < previous->version || (k->version == previous->version && strcmp(k->p.own, previous->p.own) != 0)))
        bad = "keyset-rollback";
    free(e.message);
    return bad;
}

typedef struct {
    int64_t not_before, min;
    int revoked;
} signer;

/* Finds the keys of a use that signed; their number, at most one per signature. */
static size_t signers(const keyset *k, const envelope *e, char use, signer out[MAX_SIGS]) {
    size_t found = 0;
    for (size_t i = 0; i < e->n; i++)
        for (size_t j = 0; e->sig[i].usable && j < k->n_keys; j++)
            if (k->keys[j].use == use && named(e->sig[i].id, &k->keys[j].key) && verify(&k->keys[j].key, e->signed_bytes, e->sig[i].sig)) {
                int revoked = listed(&k->p, k->revoked, e->sig[i].id);
                out[found++] = (signer){k->keys[j].not_before, k->keys[j].min, revoked};
            }
    return found;
}

/* The rules of the license and the notice after their limits (5, 11). */
static const char *acceptable(const keyset *k, const signer *s, size_t n, int64_t made, str issuer, int64_t wants) {
    const char *first = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *bad = s[i].revoked ? "key-revoked" : made < s[i].not_before ? "key-not-yet" : made < s[i].min ? "key-revoked" : NULL;
        if (i == 0 || bad == NULL) first = bad;
        if (bad == NULL) break;
    }
    if (first != NULL) return first;
    return !same(issuer, k->issuer) ? "issuer" : k->version < wants ? "keyset-too-old" : NULL;
}

static const char *open_license(const keyset *k, str in, claims *c) {
    envelope e;
    signer s[MAX_SIGS];
    size_t n = 0;
    memset(c, 0, sizeof *c);
    const char *bad = open_envelope(in, "license", (size_t)16 << 10, &e);
    if (bad == NULL && (n = signers(k, &e, 'l', s)) == 0) bad = "signature";
    if (bad == NULL) bad = parse(e.payload, LICENSE, 0, &c->p);
    if (bad == NULL) bad = limit_license(c);
    free(e.message);
    return bad != NULL ? bad : acceptable(k, s, n, c->issued, c->issuer, c->keyset);
}

static const char *open_notice(const keyset *k, str in, notice *t) {
    envelope e;
    signer s[MAX_SIGS];
    size_t n = 0;
    memset(t, 0, sizeof *t);
    const char *bad = open_envelope(in, "notice", (size_t)16 << 10, &e);
    if (bad == NULL && (n = signers(k, &e, 'n', s)) == 0) bad = "signature";
    if (bad == NULL) bad = parse(e.payload, NOTICE, 0, &t->p);
    if (bad == NULL && !limit_notice(t)) bad = "limits";
    free(e.message);
    return bad != NULL ? bad : acceptable(k, s, n, t->server_time, t->issuer, t->keyset);
}

static const char *open_proof(const key *device, str in, proof *f) {
    envelope e;
    memset(f, 0, sizeof *f);
    const char *bad = open_envelope(in, "proof", (size_t)16 << 10, &e);
    if (bad == NULL && !signed_by(&e, device)) bad = "signature";
    if (bad == NULL) bad = parse(e.payload, PROOF, 0, &f->p);
    if (bad == NULL && !limit_proof(f)) bad = "limits";
    free(e.message);
    return bad;
}

/* ---- The decision (7, 8) ---- */

static const char *time_state(int64_t nbf, int64_t ren, int64_t grc, int64_t exp, int64_t t, const char **reason) {
    *reason = t < nbf ? "not-yet-valid" : t >= exp ? "entitlement-ended" : t >= grc ? "grace-ended" : "";
    return **reason ? "not-valid" : t >= ren ? "valid-stale" : "valid";
}

/* What was verified once and is recognised by its bytes: a license together
 * with its key set. */
typedef struct {
    char *license, *keyset; /* envelopes; owned */
    size_t license_size, keyset_size;
    keyset ks;
    claims c;
    char sha[65];
    unsigned long compared; /* the reading of the machine that result is about */
    la_comparison result;
} kept;

static void forget(kept *k) {
    free(k->license);
    free(k->keyset);
    drop(&k->ks.p);
    drop(&k->c.p);
    memset(k, 0, sizeof *k);
}

typedef struct {
    anchor anchor;
    kept kept[KEPT];
    size_t turn;
} verifier;

typedef struct {
    const char *product, *issuer;
    int64_t now, tolerance, min_keyset;
    const uint8_t *nonce; /* NULL without a proof */
    int64_t age_ms;
} question;

typedef struct {
    const char *state, *reason;
    int64_t time;
    int runs, own, keyset_expired, missing; /* own: no, and not by the agent */
    char phase[24];
} decision;

/* Steps 1 and 2: *out is the license and key set, verified now or before. */
static const char *opened(verifier *v, const question *q, str lic, str ks, kept **out) {
    kept *k = NULL, fresh;
    const char *bad = NULL;
    if (q->product == NULL || !*q->product || q->tolerance < 0 || q->now < 0) return "options";
    if (q->issuer != NULL && *q->issuer && !is(v->anchor.issuer, q->issuer)) return "issuer";
    for (size_t i = 0; i < KEPT; i++) {
        str l = {v->kept[i].license, v->kept[i].license_size}, s = {v->kept[i].keyset, v->kept[i].keyset_size};
        if (l.s != NULL && same(l, lic) && same(s, ks)) k = &v->kept[i];
    }
    memset(&fresh, 0, sizeof fresh);
    if (k == NULL) bad = open_keyset(&v->anchor, NULL, ks, &fresh.ks);
    const keyset *set = k ? &k->ks : &fresh.ks;
    if (bad == NULL && set->version < q->min_keyset) bad = "keyset-rollback";
    if (bad == NULL && q->now - (q->tolerance ? q->tolerance : 400 * DAY) >= set->expires) bad = "keyset-expired";
    if (bad == NULL && k == NULL) bad = open_license(&fresh.ks, lic, &fresh.c);
    if (bad == NULL && k == NULL) {
        uint8_t sum[32];
        fresh.license = malloc(lic.n), fresh.keyset = malloc(ks.n);
        if (fresh.license == NULL || fresh.keyset == NULL) bad = "memory";
        else {
            memcpy(fresh.license, lic.s, fresh.license_size = lic.n);
            memcpy(fresh.keyset, ks.s, fresh.keyset_size = ks.n);
            la_sha256(lic.s, lic.n, sum);
            hex(sum, 32, fresh.sha);
            k = &v->kept[v->turn++ % KEPT];
            forget(k);
            *k = fresh;
            memset(&fresh, 0, sizeof fresh);
        }
    }
    forget(&fresh);
    if (bad == NULL && !is(k->c.product, q->product)) bad = "product";
    *out = k;
    return bad;
}

/* All steps but the fingerprint; pf is ignored when q->nonce is NULL. */
static const char *decide(verifier *v, const question *q, str lic, str ks, str pf, kept **out, decision *d) {
    proof p;
    memset(&p, 0, sizeof p);
    const char *bad = opened(v, q, lic, ks, out);
    if (bad == NULL && q->nonce != NULL) {
        bad = open_proof(&(*out)->c.key, pf, &p);
        if (bad == NULL)
            bad = memcmp(p.nonce, q->nonce, 32) != 0        ? "nonce"
                  : !is(p.product, q->product)              ? "product"
                  : !is(p.sha, (*out)->sha)                 ? "hash"
                  : q->age_ms < 0 || q->age_ms > MAX_AGE_MS ? "stale"
                                                            : NULL;
    }
    if (bad == NULL) {
        const claims *c = &(*out)->c;
        d->time = q->now > c->server_time ? q->now : c->server_time; /* signed times only move the clock forward */
        if (q->nonce != NULL && p.time > d->time) d->time = p.time;
        d->state = time_state(c->not_before, c->renew_by, c->grace_until, c->expires, d->time, &d->reason);
        if (listed(&(*out)->ks.p, (*out)->ks.revlic, c->id)) d->state = "not-valid", d->reason = "license-revoked";
        int agent = q->nonce == NULL || p.runs;
        d->runs = strcmp(d->state, "not-valid") != 0 && agent, d->own = agent && !d->runs;
        d->missing = p.missing, d->keyset_expired = d->time >= (*out)->ks.expires;
        copy(d->phase, sizeof d->phase, q->nonce != NULL && !d->own ? p.phase : text(d->state));
    }
    drop(&p.p);
    return bad;
}

/* ---- JSON of the agent's answers, which proves nothing: any spelling ---- */

static const char *json_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p;
}

/* Returns what follows one value, or NULL. */
static const char *json_skip(const char *p, const char *end, int depth) {
    p = json_space(p, end);
    if (p == end || depth > 64) return NULL;
    if (*p == '"') {
        for (p++; p < end && *p != '"'; p++)
            if ((unsigned char)*p < 0x20 || (*p == '\\' && ++p == end)) return NULL;
        return p < end ? p + 1 : NULL;
    }
    if (*p == '{' || *p == '[') {
        char open = *p, close = open == '{' ? '}' : ']';
        p = json_space(p + 1, end);
        if (p < end && *p == close) return p + 1;
        for (;;) {
            if (open == '{') {
                p = json_space(p, end);
                if (p == end || *p != '"' || (p = json_skip(p, end, depth)) == NULL) return NULL;
                p = json_space(p, end);
                if (p == end || *p++ != ':') return NULL;
            }
            if ((p = json_skip(p, end, depth + 1)) == NULL) return NULL;
            p = json_space(p, end);
            if (p == end || (*p != ',' && *p != close)) return NULL;
            if (*p++ == close) return p;
        }
    }
    const char *from = p;
    while (p < end && (letter(*p) || digit(*p) || *p == '-' || *p == '+' || *p == '.')) p++;
    str word = {from, (size_t)(p - from)};
    return is(word, "true") || is(word, "false") || is(word, "null") || (word.n && word.n <= 32 && (digit(*from) || *from == '-')) ? p : NULL;
}

/* The value of a member as it stands, or nothing, also for null. The object has been skipped over before. */
static str json_member(str object, const char *name) {
    str found = {NULL, 0};
    const char *p = object.n ? json_space(object.s, object.s + object.n) : NULL, *end = object.s + object.n;
    if (p == NULL || p == end || *p != '{') return found;
    for (p++; (p = json_space(p, end)) < end && *p == '"';) {
        str found_name = {p + 1, 0}, value = {NULL, 0};
        if ((p = json_skip(p, end, 0)) == NULL) break;
        found_name.n = (size_t)(p - found_name.s) - 1;
        value.s = json_space(json_space(p, end) + 1, end);
        if ((p = json_skip(value.s, end, 0)) == NULL) break;
        value.n = (size_t)(p - value.s);
        if (is(found_name, name)) found = value;
        p = json_space(p, end);
        p += p < end && *p == ',';
    }
    return is(found, "null") ? text("") : found;
}

static size_t utf8(uint32_t c, char out[4]) {
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; i-- > 1; c >>= 6) out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)(n == 1 ? c : lead[n] | c);
    return n;
}

static int32_t hex4(const char *p, const char *end) {
    int32_t v = 0;
    for (int i = 0; i < 4; i++, p++) {
        const char *at = p < end && *p ? strchr("0123456789abcdefABCDEF", *p) : NULL;
        if (at == NULL) return -1;
        int d = (int)(strchr("0123456789abcdef", letter(*p) ? *p | 32 : *p) - "0123456789abcdef");
        v = v << 4 | d;
    }
    return v;
}

/* Decodes a string value; returns its length (cut to size-1), or -1. */
static long json_string(str v, char *out, size_t size) {
    size_t n = 0;
    *out = 0;
    if (v.n < 2 || *v.s != '"') return -1;
    for (const char *p = v.s + 1, *end = v.s + v.n - 1; p < end; p++) {
        char c[4];
        size_t len = 1;
        c[0] = *p;
        if (*p == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            const char *at = strchr(from, *++p);
            if (*p == 'u') {
                int32_t u = hex4(p + 1, end), low = -1;
                if (u < 0) return -1;
                p += 4;
                if (u >= 0xd800 && u < 0xdc00 && end - p > 6 && p[1] == '\\' && p[2] == 'u') low = hex4(p + 3, end);
                if (low >= 0xdc00 && low < 0xe000) u = 0x10000 + (u - 0xd800) * 1024 + (low - 0xdc00), p += 6;
                len = utf8((uint32_t)(u >= 0xd800 && u < 0xe000 ? 0xfffd : u), c);
            } else if (at == NULL || *p == 0) return -1;
            else c[0] = to[at - from];
        }
        if (n + len >= size) { /* cut, and not within a character */
            while (n && (out[n - 1] & 0xc0) == 0x80) n--;
            n -= n && (out[n - 1] & 0x80);
            break;
        }
        memcpy(out + n, c, len);
        n += len;
    }
    out[n] = 0;
    return (long)n;
}

/* ---- The agent ---- */

struct license_agent {
    verifier verifier;
    char *path, *instance, language[6];
    uint32_t *owners;
    size_t n_owners;
    int timeout_ms, open, used;
    la_options options;
    la_device *device; /* the last reading, NULL before the first */
    int64_t read_at;
    unsigned long reading;
    intptr_t conn, pid; /* pid: the process that made conn */
#ifdef _WIN32
    HANDLE event;
#endif
};

static la_status fail(const license_agent *la, la_error *err, la_status status, const char *cause, const char *detail) {
    int zh = la != NULL && strcmp(la->language, "zh-CN") == 0;
    if (err == NULL) return status;
    memset(err, 0, sizeof *err);
    for (size_t i = 0; i < sizeof la_messages / sizeof *la_messages; i++)
        if (la_messages[i].status == status && (!*la_messages[i].cause || strcmp(la_messages[i].cause, cause) == 0)) {
            copy(err->code, sizeof err->code, text(la_messages[i].code));
            copy(err->message, sizeof err->message, text(la_messages[i].message[zh]));
            copy(err->hint, sizeof err->hint, text(la_messages[i].hint[zh]));
        }
    copy(err->cause, sizeof err->cause, text(cause));
    copy(err->detail, sizeof err->detail, text(detail));
    return status;
}
static la_status no_memory(const license_agent *la, la_error *err) { return fail(la, err, LA_CONFIG, "", "out of memory"); }

/* ---- Socket or pipe. The functions return LA_OK or why not; `at` is the
 * deadline by now_ms. ---- */

#ifndef _WIN32

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t); /* goes on while the machine sleeps */
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static int draw(uint8_t out[32]) { return getrandom(out, 32, 0) == 32; }
static void pause_ms(int ms) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

/* Whether the other side has ended a connection on which it says nothing. */
static int ended(const license_agent *la) {
    struct pollfd p = {(int)la->conn, POLLIN, 0};
    return poll(&p, 1, 0) > 0; /* whatever comes is the end */
}

static int allowed(const license_agent *la, uid_t uid, uid_t by_root) {
    for (size_t i = 0; i < la->n_owners; i++)
        if (la->owners[i] == uid) return 1;
    return uid == 0 || (la->n_owners == 0 && (uid == geteuid() || uid == by_root));
}

/* What errno says of a socket that is not to be had. */
static la_status missing(void) {
    return errno == EACCES || errno == EPERM ? LA_NO_ACCESS : errno == ENOENT || errno == ENOTDIR || errno == ECONNREFUSED ? LA_NOT_RUNNING : LA_BAD_ANSWER;
}

/* Judges the way to the socket: who could change a directory could put another
 * socket there. Each must be root's or our own and closed to others; a sticky
 * one like /tmp may stand on the way. *by_root becomes the owner of a last
 * directory that only root could have made, and so chose. */
static la_status judge(const license_agent *la, uid_t *by_root) {
    char here[512] = "/", todo[1024], rest[1024], target[512];
    struct stat st;
    int root_only = 1, links = 0;
    *by_root = 0;
    snprintf(todo, sizeof todo, "%s", la->path + 1);
    for (;;) {
        char *slash = strchr(todo, '/');
        if (stat(here, &st) != 0) return missing();
        if (slash == NULL) break;
        if (st.st_uid != 0) {
            root_only = 0;
            if (st.st_uid != geteuid() && (la->n_owners == 0 || !allowed(la, st.st_uid, 0))) return LA_WRONG_OWNER;
        }
        if (st.st_mode & 022) {
            root_only = 0;
            if (!(st.st_mode & S_ISVTX)) return LA_WRONG_OWNER;
        }
        *slash = 0;
        snprintf(rest, sizeof rest, "%s", slash + 1);
        size_t up = strlen(here), step = strlen(todo);
        if (up + step + 2 > sizeof here) return LA_NOT_RUNNING;
        if (strcmp(todo, "..") == 0) {
            while (up > 1 && here[--up] != '/')
                ;
            here[up ? up : 1] = 0;
        } else if (step && strcmp(todo, ".") != 0) {
            if (up > 1) here[up++] = '/';
            memcpy(here + up, todo, step + 1);
            up -= up > 1;
            if (lstat(here, &st) != 0) return missing();
            if (S_ISLNK(st.st_mode)) {
                ssize_t n = readlink(here, target, sizeof target - 1);
                if (n < 0 || ++links > 40 || (st.st_uid != 0 && st.st_uid != geteuid()) || (size_t)n + strlen(rest) + 2 > sizeof todo) return LA_WRONG_OWNER;
                target[n] = 0;
                here[*target == '/' ? 1 : up] = 0;
                snprintf(todo, sizeof todo, "%s/", target + (*target == '/'));
                strncat(todo, rest, sizeof todo - strlen(todo) - 1);
                continue;
            }
            if (!S_ISDIR(st.st_mode)) return LA_NOT_RUNNING;
        }
        snprintf(todo, sizeof todo, "%s", rest);
    }
    if (la->n_owners == 0 && root_only) *by_root = st.st_uid;
    if (!allowed(la, st.st_uid, *by_root) || st.st_mode & 022) return LA_WRONG_OWNER;
    if (lstat(la->path, &st) != 0) return missing();
    return S_ISSOCK(st.st_mode) && allowed(la, st.st_uid, *by_root) ? LA_OK : LA_WRONG_OWNER;
}

static la_status await(const license_agent *la, short what, int64_t at) {
    struct pollfd p = {(int)la->conn, what, 0};
    int64_t left;
    while ((left = at - now_ms()) > 0)
        if (poll(&p, 1, left > 100000 ? 100000 : (int)left) > 0) return LA_OK;
    return LA_TIMEOUT;
}

static void hang_up(license_agent *la) {
    if (la->open && la->pid == getpid()) shutdown((int)la->conn, SHUT_RDWR); /* a fork may have a copy of it */
    if (la->open) close((int)la->conn);
    la->open = la->used = 0;
}

/* Whether the connection is of another process, which forked this one. Two that
 * used it would read each other's answers. It is closed here and not shut down,
 * so that the other keeps it. */
static int forked(license_agent *la) {
    if (!la->open || la->pid == getpid()) return 0;
    return hang_up(la), 1;
}

static la_status dial(license_agent *la, int64_t at) {
    struct sockaddr_un to;
    struct ucred peer;
    socklen_t size = sizeof peer;
    uid_t by_root;
    la_status bad = judge(la, &by_root);
    if (bad != LA_OK) return bad;
    memset(&to, 0, sizeof to);
    to.sun_family = AF_UNIX;
    snprintf(to.sun_path, sizeof to.sun_path, "%s", la->path);
    la->conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (la->conn < 0) return LA_BAD_ANSWER;
    la->open = 1, la->used = 0, la->pid = getpid();
    while (connect((int)la->conn, (struct sockaddr *)&to, sizeof to) != 0) {
        if (errno != EAGAIN && errno != EINTR) return missing();
        if (now_ms() >= at) return LA_TIMEOUT;
        pause_ms(5); /* the queue of callers is full */
    }
    if (getsockopt((int)la->conn, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || !allowed(la, peer.uid, by_root)) return LA_WRONG_OWNER;
    return LA_OK;
}

static la_status put(license_agent *la, const char *data, size_t n, int64_t at) {
    while (n) {
        ssize_t done = send((int)la->conn, data, n, MSG_NOSIGNAL);
        if (done > 0) data += done, n -= (size_t)done;
        else if (errno != EAGAIN && errno != EINTR) return LA_BAD_ANSWER;
        else if (await(la, POLLOUT, at) != LA_OK) return LA_TIMEOUT;
    }
    return LA_OK;
}

/* *got is 0 at the end. */
static la_status get(license_agent *la, char *data, size_t n, size_t *got, int64_t at) {
    for (;;) {
        ssize_t done = recv((int)la->conn, data, n, 0);
        if (done >= 0) return *got = (size_t)done, now_ms() < at ? LA_OK : LA_TIMEOUT;
        if (errno != EAGAIN && errno != EINTR) return LA_BAD_ANSWER;
        if (await(la, POLLIN, at) != LA_OK) return LA_TIMEOUT;
    }
}

#else

static int64_t now_ms(void) { return (int64_t)GetTickCount64(); } /* goes on while the machine sleeps */
static int draw(uint8_t out[32]) { return RtlGenRandom(out, 32); }
static void pause_ms(int ms) { Sleep((DWORD)ms); }

static int ended(const license_agent *la) {
    DWORD n;
    return !PeekNamedPipe((HANDLE)la->conn, NULL, 0, NULL, &n, NULL) || n > 0;
}

static void hang_up(license_agent *la) {
    if (la->open) CloseHandle((HANDLE)la->conn);
    la->open = la->used = 0;
}

static int forked(license_agent *la) { return (void)la, 0; }

/* The pipe must belong to SYSTEM, Administrators, the service that it is named
 * after, or this user. It is judged through the handle that is used. */
static la_status judge(const license_agent *la) {
    PSID owner = NULL;
    PSECURITY_DESCRIPTOR sd = NULL;
    HANDLE process = NULL;
    union {
        TOKEN_USER user;
        char room[256];
    } me;
    char service[256], sid[SECURITY_MAX_SID_SIZE], domain[256];
    DWORD n = sizeof sid, d = sizeof domain, size;
    SID_NAME_USE use;
    la_status status = LA_WRONG_OWNER;
    if (GetSecurityInfo((HANDLE)la->conn, SE_KERNEL_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL, &sd) != ERROR_SUCCESS) return LA_WRONG_OWNER;
    if (IsWellKnownSid(owner, WinLocalSystemSid) || IsWellKnownSid(owner, WinBuiltinAdministratorsSid)) status = LA_OK;
    if (status != LA_OK && OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &process) && GetTokenInformation(process, TokenUser, &me, sizeof me, &size) &&
        EqualSid(owner, me.user.User.Sid))
        status = LA_OK;
    snprintf(service, sizeof service, "NT SERVICE\\%s", la->path + 9);
    if (status != LA_OK && LookupAccountNameA(NULL, service, sid, &n, domain, &d, &use) && EqualSid(owner, sid)) status = LA_OK;
    if (process != NULL) CloseHandle(process);
    LocalFree(sd);
    return status;
}

static la_status dial(license_agent *la, int64_t at) {
    for (;;) {
        /* Not GENERIC_WRITE: that contains the right to create instances of the
         * pipe, which the agent gives to nobody (platform/ipc). */
        HANDLE h = CreateFileA(la->path, 0x12019b, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
        if (h != INVALID_HANDLE_VALUE) {
            la->conn = (intptr_t)h;
            la->open = 1, la->used = 0;
            return judge(la);
        }
        DWORD e = GetLastError();
        if (e != ERROR_PIPE_BUSY)
            return e == ERROR_FILE_NOT_FOUND || e == ERROR_PATH_NOT_FOUND ? LA_NOT_RUNNING : e == ERROR_ACCESS_DENIED ? LA_NO_ACCESS : LA_BAD_ANSWER;
        if (now_ms() >= at) return LA_TIMEOUT;
        pause_ms(5);
    }
}

/* Waits for an operation that was begun, to its end or the deadline. */
static la_status finish(license_agent *la, BOOL begun, OVERLAPPED *o, DWORD *done, int64_t at) {
    int64_t left = at - now_ms();
    if (!begun && GetLastError() != ERROR_IO_PENDING) return GetLastError() == ERROR_BROKEN_PIPE ? LA_OK : LA_BAD_ANSWER;
    if (WaitForSingleObject(la->event, left > 0 ? (DWORD)left : 0) == WAIT_OBJECT_0)
        return GetOverlappedResult((HANDLE)la->conn, o, done, FALSE) || GetLastError() == ERROR_BROKEN_PIPE ? LA_OK : LA_BAD_ANSWER;
    CancelIoEx((HANDLE)la->conn, o);
    GetOverlappedResult((HANDLE)la->conn, o, done, TRUE); /* the memory is ours again */
    return LA_TIMEOUT;
}

static la_status put(license_agent *la, const char *data, size_t n, int64_t at) {
    while (n) {
        OVERLAPPED o;
        DWORD done = 0;
        memset(&o, 0, sizeof o);
        o.hEvent = la->event;
        la_status bad = finish(la, WriteFile((HANDLE)la->conn, data, (DWORD)n, NULL, &o), &o, &done, at);
        if (bad != LA_OK || done == 0) return bad != LA_OK ? bad : LA_BAD_ANSWER;
        data += done, n -= done;
    }
    return LA_OK;
}

static la_status get(license_agent *la, char *data, size_t n, size_t *got, int64_t at) {
    OVERLAPPED o;
    DWORD done = 0;
    memset(&o, 0, sizeof o);
    o.hEvent = la->event;
    la_status bad = finish(la, ReadFile((HANDLE)la->conn, data, (DWORD)n, NULL, &o), &o, &done, at);
    *got = done;
    return bad == LA_OK && now_ms() >= at ? LA_TIMEOUT : bad;
}

#endif

/* ---- HTTP/1.1, as much as the agent speaks: an answer with a Content-Length ---- */

typedef struct {
    char *own; /* the whole answer; owned */
    str body;
    int status, keep;
} answer;

/* Reads the head that ends before at[4]. -1 when it is none of an agent's. */
static long read_head(const char *head, size_t n, answer *a) {
    long length = -1;
    const char *end = head + n, *p = head + 12;
    if (n < 12 || memcmp(head, "HTTP/1.", 7) != 0 || (head[7] != '0' && head[7] != '1') || head[8] != ' ' || !digit(head[9]) || !digit(head[10]) ||
        !digit(head[11]))
        return -1;
    a->status = (head[9] - '0') * 100 + (head[10] - '0') * 10 + head[11] - '0';
    a->keep = 1;
    if (*p != ' ' && *p != '\r') return -1;
    while ((p = memchr(p, '\n', (size_t)(end - p))) != NULL && ++p < end) {
        const char *stop = memchr(p, '\r', (size_t)(end - p)), *colon = stop ? memchr(p, ':', (size_t)(stop - p)) : NULL;
        char name[24], value[24];
        if (colon == NULL || stop + 1 >= end || stop[1] != '\n') return -1;
        str nm = {p, (size_t)(colon - p)}, v = {colon + 1, (size_t)(stop - colon - 1)};
        while (v.n && (*v.s == ' ' || *v.s == '\t')) v.s++, v.n--;
        while (v.n && (v.s[v.n - 1] == ' ' || v.s[v.n - 1] == '\t')) v.n--;
        copy(name, sizeof name, nm), copy(value, sizeof value, v);
        for (int i = 0; name[i]; i++) name[i] = (char)(letter(name[i]) ? name[i] | 32 : name[i]);
        if (strcmp(name, "transfer-encoding") == 0) return -1;
        if (strcmp(name, "connection") == 0 && (value[0] | 32) == 'c') a->keep = 0;
        if (strcmp(name, "content-length") == 0) {
            if (length >= 0 || v.n < 1 || v.n > 9 || strspn(value, "0123456789") != v.n) return -1;
            length = atol(value);
        }
    }
    return length;
}

/* *received says whether anything came back. */
static la_status exchange(license_agent *la, const char *request, size_t size, answer *a, int *received, int64_t at) {
    size_t n = 0, room = MAX_HEADER, head = 0, want = 0, got;
    la_status bad = put(la, request, size, at);
    if (bad != LA_OK) return bad;
    if ((a->own = malloc(room + 1)) == NULL) return LA_CONFIG;
    while (head == 0 || n < want) {
        if (n == room || (bad = get(la, a->own + n, room - n, &got, at)) != LA_OK || got == 0) return bad != LA_OK ? bad : LA_BAD_ANSWER;
        *received = 1;
        size_t from = n > 3 ? n - 3 : 0;
        n += got;
        if (memcmp(a->own, "HTTP/1.", n < 7 ? n : 7) != 0) return LA_BAD_ANSWER;
        for (; head == 0 && from + 4 <= n; from++)
            if (memcmp(a->own + from, "\r\n\r\n", 4) == 0) {
                long length = read_head(a->own, from + 2, a);
                if (length < 0 || (size_t)length > MAX_ANSWER) return LA_BAD_ANSWER;
                head = from + 4;
                want = head + (size_t)length;
                if (want > room) {
                    char *more = realloc(a->own, (room = want) + 1);
                    if (more == NULL) return LA_CONFIG;
                    a->own = more;
                }
            }
    }
    a->body.s = a->own + head;
    a->body.n = want - head;
    a->keep = a->keep && n == want;
    return LA_OK;
}

/* The deadline of a question that may wait so long: at the latest until. */
static int64_t within(const license_agent *la, int wait_ms, int64_t until) {
    int64_t at = now_ms() + la->timeout_ms + wait_ms;
    return at < until ? at : until;
}

/* Sends one request and returns the answer's object in a->body, which the caller frees with a->own. */
static la_status call(license_agent *la, const char *method, const char *target, const char *body, int64_t at, answer *a, la_error *err) {
    char request[2048];
    static const char *const names[LA_NO_ACCESS + 1] = {"", "", "timeout", "owner or mode of the endpoint", "not an HTTP answer of an agent"};
    int n = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: license-agent\r\nAccept-Language: %s\r\n", method, target, la->language);
    if (body != NULL)
        n += snprintf(request + n, sizeof request - (size_t)n, "Content-Type: application/json\r\nContent-Length: %u\r\n\r\n%s", (unsigned)strlen(body), body);
    else n += snprintf(request + n, sizeof request - (size_t)n, "\r\n");
    la_status bad = LA_OK;
    memset(a, 0, sizeof *a);
    int received = 0, kept_open = !forked(la) && la->open && la->used;
    if (!la->open) bad = dial(la, at);
    if (bad == LA_OK) bad = exchange(la, request, (size_t)n, a, &received, at);
    if (bad == LA_BAD_ANSWER && kept_open && !received) { /* the agent closed a kept connection, as after a restart */
        hang_up(la);
        free(a->own);
        memset(a, 0, sizeof *a);
        bad = dial(la, at);
        if (bad == LA_OK) bad = exchange(la, request, (size_t)n, a, &received, at);
    }
    la->used = 1;
    if (bad != LA_OK || !a->keep) hang_up(la);
    if (bad != LA_OK) {
        free(a->own), a->own = NULL;
        return bad == LA_CONFIG ? no_memory(la, err) : fail(la, err, bad, "", names[bad] ? names[bad] : "");
    }
    const char *end = a->body.s + a->body.n, *start = json_space(a->body.s, end), *after = json_skip(start, end, 0);
    if (after == NULL || *start != '{' || json_space(after, end) != end) bad = fail(la, err, LA_BAD_ANSWER, "", "not a JSON object");
    else if (a->status != 200) {
        la_error e;
        str object = json_member(a->body, "error");
        memset(&e, 0, sizeof e);
        if (json_string(json_member(object, "code"), e.code, sizeof e.code) < 1) bad = fail(la, err, LA_BAD_ANSWER, "", "a status without an error");
        else {
            json_string(json_member(object, "cause"), e.cause, sizeof e.cause);
            json_string(json_member(object, "message"), e.message, sizeof e.message);
            json_string(json_member(object, "hint"), e.hint, sizeof e.hint);
            json_string(json_member(object, "request_id"), e.detail, sizeof e.detail);
            if (err != NULL) *err = e;
            bad = LA_REFUSED;
        }
    }
    if (bad != LA_OK) free(a->own), a->own = NULL;
    return bad;
}

/* ---- The interface ---- */

static void own_clock(const license_agent *la, int64_t *utc, int64_t *mono) {
    if (la->options.clock != NULL) la->options.clock(la->options.user, utc, mono);
    else *utc = (int64_t)time(NULL), *mono = now_ms();
}

static char *keep(const char *s) {
    char *c = malloc(strlen(s) + 1);
    if (c != NULL) memcpy(c, s, strlen(s) + 1);
    return c;
}

license_agent *la_new(const char *anchor_text, size_t size, const la_options *options, la_error *err) {
    static const la_options none;
    const la_options *o = options != NULL ? options : &none;
    const char *name = o->instance != NULL ? o->instance : "";
    str in = {anchor_text, size}, nm = text(name);
    char path[300];
    license_agent *la = calloc(1, sizeof *la);
    if (la == NULL || (la->device = malloc(sizeof *la->device)) == NULL) return no_memory(NULL, err), la_free(la), NULL;
    la->options = *o;
    la->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : 5000;
    snprintf(la->language, sizeof la->language, "%s", o->language != NULL && strcmp(o->language, "zh-CN") == 0 ? "zh-CN" : "en");
    int ok = nm.n == 0 || (made_of(nm, 32, "-") && nm.s[0] != '-' && nm.s[nm.n - 1] != '-' && ok_name(nm));
#ifdef _WIN32
    snprintf(path, sizeof path, "\\\\.\\pipe\\license-agent%s%s", nm.n ? "-" : "", name);
    const char *chosen = o->socket != NULL && *o->socket ? o->socket : path;
    ok = ok && strlen(chosen) <= 256 && memcmp(chosen, "\\\\.\\pipe\\", 9) == 0 && chosen[9] && strpbrk(chosen + 9, "\\/") == NULL;
    ok = ok && (la->event = CreateEventA(NULL, TRUE, FALSE, NULL)) != NULL;
#else
    snprintf(path, sizeof path, "/run/license-agent%s%s/agent.sock", nm.n ? "-" : "", name);
    const char *chosen = o->socket != NULL && *o->socket ? o->socket : path;
    ok = ok && *chosen == '/' && strlen(chosen) <= 107;
#endif
    la->path = ok ? keep(chosen) : NULL;
    if (ok && o->n_owners && (la->owners = malloc(o->n_owners * sizeof *la->owners)) != NULL)
        memcpy(la->owners, o->owners, (la->n_owners = o->n_owners) * sizeof *la->owners);
    if (!ok) fail(la, err, LA_CONFIG, "", "socket or instance");
    else if (la->path == NULL || la->n_owners != o->n_owners) no_memory(la, err), ok = 0;
    else if (read_anchor(in, &la->verifier.anchor) != NULL) fail(la, err, LA_ANCHOR, "anchor", ""), ok = 0;
    return ok ? la : (la_free(la), NULL);
}

void la_free(license_agent *la) {
    if (la == NULL) return;
    hang_up(la);
    for (size_t i = 0; i < KEPT; i++) forget(&la->verifier.kept[i]);
    drop(&la->verifier.anchor.p);
#ifdef _WIN32
    if (la->event != NULL) CloseHandle(la->event);
#endif
    free(la->device), free(la->path), free(la->owners), free(la);
}

/* Of what is verified: remembers the key set, and compares the machine once per license and reading. */
static void compare(license_agent *la, kept *k, int64_t mono) {
    if (k->ks.version > la->options.min_keyset) la->options.min_keyset = k->ks.version;
    int64_t reread = la->options.reread_s > 0 ? la->options.reread_s : 3600;
    if (la->reading == 0 || mono - la->read_at >= reread * 1000) {
        memset(la->device, 0, sizeof *la->device);
        if (la->options.observe != NULL) la->options.observe(la->options.user, la->device);
        else la_observe("", la->device);
        la->read_at = mono;
        la->reading++;
    }
    if (k->compared != la->reading) {
        la_enrolled e;
        memset(&e, 0, sizeof e);
        memcpy(e.salt, k->c.salt, 32);
        e.required = k->c.profile.required, e.min = (int)k->c.profile.min, e.floor = (int)k->c.profile.floor;
        for (int i = 0; i < 4; i++) e.weight[i] = (int)k->c.profile.weight[i];
        const token *t = &k->c.p.t[k->c.parts];
        for (int64_t n = t++->v; n > 0; n--) {
            int kind = kind_of(t++->s);
            e.n[kind] = (size_t)t++->v;
            for (size_t i = 0; i < e.n[kind]; i++) memcpy(e.hash[kind][i], t++->s.s, 64);
        }
        la_compare(&e, la->device, &k->result);
        k->compared = la->reading;
    }
}

static void fill(la_verdict *v, const kept *k, int runs, const char *phase, const char *reason) {
    const payload *p = &k->c.p;
    memset(v, 0, sizeof *v);
    v->runs = runs;
    copy(v->phase, sizeof v->phase, text(phase));
    copy(v->reason, sizeof v->reason, text(reason));
    copy(v->license, sizeof v->license, k->c.id);
    copy(v->edition, sizeof v->edition, k->c.edition);
    v->seats = k->c.seats, v->keyset = k->ks.version, v->expires = k->c.expires, v->renew_by = k->c.renew_by, v->grace_until = k->c.grace_until;
    v->n_features = (size_t)p->t[k->c.features].v;
    for (size_t i = 0; i < v->n_features; i++) copy(v->features[i], sizeof v->features[i], p->t[k->c.features + 1 + i].s);
    v->n_limits = (size_t)p->t[k->c.limits].v;
    for (size_t i = 0; i < v->n_limits; i++) {
        copy(v->limits[i].name, sizeof v->limits[i].name, p->t[k->c.limits + 1 + 2 * i].s);
        v->limits[i].value = p->t[k->c.limits + 2 + 2 * i].v;
    }
    v->device = k->result;
}

/* The sentences of a "no" of which no agent has said why. */
static void say_no(const license_agent *la, la_verdict *v, const char *reason) {
    la_error e;
    fail(la, &e, LA_NOT_LICENSED, reason, "");
    copy(v->message, sizeof v->message, text(e.message));
    copy(v->next_step, sizeof v->next_step, text(e.hint));
}

/* At least the policy's minimum of what this process can read must match; what it
 * cannot read is no evidence. The exception is a machine with replaced parts, for
 * which the agent decides or waits: it names in its proof what is missing on its own
 * machine, and one that runs elsewhere does not miss what is lost here. */
static int other_machine(const la_comparison *c, int missing) {
    int lost = 0;
    for (int i = 0; i < 4; i++) lost |= (strchr("cap", *c->result[i]) != NULL) << i; /* changed, absent, placeholder */
    return (strcmp(c->outcome, "different") == 0 || (c->strong_changed && c->matched < c->need)) && (!c->strong_match || lost & ~missing);
}

static char *envelope_in(str object, const char *name, size_t *size) {
    str v = json_member(object, name);
    if (v.n == 0) v = text("\"\"");
    char *t = malloc(v.n + 2), *out = malloc(v.n + 2);
    long n = t != NULL && out != NULL && json_string(v, t, v.n + 2) >= 0 ? base64(text(t), (uint8_t *)out, v.n + 2) : -1;
    free(t);
    *size = n < 0 ? 0 : (size_t)n;
    if (n < 0) free(out), out = NULL;
    return out;
}

/* One question; more is what it asks beside the usual. */
static la_status ask(license_agent *la, const char *product, const char *more, int64_t at, la_verdict *verdict, la_error *err) {
    char body[256], nonce64[45], *part[3] = {NULL, NULL, NULL};
    static const char *const names[3] = {"license", "keyset", "proof"};
    uint8_t nonce[32];
    int64_t asked, arrived;
    question q = {product, NULL, 0, la->options.tolerance, la->options.min_keyset, nonce, 0};
    size_t size[3] = {0, 0, 0};
    answer a;
    kept *k = NULL;
    decision d;
    memset(verdict, 0, sizeof *verdict);
    if (product == NULL || !ok_name(text(product))) return fail(la, err, LA_CONFIG, "options", "product");
    if (!draw(nonce)) return fail(la, err, LA_CONFIG, "", "no random numbers");
    encode64(nonce, nonce64);
    own_clock(la, &q.now, &asked);
    snprintf(body, sizeof body, "{\"product\":\"%s\",\"issuer\":\"%.*s\",\"nonce\":\"%s\"%s}", product, (int)la->verifier.anchor.issuer.n,
             la->verifier.anchor.issuer.s, nonce64, more);
    la_status status = call(la, "POST", "/v1/check", body, at, &a, err);
    if (status != LA_OK) return status;
    own_clock(la, &q.now, &arrived);
    q.age_ms = arrived - asked;
    for (int i = 0; i < 3 && status == LA_OK; i++)
        if ((part[i] = envelope_in(a.body, names[i], &size[i])) == NULL) status = fail(la, err, LA_BAD_ANSWER, "", "an envelope is not base64");
    if (status == LA_OK) {
        str lic = {part[0], size[0]}, ks = {part[1], size[1]}, pf = {part[2], size[2]};
        const char *bad = decide(&la->verifier, &q, lic, ks, pf, &k, &d);
        if (bad != NULL) status = fail(la, err, LA_UNTRUSTED, bad, "");
    }
    if (status == LA_OK) compare(la, k, arrived);
    if (status == LA_OK && other_machine(&k->result, d.missing)) status = fail(la, err, LA_WRONG_DEVICE, "", "");
    if (status == LA_OK) {
        str said = json_member(a.body, "verdict"), flags = json_member(said, "flags");
        fill(verdict, k, d.runs, d.phase, *d.reason ? d.reason : d.runs ? "" : "agent-says-no");
        if (d.own) say_no(la, verdict, d.reason);
        else {
            json_string(json_member(said, "message"), verdict->message, sizeof verdict->message);
            json_string(json_member(said, "next_step"), verdict->next_step, sizeof verdict->next_step);
        }
        const char *p = flags.s, *end = flags.s + flags.n;
        while (flags.n && *flags.s == '[' && verdict->n_flags < 16 && (p = json_space(p + 1, end)) < end && *p == '"') {
            const char *after = json_skip(p, end, 0);
            str one = {p, (size_t)(after - p)};
            json_string(one, verdict->flags[verdict->n_flags++], 65);
            p = json_space(after, end);
        }
    }
    for (int i = 0; i < 3; i++) free(part[i]);
    free(a.own);
    return status;
}

/* Both questions have one deadline. */
static la_status check(license_agent *la, const char *product, int64_t at, la_verdict *verdict, la_error *err) {
    la_status status = ask(la, product, "", at, verdict, err);
    if (status != LA_WRONG_DEVICE) return status;
    /* By readings that may be old, the agent's older than this program's: both read again before that is believed. */
    la->read_at = INT64_MIN / 2;
    return ask(la, product, ",\"reread\":true", at, verdict, err);
}

la_status la_check(license_agent *la, const char *product, la_verdict *verdict, la_error *err) {
    return check(la, product, within(la, 0, INT64_MAX), verdict, err);
}

la_status la_check_files(license_agent *la, const char *product, const char *file, size_t file_size, la_verdict *verdict, la_error *err) {
    static const char *const names[3] = {"license", "keyset", "notice"};
    str in = {file, file_size}, part[3] = {{"", 0}, {"", 0}, {"", 0}};
    char *own[3] = {NULL, NULL, NULL};
    question q = {product, NULL, 0, la->options.tolerance, la->options.min_keyset, NULL, 0};
    const char *bad = NULL, *end = file + file_size, *after = file_size <= MAX_ANSWER ? json_skip(file, end, 0) : NULL;
    int64_t mono;
    kept *k = NULL;
    notice n;
    decision d;
    la_status status = LA_OK;
    memset(verdict, 0, sizeof *verdict);
    memset(&n, 0, sizeof n);
    own_clock(la, &q.now, &mono);
    if (after == NULL || json_space(after, end) != end) bad = "envelope";
    for (int i = 0; i < 3 && bad == NULL; i++) {
        str v = json_member(in, names[i]);
        if (v.n && ((own[i] = malloc(v.n + 8)) == NULL || (part[i].n = (size_t)json_string(v, own[i], v.n + 8)) > MAX_ANSWER)) bad = "envelope";
        else if (v.n) part[i].s = own[i];
        if (i < 2 && part[i].n == 0) bad = "envelope";
    }
    if (bad == NULL) bad = decide(&la->verifier, &q, part[0], part[1], part[2], &k, &d);
    if (bad == NULL) {
        compare(la, k, mono);
        if (strcmp(k->result.outcome, "different") == 0) status = fail(la, err, LA_WRONG_DEVICE, "", ""); /* no agent here says what it misses */
        else {
            fill(verdict, k, d.runs, d.state, d.reason);
            if (d.own) say_no(la, verdict, d.reason);
            if (part[2].n) bad = open_notice(&k->ks, part[2], &n);
            if (bad == NULL && part[2].n && same(n.license, k->c.id) && n.seq >= k->c.seq &&
                (is(n.state, "suspended") || is(n.state, "revoked") || is(n.state, "released"))) {
                verdict->runs = 0;
                copy(verdict->phase, sizeof verdict->phase, n.state);
                copy(verdict->reason, sizeof verdict->reason, n.reason);
                say_no(la, verdict, verdict->phase); /* the reason is the vendor's own word */
            }
        }
    }
    if (bad != NULL) status = fail(la, err, LA_UNTRUSTED, bad, "");
    if (status != LA_OK) memset(verdict, 0, sizeof *verdict);
    drop(&n.p);
    for (int i = 0; i < 3; i++) free(own[i]);
    return status;
}

la_status la_watch(license_agent *la, uint64_t *serial, int wait_ms, int *changed, la_error *err) {
    char target[96];
    int wait = *serial && wait_ms > 0 ? wait_ms : 0;
    answer a;
    *changed = 0;
    snprintf(target, sizeof target, "/v1/events?since=%llu&wait=%dms", (unsigned long long)*serial, wait);
    la_status status = call(la, "GET", target, NULL, within(la, wait, INT64_MAX), &a, err);
    if (status != LA_OK) return status;
    str v = json_member(a.body, "serial"), missed = json_member(a.body, "missed");
    uint64_t now = 0;
    for (size_t i = 0; i < v.n && i < 19; i++) now = digit(v.s[i]) ? now * 10 + (uint64_t)(v.s[i] - '0') : UINT64_MAX / 10;
    if (v.n < 1 || v.n > 18 || now >= UINT64_MAX / 10) status = fail(la, err, LA_BAD_ANSWER, "", "no serial");
    else {
        *changed = *serial == 0 || is(missed, "true") || now != *serial;
        *serial = now;
    }
    free(a.own);
    return status;
}

int la_has(const la_verdict *verdict, const char *feature) {
    for (size_t i = 0; i < verdict->n_features; i++)
        if (strcmp(verdict->features[i], feature) == 0) return 1;
    return 0;
}

int64_t la_limit(const la_verdict *verdict, const char *name) {
    for (size_t i = 0; i < verdict->n_limits; i++)
        if (strcmp(verdict->limits[i].name, name) == 0) return verdict->limits[i].value;
    return -1;
}

/* ---- Seats: a connection of its own that is the seat ---- */

struct la_seat {
    license_agent *checker, line; /* line: the same agent, the seat's own connection */
    char product[65], user[129];
    int held;
};

/* Pauses, but not until then: says whether there is time for another attempt. */
static int rest(int64_t until) {
    int more = now_ms() + 50 < until;
    if (more) pause_ms(50);
    return more;
}

/* One attempt. Seat and check have their usual time each, but end by until. */
static la_status take_seat(la_seat *s, int wait_ms, int64_t until, la_verdict *verdict, la_error *err) {
    char body[1024], user[800] = "", *to = user;
    answer a;
    for (const char *c = s->user; *c; c++) to += sprintf(to, strchr("\"\\", *c) || (unsigned char)*c < ' ' ? "\\u%04x" : "%c", (unsigned char)*c);
    str issuer = s->checker->verifier.anchor.issuer;
    snprintf(body, sizeof body, "{\"product\":\"%s\",\"issuer\":\"%.*s\",\"user\":\"%s\",\"wait_ms\":%d}", s->product, (int)issuer.n, issuer.s, user, wait_ms);
    la_status status = call(&s->line, "POST", "/v1/seats", body, within(&s->line, wait_ms, until), &a, err);
    if (status != LA_OK) hang_up(&s->line);
    else {
        str id = json_member(json_member(a.body, "seat"), "id"), total = json_member(json_member(a.body, "count"), "total");
        int64_t n = 0;
        for (size_t i = 0; i < total.n && i < 12 && digit(total.s[i]); i++) n = n * 10 + (total.s[i] - '0');
        if (!s->line.open || id.n < 3 || n == 0) status = fail(s->checker, err, LA_BAD_ANSWER, "", "not the answer to a request for a seat");
        else if ((status = check(s->checker, s->product, within(s->checker, 0, until), verdict, err)) == LA_OK && !verdict->runs)
            status = fail(s->checker, err, LA_NOT_LICENSED, verdict->reason, "");
        else if (status == LA_OK && n > verdict->seats)
            status = fail(s->checker, err, LA_UNTRUSTED, "seats", "the agent counts more seats than the license has");
        if (status != LA_OK) hang_up(&s->line);
    }
    free(a.own);
    s->held = status == LA_OK;
    return status;
}

la_status la_seat_take(license_agent *la, const char *product, const char *user, int wait_ms, la_seat **seat, la_verdict *verdict, la_error *err) {
    la_error e;
    int64_t until = within(la, wait_ms, INT64_MAX), left;
    la_status status;
    *seat = NULL;
    memset(verdict, 0, sizeof *verdict);
    if (product == NULL || !ok_name(text(product)) || (user != NULL && strlen(user) > 128) || wait_ms < 0)
        return fail(la, err, LA_CONFIG, "options", "product, user or wait");
    la_seat *s = calloc(1, sizeof *s);
    if (s == NULL) return no_memory(la, err);
    s->checker = la;
    s->line = *la;
    s->line.open = s->line.used = 0;
    snprintf(s->product, sizeof s->product, "%s", product);
    snprintf(s->user, sizeof s->user, "%s", user != NULL ? user : "");
    for (int first = 1, more = 1; more; first = 0) {
        left = until - la->timeout_ms - now_ms();
        status = take_seat(s, left > 0 ? (int)left : 0, until, verdict, &e);
        more = status == LA_REFUSED && strcmp(e.code, "busy") == 0; /* too many connections of this account just now */
        /* An agent that is started anew sends those who wait away, and then nobody listens for a moment. Who finds nobody at first need not wait. */
        if (now_ms() < until - la->timeout_ms) more |= status == LA_BAD_ANSWER || (!first && status == LA_NOT_RUNNING);
        more = more && rest(until);
    }
    if (status == LA_OK) return *seat = s, LA_OK;
    if (err != NULL) *err = e;
    return la_seat_free(s), status;
}

la_status la_seat_held(la_seat *s, la_error *err) {
    la_error e;
    la_verdict *v;
    la_status status;
    if (!s->held || forked(&s->line)) return s->held = 0, fail(s->checker, err, LA_NOT_LICENSED, "seat-lost", "");
    if (!ended(&s->line)) return LA_OK;
    hang_up(&s->line);
    s->held = 0;
    if ((v = malloc(sizeof *v)) == NULL) return no_memory(s->checker, err);
    int64_t until = now_ms() + 10000;
    do status = take_seat(s, 0, until, v, &e);
    while ((status == LA_NOT_RUNNING || status == LA_TIMEOUT || status == LA_BAD_ANSWER || (status == LA_REFUSED && strcmp(e.code, "busy") == 0)) &&
           rest(until));
    free(v);
    if (status != LA_OK && err != NULL) *err = e;
    return status;
}

void la_seat_free(la_seat *s) {
    if (s != NULL) hang_up(&s->line);
    free(s);
}
