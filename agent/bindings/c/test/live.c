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
    result("watch", la_watch(la, &serial, 1000, &changed, &E) == LA_OK && changed && serial > 0);
    la_free(other);
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
    printf("\n");
    la_free(la);
    free(anchor), free(stranger);
    return failed != 0;
}
