#include "crc32.h"

#include <stdbool.h>

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

static uint32_t update_tables(uint32_t crc, const uint8_t *p, size_t size) {
    for (; size >= 16; p += 16, size -= 16)
        crc = slice_word(crc ^ little32(p), 15) ^ slice_word(little32(p + 4), 11) ^
              slice_word(little32(p + 8), 7) ^ slice_word(little32(p + 12), 3);
    for (; size; p++, size--) crc = crc >> 8 ^ slices[0][(crc ^ *p) & 0xff];
    return crc;
}

/* ---- x86: fold blocks of 16 bytes, or two or four side by side, with carry-less multiplication ----
 * Constants are x^n mod P, bit-reflected, for the distances folded over (Gopal et al., "Fast CRC
 * Computation for Generic Polynomials Using PCLMULQDQ Instruction"): of each pair the upper is for the
 * distance in bits less 32, the lower for that plus 32. */

#if defined(__x86_64__)
#include <immintrin.h>

#define CLMUL __attribute__((target("pclmul,sse4.1")))
#define TWO __attribute__((target("pclmul,sse4.1,avx2,vpclmulqdq")))
#define FOUR __attribute__((target("pclmul,sse4.1,avx512f,avx512vl,vpclmulqdq")))

#define FOLD_128 0x0ccaa009e, 0x1751997d0
#define FOLD_256 0x15a546366, 0x0f1da05aa
#define FOLD_384 0x174359406, 0x03db1ecdc
#define FOLD_512 0x1c6e41596, 0x154442bd4
#define FOLD_1024 0x14a7fe880, 0x1e88ef372
#define FOLD_2048 0x1322d1430, 0x11542778a

