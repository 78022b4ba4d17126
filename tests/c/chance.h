/* Random choices that are the same in every run (splitmix64). */
#ifndef CHANCE_H
#define CHANCE_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} chance;

static inline uint64_t chance_next(chance *c) {
    uint64_t z = c->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline uint64_t chance_below(chance *c, uint64_t limit) { return chance_next(c) % limit; }

static inline void chance_fill(chance *c, uint8_t *out, size_t size) {
    for (size_t i = 0; i < size; i++) out[i] = (uint8_t)chance_next(c);
}

#endif
