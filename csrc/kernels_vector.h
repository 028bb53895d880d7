/* kernels_vector.h: the vectors of doubles that kernels are written in, as wide as the instruction set of the
 * translation unit has them: AVX-512, AVX2, SSE2, two doubles by GCC's and Clang's extension, or one where nothing is
 * known (or PG_PLAIN_KERNELS is defined).
 *
 * Loads, stores, +, - and * lane by lane, selections, and a transposition: what gives the same bits whatever the width.
 * No fused multiply-add, no sum over lanes. vec_all_at: a number in memory in all lanes. vec_relu: 0 where x < 0, else
 * x, a nan and a negative zero as they are. A part of a vector is its first `count` >= 1 lanes; no memory behind it is
 * touched.
 */
#ifndef PG_KERNELS_VECTOR_H
#define PG_KERNELS_VECTOR_H

#include "kernels.h"

/* PG_WIDTH: doubles in a vec. PG_TILE: vectors that four rows of sums may be wide, so that they stay in registers. */
#if defined(PG_PLAIN_KERNELS)
#define PG_WIDTH 1
#elif defined(__AVX512F__)
#define PG_WIDTH 8
#define PG_TILE 4
#elif defined(__AVX2__)
#define PG_WIDTH 4
#define PG_TILE 2
#elif defined(__SSE2__) || defined(_M_X64)
#define PG_WIDTH 2
#define PG_TILE 2
#elif defined(__GNUC__) || defined(__clang__)
#define PG_WIDTH 2
#define PG_TILE 4
#define PG_VECTOR_EXTENSION
#else
#define PG_WIDTH 1
#endif

#if PG_WIDTH == 1

#define PG_TILE 4
typedef double vec;
PG_INLINE vec vec_load(const double *from) { return *from; }
PG_INLINE void vec_store(double *to, vec x) { *to = x; }
PG_INLINE vec vec_all(double x) { return x; }
PG_INLINE vec vec_all_at(const double *x) { return *x; }
PG_INLINE vec vec_add(vec x, vec y) { return x + y; }
PG_INLINE vec vec_sub(vec x, vec y) { return x - y; }
PG_INLINE vec vec_mul(vec x, vec y) { return x * y; }
PG_INLINE vec vec_relu(vec x) { return x < 0.0 ? 0.0 : x; }
PG_INLINE vec vec_where_positive(vec y, vec x) { return y > 0.0 ? x : 0.0; }
PG_INLINE vec vec_pick(const double *v, const uint32_t *at) { return v[at[0]]; }
PG_INLINE vec vec_load_part(const double *from, size_t count) { return count ? *from : 0.0; }
PG_INLINE void vec_store_part(double *to, size_t count, vec x) {
    if (count) *to = x;
}
PG_INLINE void vec_transpose(vec *x) { (void)x; }

#elif defined(PG_VECTOR_EXTENSION)

typedef double vec __attribute__((vector_size(16)));
typedef long long vec_bits __attribute__((vector_size(16)));
typedef double vec_anywhere __attribute__((vector_size(16), aligned(8), may_alias));
PG_INLINE vec vec_load(const double *from) { return *(const vec_anywhere *)from; }
PG_INLINE void vec_store(double *to, vec x) { *(vec_anywhere *)to = x; }
PG_INLINE vec vec_all(double x) { return (vec){x, x}; }
PG_INLINE vec vec_all_at(const double *x) { return (vec){*x, *x}; }
PG_INLINE vec vec_add(vec x, vec y) { return x + y; }
PG_INLINE vec vec_sub(vec x, vec y) { return x - y; }
PG_INLINE vec vec_mul(vec x, vec y) { return x * y; }
PG_INLINE vec vec_relu(vec x) { return (vec)((vec_bits)x & ~(x < (vec){0.0, 0.0})); }
PG_INLINE vec vec_where_positive(vec y, vec x) { return (vec)((vec_bits)x & (y > (vec){0.0, 0.0})); }
PG_INLINE vec vec_pick(const double *v, const uint32_t *at) { return (vec){v[at[0]], v[at[1]]}; }
PG_INLINE vec vec_load_part(const double *from, size_t count) {
    return count > 1 ? vec_load(from) : (vec){from[0], 0.0};
}
PG_INLINE void vec_store_part(double *to, size_t count, vec x) {
    to[0] = x[0];
    if (count > 1) to[1] = x[1];
}
PG_INLINE void vec_transpose(vec *x) {
    vec low = {x[0][0], x[1][0]}, high = {x[0][1], x[1][1]};
    x[0] = low, x[1] = high;
}

#else
#include <immintrin.h>
#include <string.h>