CLMUL static inline __m128i fold(__m128i x, __m128i next, __m128i k) {
    __m128i low = _mm_clmulepi64_si128(x, k, 0x00), high = _mm_clmulepi64_si128(x, k, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

CLMUL static inline __m128i load(const uint8_t *p) {
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

/* 128 bits to 32: two folds, then Barrett. */
CLMUL static inline uint32_t reduce(__m128i x) {
    const __m128i fold_128 = _mm_set_epi64x(FOLD_128);
    const __m128i k5 = _mm_set_epi64x(0, 0x163cd6124);
    const __m128i barrett = _mm_set_epi64x(0x1f7011641, 0x1db710641);
    const __m128i low32 = _mm_set_epi32(0, -1, 0, -1);
    __m128i t = _mm_xor_si128(_mm_clmulepi64_si128(x, fold_128, 0x10), _mm_srli_si128(x, 8));
    t = _mm_xor_si128(_mm_clmulepi64_si128(_mm_and_si128(t, low32), k5, 0x00), _mm_srli_si128(t, 4));
    __m128i q = _mm_clmulepi64_si128(_mm_and_si128(t, low32), barrett, 0x10);
    q = _mm_clmulepi64_si128(_mm_and_si128(q, low32), barrett, 0x00);
    return (uint32_t)_mm_extract_epi32(_mm_xor_si128(t, q), 1);
}

/* The last bytes, when at least 16 have gone before: the folded block and what is left, up to 15 bytes,
 * are cut anew into a short block and a whole one. */
CLMUL static inline uint32_t finish(__m128i a, const uint8_t *p, size_t size) {
    static const uint8_t slide[48] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x80, 0,    1,    2,    3,    4,    5,    6,    7,
                                      8,    9,    10,   11,   12,   13,   14,   15,   0x80, 0x80, 0x80, 0x80,
                                      0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80};
    const __m128i fold_128 = _mm_set_epi64x(FOLD_128);
    for (; size >= 16; p += 16, size -= 16) a = fold(a, load(p), fold_128);
    if (!size) return reduce(a);
    __m128i first = _mm_shuffle_epi8(a, load(slide + size)), up = load(slide + 16 + size);
    __m128i second = _mm_blendv_epi8(_mm_shuffle_epi8(a, up), load(p + size - 16), up);
    return reduce(fold(first, second, fold_128));
}

CLMUL static uint32_t update_folding(uint32_t crc, const uint8_t *p, size_t size) {
    if (size < 16) return update_tables(crc, p, size);
    __m128i a = _mm_xor_si128(load(p), _mm_cvtsi32_si128((int)crc));
    if (size < 64) return finish(a, p + 16, size - 16);
    const __m128i fold_512 = _mm_set_epi64x(FOLD_512), fold_128 = _mm_set_epi64x(FOLD_128);
    __m128i b = load(p + 16), c = load(p + 32), d = load(p + 48);
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64) {
        a = fold(a, load(p), fold_512);
        b = fold(b, load(p + 16), fold_512);
        c = fold(c, load(p + 32), fold_512);
        d = fold(d, load(p + 48), fold_512);
    }
    return finish(fold(fold(fold(a, b, fold_128), c, fold_128), d, fold_128), p, size);
}

TWO static inline __m256i load_two(const uint8_t *p) {
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

TWO static inline __m256i fold_two(__m256i x, __m256i next, __m256i k) {
    __m256i low = _mm256_clmulepi64_epi128(x, k, 0x00), high = _mm256_clmulepi64_epi128(x, k, 0x11);
    return _mm256_xor_si256(_mm256_xor_si256(low, high), next);
}

TWO static uint32_t update_folding_two(uint32_t crc, const uint8_t *p, size_t size) {
    if (size < 128) return update_folding(crc, p, size);
    const __m256i fold_1024 = _mm256_broadcastsi128_si256(_mm_set_epi64x(FOLD_1024));
    const __m256i fold_256 = _mm256_broadcastsi128_si256(_mm_set_epi64x(FOLD_256));
    __m256i a = _mm256_xor_si256(load_two(p), _mm256_zextsi128_si256(_mm_cvtsi32_si128((int)crc)));
    __m256i b = load_two(p + 32), c = load_two(p + 64), d = load_two(p + 96);
    for (p += 128, size -= 128; size >= 128; p += 128, size -= 128) {
        a = fold_two(a, load_two(p), fold_1024);
        b = fold_two(b, load_two(p + 32), fold_1024);
        c = fold_two(c, load_two(p + 64), fold_1024);
        d = fold_two(d, load_two(p + 96), fold_1024);
    }
    a = fold_two(fold_two(fold_two(a, b, fold_256), c, fold_256), d, fold_256);
    for (; size >= 32; p += 32, size -= 32) a = fold_two(a, load_two(p), fold_256);
    __m128i first = _mm256_castsi256_si128(a), second = _mm256_extracti128_si256(a, 1);
    return finish(fold(first, second, _mm_set_epi64x(FOLD_128)), p, size);
}

FOUR static inline __m512i load_four(const uint8_t *p) { return _mm512_loadu_si512((const void *)p); }

FOUR static inline __m512i fold_four(__m512i x, __m512i next, __m512i k) {
    enum { XOR_OF_THREE = 0x96 };
    __m512i low = _mm512_clmulepi64_epi128(x, k, 0x00), high = _mm512_clmulepi64_epi128(x, k, 0x11);
    return _mm512_ternarylogic_epi64(low, high, next, XOR_OF_THREE);
}

FOUR static uint32_t update_folding_four(uint32_t crc, const uint8_t *p, size_t size) {
    if (size < 256) return update_folding(crc, p, size);
    const __m512i fold_2048 = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_2048));
    const __m512i fold_512 = _mm512_broadcast_i32x4(_mm_set_epi64x(FOLD_512));
    __m512i a = _mm512_xor_si512(load_four(p), _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
    __m512i b = load_four(p + 64), c = load_four(p + 128), d = load_four(p + 192);
    for (p += 256, size -= 256; size >= 256; p += 256, size -= 256) {
        a = fold_four(a, load_four(p), fold_2048);
        b = fold_four(b, load_four(p + 64), fold_2048);
        c = fold_four(c, load_four(p + 128), fold_2048);
        d = fold_four(d, load_four(p + 192), fold_2048);
    }
    a = fold_four(fold_four(fold_four(a, b, fold_512), c, fold_512), d, fold_512);
    for (; size >= 64; p += 64, size -= 64) a = fold_four(a, load_four(p), fold_512);
    __m128i x =
        fold(_mm512_extracti32x4_epi32(a, 0), _mm512_extracti32x4_epi32(a, 3), _mm_set_epi64x(FOLD_384));
    x = fold(_mm512_extracti32x4_epi32(a, 1), x, _mm_set_epi64x(FOLD_256));
    x = fold(_mm512_extracti32x4_epi32(a, 2), x, _mm_set_epi64x(FOLD_128));
    return finish(x, p, size);
}

static int best_method(void) {
    if (!__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("sse4.1")) return RP_CRC_TABLES;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("vpclmulqdq")) return RP_CRC_FOLDING;
    bool four = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl");
    return four ? RP_CRC_FOLDING_FOUR : RP_CRC_FOLDING_TWO;
}
#else
#define update_folding update_tables
#define update_folding_two update_tables
#define update_folding_four update_tables

static int best_method(void) { return RP_CRC_TABLES; }
#endif

/* ---- the choice, made once when the library is loaded ---- */

static int method;

__attribute__((constructor)) static void choose(void) {
    fill_slices();
    method = best_method();
}

uint32_t rp_crc32_by(int how, const uint8_t *data, size_t size) {
    if (how > method) how = method;
    if (how == RP_CRC_FOLDING_FOUR) return ~update_folding_four(~0u, data, size);
    if (how == RP_CRC_FOLDING_TWO) return ~update_folding_two(~0u, data, size);
    if (how == RP_CRC_FOLDING) return ~update_folding(~0u, data, size);
    return ~update_tables(~0u, data, size);
}

uint32_t rp_crc32(const uint8_t *data, size_t size) { return rp_crc32_by(method, data, size); }

int rp_crc32_method(void) { return method; }
