/* license_agent.h: ask the license agent of this machine whether a product may
 * run, and verify the answer by oneself, from the vendor's root keys down to a
 * proof over a fresh nonce. C99, also from C++. Compile license_agent.c,
 * license_agent_device.c and license_agent_crypto.c into the program.
 *
 * Times are UTC seconds. Texts are UTF-8 and always ended by a NUL byte. */
#ifndef LICENSE_AGENT_H
#define LICENSE_AGENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns. All but LA_OK mean: nothing is licensed as far as the
 * program can tell. A genuine "no" is LA_OK with runs == 0. */
typedef enum {
    LA_OK = 0,
    LA_NOT_RUNNING,  /* "agent-not-running": nobody listens */
    LA_TIMEOUT,      /* "agent-timeout": no complete answer before the deadline */
    LA_WRONG_OWNER,  /* "agent-wrong-owner": somebody else could have put the endpoint there */
    LA_BAD_ANSWER,   /* "agent-bad-answer": not an answer of an agent */
    LA_UNTRUSTED,    /* "agent-untrusted": it does not end in the vendor's keys; see la_error.cause */
    LA_WRONG_DEVICE, /* "agent-wrong-device": genuine, but for another machine */
    LA_REFUSED,      /* the agent answered with an error, whose code la_error.code holds: "not-activated", ... */
    LA_NOT_LICENSED, /* "not-licensed": a seat was asked for, and the license does not run */
    LA_CONFIG,       /* "config-invalid": an argument makes no sense */
    LA_ANCHOR,       /* "anchor": the trust anchor is unusable */
    LA_NO_ACCESS     /* "agent-no-access": this account may not reach the endpoint */
} la_status;

/* Why a call failed. code is stable; cause is the word of the format
 * specification behind agent-untrusted ("nonce", "signature", ...) or the
 * merchant's code; message and hint are for people, detail for a log. */
typedef struct {
    char code[64], cause[64], message[512], hint[512], detail[160];
} la_error;

#define LA_MAX_VALUES 64
#define LA_MAX_TEXT 256

typedef enum { LA_ABSENT, LA_READ, LA_PLACEHOLDER, LA_UNREADABLE } la_state;

/* One part of a machine: what could be read of it. unread says that a further
 * candidate could not be read, so that a difference is no evidence. */
typedef struct {
    la_state state;
    int unread;
    size_t n;
    char text[LA_MAX_VALUES][LA_MAX_TEXT + 1];
} la_part;

/* An observation of this machine; the parts are mac, disk, board, cpu. */
typedef struct {
    la_part part[4];
    int container;
} la_device;

/* How the machine compares with the license. outcome is "same", "different" or
 * "indeterminate", result[] per part "match", "changed", "absent",
 * "unreadable", "placeholder" or "not-enrolled"; left is how many more points
 * may be lost. */
typedef struct {
    const char *outcome, *result[4];
    int matched, available, enrolled, need, left, strong_match, strong_changed, drift;
} la_comparison;

/* What was verified. All of it ends in the vendor's root keys, but message,
 * next_step and flags, which are the agent's words; where the agent says yes and
 * the own time rule no, and from files, the first two are this library's. */
typedef struct {
    int runs;
    char phase[24];  /* active, expiring, grace, suspended, ...; by the own time rule and from files: valid, valid-stale, not-valid */
    char reason[65]; /* a stable code when runs is 0 */
    char license[65], edition[65];
    int64_t seats, expires, renew_by, grace_until;
    int64_t keyset; /* version of the key set; see la_options.min_keyset */
    size_t n_features, n_limits, n_flags;
    char features[64][65];
    struct {
        char name[65];
        int64_t value;
    } limits[64];
    char flags[16][65];
    char message[512], next_step[512];
    la_comparison device;
} la_verdict;

/* All members may be zero. */
typedef struct {
    const char *socket;     /* path or pipe; NULL: that of the instance */
    const char *instance;   /* another vendor's agent; NULL: the unnamed one */
    const uint32_t *owners; /* Linux: further user ids that the agent may run as */
    size_t n_owners;
    int timeout_ms;       /* bounds each call; 0: 5000 */
    const char *language; /* "en" or "zh-CN" */
    int64_t min_keyset;   /* the highest keyset of a verdict that the program remembers from earlier runs */
    int64_t tolerance;    /* seconds past its expiry that a key set is accepted; 0: 400 days */
    int reread_s;         /* the machine is read again after so many seconds; 0: 3600 */
    /* For tests: reading the machine, and the clocks (milliseconds that never jump). */
    void (*observe)(void *user, la_device *out);
    void (*clock)(void *user, int64_t *utc, int64_t *mono_ms);
    void *user;
} la_options;

