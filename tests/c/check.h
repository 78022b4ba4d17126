/* What the C tests are written with: a check that fails names its place and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char *check_running; /* the behaviour under test */

#define RUN(behaviour)                                                                                       \
    do {                                                                                                     \
        check_running = #behaviour;                                                                          \
        behaviour();                                                                                         \
    } while (0)

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) check_failed(__FILE__, __LINE__, #condition);                                      \
    } while (0)

#define CHECK_EQUAL(got, expected) check_equal(__FILE__, __LINE__, #got, (int64_t)(got), (int64_t)(expected))

#define CHECK_BYTES(got, expected, size) check_bytes(__FILE__, __LINE__, #got, (got), (expected), (size))

__attribute__((noreturn)) void check_failed(const char *file, int line, const char *what);
void check_equal(const char *file, int line, const char *what, int64_t got, int64_t expected);
void check_bytes(const char *file, int line, const char *what, const void *got, const void *expected,
                 size_t size);

/* Hexadecimal digits to bytes, for vectors as they are published. */
void check_from_hex(const char *digits, uint8_t *out, size_t size);

#endif