/* x[0] as an integer. Broadcast as such, it keeps off the pipes that multiply: on Zen 4, vbroadcastsd of a number in
 * memory costs a third of a product's time, and vpbroadcastq nothing. */
PG_INLINE long long vec_bits_at(const double *x) {
    long long bits;
    memcpy(&bits, x, sizeof bits);
    return bits;
}

#if PG_WIDTH == 8
typedef __m512d vec;
PG_INLINE vec vec_load(const double *from) { return _mm512_loadu_pd(from); }
PG_INLINE void vec_store(double *to, vec x) { _mm512_storeu_pd(to, x); }
PG_INLINE vec vec_all(double x) { return _mm512_set1_pd(x); }
PG_INLINE vec vec_all_at(const double *x) { return _mm512_castsi512_pd(_mm512_set1_epi64(vec_bits_at(x))); }
PG_INLINE vec vec_add(vec x, vec y) { return _mm512_add_pd(x, y); }
PG_INLINE vec vec_sub(vec x, vec y) { return _mm512_sub_pd(x, y); }
PG_INLINE vec vec_mul(vec x, vec y) { return _mm512_mul_pd(x, y); }
PG_INLINE vec vec_relu(vec x) { return _mm512_max_pd(_mm512_setzero_pd(), x); }
PG_INLINE vec vec_where_positive(vec y, vec x) {
    return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(y, _mm512_setzero_pd(), _CMP_GT_OQ), x);
}
PG_INLINE vec vec_pick(const double *v, const uint32_t *at) {
    return _mm512_set_pd(v[at[7]], v[at[6]], v[at[5]], v[at[4]], v[at[3]], v[at[2]], v[at[1]], v[at[0]]);
}
PG_INLINE __mmask8 vec_first(size_t count) { return (__mmask8)(count < 8 ? (1u << count) - 1u : 255u); }
PG_INLINE vec vec_load_part(const double *from, size_t count) { return _mm512_maskz_loadu_pd(vec_first(count), from); }
PG_INLINE void vec_store_part(double *to, size_t count, vec x) { _mm512_mask_storeu_pd(to, vec_first(count), x); }

