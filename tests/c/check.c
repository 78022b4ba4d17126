#include "check.h"

const char *check_running = "a fuzz target";

void check_failed(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s: not so: %s\n", file, line, check_running, what);
    exit(1);
}

void check_equal(const char *file, int line, const char *what, int64_t got, int64_t expected) {
    if (got == expected) return;
    fprintf(stderr, "%s:%d: %s: %s is %" PRId64 " (0x%" PRIx64 "), not %" PRId64 " (0x%" PRIx64 ")\n", file,
            line, check_running, what, got, (uint64_t)got, expected, (uint64_t)expected);
    exit(1);
}

void check_bytes(const char *file, int line, const char *what, const void *got, const void *expected,
                 size_t size) {
    const uint8_t *a = got, *b = expected;
    if (!size || memcmp(a, b, size) == 0) return;
    for (size_t i = 0; i < size; i++) {
        if (a[i] == b[i]) continue;
        fprintf(stderr, "%s:%d: %s: byte %zu of %s is %02x, not %02x\n", file, line, check_running, i, what,
                a[i], b[i]);
        exit(1);
    }
}

static uint8_t digit(char c) { return (uint8_t)(c >= 'a' ? c - 'a' + 10 : c - '0'); }

void check_from_hex(const char *digits, uint8_t *out, size_t size) {
    CHECK(strlen(digits) == 2 * size);
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]));
}
