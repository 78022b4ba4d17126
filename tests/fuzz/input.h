/* A fuzzer's bytes, taken from the front; when none are left, zeros come. */
#ifndef INPUT_H
#define INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *p;
    size_t left;
} input;

static inline size_t input_bytes(input *in, uint8_t *out, size_t size) {
    size_t taken = size < in->left ? size : in->left;
    if (taken) memcpy(out, in->p, taken);
    in->p += taken;
    in->left -= taken;
    return taken;
}

static inline uint64_t input_number(input *in, size_t bytes) {
    uint8_t raw[8] = {0};
    uint64_t value = 0;
    input_bytes(in, raw, bytes);
    for (size_t i = 0; i < bytes; i++) value = value << 8 | raw[i];
    return value;
}

static inline uint8_t input_byte(input *in) { return (uint8_t)input_number(in, 1); }

/* Freed memory is used again soon: untouched pages cost more than the target does. Nor is it noted who took
 * what: only the harness does, a copy of each datagram. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=4:malloc_context_size=1"; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
