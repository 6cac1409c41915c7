/* Against a real agent: live ANCHOR STRANGERS-ANCHOR SOCKET PRODUCT
 * Prints one line of passes and one of latencies. */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "../license_agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef _WIN32
#include <windows.h>
#endif

static int passed, failed;
static la_verdict V;
static la_error E;

static void result(const char *name, int ok) {
    passed += ok != 0, failed += ok == 0;
    if (!ok) printf("FAILED live: %s: %s %s %s\n", name, E.code, E.cause, E.detail);
}

static char *load(const char *path, size_t *n) {
    char *b = malloc(1 << 20);
    FILE *f = fopen(path, "rb");
    *n = f ? fread(b, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    return b;
}

static double now_us(void) {
#ifdef _WIN32
    LARGE_INTEGER t, f;
    QueryPerformanceCounter(&t);
    QueryPerformanceFrequency(&f);
    return (double)t.QuadPart * 1e6 / (double)f.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
#endif
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, double *took, int n) {
    qsort(took, (size_t)n, sizeof *took, by_value);
    printf("%s p50 %.0f us, p99 %.0f us", name, took[n / 2], took[n * 99 / 100]);
}

/* Takes all seats, one too many, gives one back. Returns the median of taking and giving back. */
static double seats(license_agent *la, const char *product, int all) {
    static double took[200];
    la_seat *s[16], *other = NULL;
    char user[16];
    int ok = all > 1 && all <= 16;
    for (int i = 0; ok && i < all; i++) {
        snprintf(user, sizeof user, "user-%d", i);
        ok = la_seat_take(la, product, user, 0, &s[i], &V, &E) == LA_OK && la_seat_held(s[i], &E) == LA_OK;
    }
    result("seats: all taken", ok);
    if (!ok) return 0;
    result("seats: one more", la_seat_take(la, product, "one-more", 0, &other, &V, &E) == LA_REFUSED && strcmp(E.code, "seats-taken") == 0);
    result("seats: the same user again", la_seat_take(la, product, "user-0", 0, &other, &V, &E) == LA_OK);
    la_seat_free(other);
    la_seat_free(s[1]);
    result("seats: given back and taken by another", la_seat_take(la, product, "other", 2000, &other, &V, &E) == LA_OK);
    la_seat_free(other);
    la_seat_free(s[0]);
    for (int i = 2; i < all; i++) la_seat_free(s[i]);
    for (int i = 0; i < 200; i++) {
        double from = now_us();
        result("seats: again and again", la_seat_take(la, product, NULL, 2000, &other, &V, &E) == LA_OK);
        passed--; /* one case, not 200 */
        la_seat_free(other);
        took[i] = now_us() - from;
    }
    passed++;
    qsort(took, 200, sizeof *took, by_value);
    return took[100];
}

int main(int argc, char **argv) {
    static double took[2000];
    size_t size, strange;
    if (argc < 5) return 2;
    char *anchor = load(argv[1], &size), *stranger = load(argv[2], &strange);
    const char *product = argv[4];
    la_options o;
    uint64_t serial = 0;
    int changed = 0;
    memset(&o, 0, sizeof o);
    o.socket = argv[3];
    license_agent *la = la_new(anchor, size, &o, &E), *other = la_new(stranger, strange, &o, &E);
    if (!la || !other) return printf("FAILED live: %s %s\n", E.code, E.detail), 1;
    result("check", la_check(la, product, &V, &E) == LA_OK && V.runs && strcmp(V.phase, "active") == 0 && la_has(&V, "mesh"));
    result("unknown product", la_check(la, "no-such-product", &V, &E) == LA_REFUSED && strcmp(E.code, "not-activated") == 0);
    result("another vendor's anchor", la_check(other, product, &V, &E) == LA_UNTRUSTED);
    if (argc > 5) { /* the mirrored file */
        size_t n;
        char *file = load(argv[5], &n);
        result("files", la_check_files(la, product, file, n, &V, &E) == LA_OK && V.runs);
        result("files for another product", la_check_files(la, "other", file, n, &V, &E) == LA_UNTRUSTED);
        free(file);
    }
    result("verdict", la_check(la, product, &V, &E) == LA_OK);
    result("watch", la_watch(la, &serial, 1000, &changed, &E) == LA_OK && changed && serial > 0);
    la_free(other);
    double seat_us = seats(la, product, (int)V.seats);
    for (int i = 0; i < 200; i++) la_check(la, product, &V, &E);
    for (int i = 0; i < 2000; i++) {
        double from = now_us();
        la_check(la, product, &V, &E);
        took[i] = now_us() - from;
    }
    printf("c live: %d passed, %d failed\n", passed, failed);
#ifdef __VERSION__
    printf("c " __VERSION__ ": ");
#endif
    report("cached", took, 2000);
    for (int i = 0; i < 200; i++) {
        double from = now_us();
        license_agent *fresh = la_new(anchor, size, &o, &E);
        la_check(fresh, product, &V, &E);
        la_free(fresh);
        took[i] = now_us() - from;
    }
    report("; uncached", took, 200);
    printf("; seat p50 %.0f us", seat_us);
    printf("\n");
    la_free(la);
    free(anchor), free(stranger);
    return failed != 0;
}
