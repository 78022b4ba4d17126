#include "crc32.h"

/* ---- everywhere: slicing-by-16 ---- */

#define POLYNOMIAL 0xedb88320u /* 0x04c11db7 with its bits reversed */

static uint32_t slices[16][256];

static void fill_slices(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        slices[0][i] = crc;
    }
    for (int s = 1; s < 16; s++)
        for (int i = 0; i < 256; i++)
            slices[s][i] = slices[s - 1][i] >> 8 ^ slices[0][slices[s - 1][i] & 0xff];
}

static uint32_t little32(const uint8_t *p) {
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static uint32_t slice_word(uint32_t word, int first) {
    return slices[first][word & 0xff] ^ slices[first - 1][word >> 8 & 0xff] ^
           slices[first - 2][word >> 16 & 0xff] ^ slices[first - 3][word >> 24];
}

static uint32_t update_portable(uint32_t crc, const uint8_t *p, size_t size) {
    for (; size >= 16; p += 16, size -= 16)
        crc = slice_word(crc ^ little32(p), 15) ^ slice_word(little32(p + 4), 11) ^
              slice_word(little32(p + 8), 7) ^ slice_word(little32(p + 12), 3);
    for (; size; p++, size--) crc = crc >> 8 ^ slices[0][(crc ^ *p) & 0xff];
    return crc;
}

/* ---- x86: fold 64 bytes at a time with carry-less multiplication ----
 * Constants are x^n mod P, bit-reflected, for the distances folded over (Gopal et al., "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction"). */

#if defined(__x86_64__)
#include <immintrin.h>

#define CLMUL __attribute__((target("pclmul,sse4.1")))

CLMUL static inline __m128i fold(__m128i x, __m128i next, __m128i k) {
    __m128i low = _mm_clmulepi64_si128(x, k, 0x00), high = _mm_clmulepi64_si128(x, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

CLMUL static inline __m128i load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 128 bits to 32: two folds, then Barrett. */
CLMUL static uint32_t reduce(__m128i x) {
    const __m128i k3k4 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    const __m128i k5 = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i low32 = _mm_set_epi32(0, -1, 0, -1);
    __m128i t = _mm_xor_si128(_mm_clmulepi64_si128(x, k3k4, 0x10), _mm_srli_si128(x, 8));
    t = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(t, low32), k5, 0x00), _mm_srli_si128(t, 4));
    __m128i q = _mm_clmulepi64_si128(_mm_and_si128(t, low32), barrett, 0x10);
    q = _mm_clmulepi64_si128(_mm_and_si128(q, low32), barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(t, q), 1);
}

CLMUL static uint32_t update_clmul(uint32_t crc, const uint8_t *p, size_t size) {
    if (size < 64) return update_portable(crc, p, size);
    const __m128i k1k2 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i k3k4 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)crc));
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64) {
        a = fold(a, load(p), k1k2);
        b = fold(b, load(p + 16), k1k2);
        c = fold(c, load(p + 32), k1k2);
        d = fold(d, load(p + 48), k1k2);
    }
    a = fold(fold(fold(a, b, k3k4), c, k3k4), d, k3k4);
    for (; size >= 16; p += 16, size -= 16) a = fold(a, load(p), k3k4);
    return update_portable(reduce(a), p, size);
}

static int have_clmul(void) { return __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1"); }
#else
static uint32_t update_clmul(uint32_t crc, const uint8_t *p, size_t size) {
    return update_portable(crc, p, size);
}

static int have_clmul(void) { return 0; }
#endif

/* ---- the choice, made once when the library is loaded ---- */

static int accelerated;

__attribute__((constructor)) static void choose(void) {
    fill_slices();
    accelerated = have_clmul();
}

uint32_t rp_crc32(const uint8_t *data, size_t size) {
    return ~(accelerated ? update_clmul(~0u, data, size) : update_portable(~0u, data, size));
}

uint32_t rp_crc32_portable(const uint8_t *data, size_t size) { return ~update_portable(~0u, data, size); }

int rp_crc32_accelerated(void) { return accelerated; }