/* One program's view of one agent. Not for two threads at once; each thread may
 * have its own. After fork() the child may go on with it: it gets a connection of
 * its own, and the parent keeps its own. A seat stays the parent's: in the child
 * la_seat_held says that it is lost, la_seat_free does not give it back, and the
 * child takes one for itself. */
typedef struct license_agent license_agent;

/* Returns NULL and fills err (which may be NULL, as everywhere) when anchor or
 * options are unusable, or memory is short. anchor is the vendor's trust anchor
 * file; anchor, options and the texts in them are copied. */
license_agent *la_new(const char *anchor, size_t anchor_size, const la_options *options, la_error *err);
void la_free(license_agent *la);

/* Asks for a fresh proof and verifies the whole chain: key set, license, proof
 * over a nonce just drawn, this machine's fingerprint, time. Fails closed. */
la_status la_check(license_agent *la, const char *product, la_verdict *verdict, la_error *err);

/* Verifies a file of the agent's public folder without asking anybody. Weaker:
 * it shows that the vendor issued the license for this machine, not that the
 * agent here holds the device key. */
la_status la_check_files(license_agent *la, const char *product, const char *file, size_t file_size, la_verdict *verdict, la_error *err);

/* Waits up to wait_ms for a change of the instance's licenses after *serial
 * (begin with 0, which returns at once). *changed says whether to check again.
 * The answer proves nothing. After an error, begin with 0 again: serials begin
 * anew with the next agent. */
la_status la_watch(license_agent *la, uint64_t *serial, int wait_ms, int *changed, la_error *err);

/* One of the concurrent uses that the license allows on this machine. It ends
 * with la_seat_free or with this process, whatever way; there is no heartbeat. */
typedef struct la_seat la_seat;

/* Takes a seat and then checks as la_check does, so that a held seat stands on a
 * verified verdict that runs (else LA_NOT_LICENSED). user (NULL for none) counts
 * a named user instead of the process; wait_ms is how long to stand in the queue
 * ("seats-taken" otherwise), also while the agent is started anew. la must outlive the seat. */
la_status la_seat_take(license_agent *la, const char *product, const char *user, int wait_ms, la_seat **seat, la_verdict *verdict, la_error *err);

/* Says whether the seat is still held. Does not wait, but when the agent was
 * started anew: then the same seat is taken up again, for up to ten seconds. Any
 * other status than LA_OK: it is lost. */
la_status la_seat_held(la_seat *seat, la_error *err);
void la_seat_free(la_seat *seat);

/* Says whether the verdict grants a feature; the value of a limit, or -1. */
int la_has(const la_verdict *verdict, const char *feature);
int64_t la_limit(const la_verdict *verdict, const char *name);

/* ---- Between the source files and for tests; not stable. ---- */

/* Reads this machine, or a recorded one below root (Linux). */
void la_observe(const char *root, la_device *out);
/* Spells a value of a part (0 mac, 1 disk, 2 board, 3 cpu) in its one canonical
 * form; returns its length, which may exceed LA_MAX_TEXT (out is cut then). */
size_t la_spell(int part, const char *value, size_t n, char out[LA_MAX_TEXT + 1]);
int la_placeholder(int part, const char *spelled);
/* The device of a license: salted hashes per part, and the rule. */
typedef struct {
    uint8_t salt[32];
    size_t n[4];
    char hash[4][16][64];
    int required; /* bit per part */
    int weight[4], min, floor;
} la_enrolled;
void la_compare(const la_enrolled *enrolled, const la_device *now, la_comparison *out);
void la_sha256(const void *data, size_t n, uint8_t out[32]);
void la_hmac_sha256(const uint8_t key[32], const void *data, size_t n, uint8_t out[32]);
int la_ed25519_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[32]);
int la_p256_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[64]);
int la_p256_usable(const uint8_t pub[64]);

#ifdef __cplusplus
}
#endif
#endif