/* x[i] lane j <-> x[j] lane i */
PG_INLINE void vec_transpose(vec *x) {
    vec even[4], odd[4]; /* columns 0 2 4 6, and 1 3 5 7, of two rows */
    for (int i = 0; i < 4; i++) {
        even[i] = _mm512_unpacklo_pd(x[2 * i], x[2 * i + 1]);
        odd[i] = _mm512_unpackhi_pd(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        const vec *rows = i ? odd : even;
        vec low = _mm512_shuffle_f64x2(rows[0], rows[1], 0x88), high = _mm512_shuffle_f64x2(rows[2], rows[3], 0x88);
        x[i] = _mm512_shuffle_f64x2(low, high, 0x88);
        x[i + 4] = _mm512_shuffle_f64x2(low, high, 0xdd);
        low = _mm512_shuffle_f64x2(rows[0], rows[1], 0xdd), high = _mm512_shuffle_f64x2(rows[2], rows[3], 0xdd);
        x[i + 2] = _mm512_shuffle_f64x2(low, high, 0x88);
        x[i + 6] = _mm512_shuffle_f64x2(low, high, 0xdd);
    }
}

#elif PG_WIDTH == 4
typedef __m256d vec;
PG_INLINE vec vec_load(const double *from) { return _mm256_loadu_pd(from); }
PG_INLINE void vec_store(double *to, vec x) { _mm256_storeu_pd(to, x); }
PG_INLINE vec vec_all(double x) { return _mm256_set1_pd(x); }
PG_INLINE vec vec_all_at(const double *x) { return _mm256_castsi256_pd(_mm256_set1_epi64x(vec_bits_at(x))); }
PG_INLINE vec vec_add(vec x, vec y) { return _mm256_add_pd(x, y); }
PG_INLINE vec vec_sub(vec x, vec y) { return _mm256_sub_pd(x, y); }
PG_INLINE vec vec_mul(vec x, vec y) { return _mm256_mul_pd(x, y); }
PG_INLINE vec vec_relu(vec x) { return _mm256_max_pd(_mm256_setzero_pd(), x); }
PG_INLINE vec vec_where_positive(vec y, vec x) {
    return _mm256_and_pd(_mm256_cmp_pd(y, _mm256_setzero_pd(), _CMP_GT_OQ), x);
}
PG_INLINE vec vec_pick(const double *v, const uint32_t *at) {
    return _mm256_set_pd(v[at[3]], v[at[2]], v[at[1]], v[at[0]]);
}
PG_INLINE vec vec_load_part(const double *from, size_t count) {
    static const long long first[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
    return _mm256_maskload_pd(from, _mm256_loadu_si256((const __m256i *)(first + (count < 4 ? 4 - count : 0))));
}
PG_INLINE void vec_store_part(double *to, size_t count, vec x) {
    __m128d pair = _mm256_castpd256_pd128(x);
    if (count >= 4) {
        vec_store(to, x);
        return;
    }
    if (count >= 2) {
        _mm_storeu_pd(to, pair);
        pair = _mm256_extractf128_pd(x, 1);
        to += 2;
    }
    if (count & 1) _mm_store_sd(to, pair);
}

PG_INLINE void vec_transpose(vec *x) {
    vec even0 = _mm256_unpacklo_pd(x[0], x[1]), even1 = _mm256_unpacklo_pd(x[2], x[3]);
    vec odd0 = _mm256_unpackhi_pd(x[0], x[1]), odd1 = _mm256_unpackhi_pd(x[2], x[3]);
    x[0] = _mm256_permute2f128_pd(even0, even1, 0x20);
    x[1] = _mm256_permute2f128_pd(odd0, odd1, 0x20);
    x[2] = _mm256_permute2f128_pd(even0, even1, 0x31);
    x[3] = _mm256_permute2f128_pd(odd0, odd1, 0x31);
}

#else
typedef __m128d vec;
PG_INLINE vec vec_load(const double *from) { return _mm_loadu_pd(from); }
PG_INLINE void vec_store(double *to, vec x) { _mm_storeu_pd(to, x); }
PG_INLINE vec vec_all(double x) { return _mm_set1_pd(x); }
PG_INLINE vec vec_all_at(const double *x) { return _mm_load1_pd(x); }
PG_INLINE vec vec_add(vec x, vec y) { return _mm_add_pd(x, y); }
PG_INLINE vec vec_sub(vec x, vec y) { return _mm_sub_pd(x, y); }
PG_INLINE vec vec_mul(vec x, vec y) { return _mm_mul_pd(x, y); }
PG_INLINE vec vec_relu(vec x) { return _mm_max_pd(_mm_setzero_pd(), x); }
PG_INLINE vec vec_where_positive(vec y, vec x) { return _mm_and_pd(_mm_cmpgt_pd(y, _mm_setzero_pd()), x); }
PG_INLINE vec vec_pick(const double *v, const uint32_t *at) { return _mm_set_pd(v[at[1]], v[at[0]]); }
PG_INLINE vec vec_load_part(const double *from, size_t count) {
    return count > 1 ? _mm_loadu_pd(from) : _mm_load_sd(from);
}
PG_INLINE void vec_store_part(double *to, size_t count, vec x) {
    if (count > 1)
        _mm_storeu_pd(to, x);
    else
        _mm_store_sd(to, x);
}

PG_INLINE void vec_transpose(vec *x) {
    vec low = _mm_unpacklo_pd(x[0], x[1]), high = _mm_unpackhi_pd(x[0], x[1]);
    x[0] = low, x[1] = high;
}
#endif
#endif

/* Before a loop with a constant number of turns over sums that are to stay in registers. */
#if defined(__GNUC__) || defined(__clang__)
#define PG_UNROLL _Pragma("GCC unroll 8")
#else
#define PG_UNROLL
#endif

/* x, loaded here and now: GCC would rather load it once more for each use. */
PG_INLINE vec vec_kept(vec x) {
#if defined(__GNUC__) && PG_WIDTH == 8
    __asm__("" : "+v"(x));
#endif
    return x;
}

/* PG_WIDTH numbers of v, wherever they are; or `count` < PG_WIDTH of them, and zeros. */
PG_INLINE vec vec_gather(const double *v, const uint32_t *at, size_t count) {
    if (count >= PG_WIDTH) return vec_pick(v, at);
    double x[PG_WIDTH] = {0.0};
    for (size_t i = 0; i < count; i++) x[i] = v[at[i]];
    return vec_load(x);
}

PG_INLINE void vec_scatter(double *v, const uint32_t *at, size_t count, vec numbers) {
    double x[PG_WIDTH];
    vec_store(x, numbers);
    for (size_t i = 0; i < PG_WIDTH && i < count; i++) v[at[i]] = x[i];
}

/* `whole` things in as few parts of at most `most` as there can be, all about as large: the size of the part at the
 * front when so many are left. */
static inline size_t part_of(size_t whole, size_t most) {
    size_t parts = (whole + most - 1) / most;
    return (whole + parts - 1) / parts;
}

/* The same once for all parts: those that begin before `larger` have `size` things, the others one less. */
typedef struct {
    size_t size, larger;
} parts;
static inline parts parts_of(size_t whole, size_t most) {
    size_t count = (whole + most - 1) / most, size = count ? (whole + count - 1) / count : 0;
    return (parts){size, size * (whole - count * (size - !!size))};
}

#endif
