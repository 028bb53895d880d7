/* vmath.h: exp, expm1, log, tanh, sigmoid, softplus, erf and small powers, in a form that compilers vectorise.
 *
 * No branches, no tables, no fused multiply-add: selections, additions of magic numbers, and bits. So every instruction
 * set computes the same operations, hence the same bits (with -ffp-contract=off). All are right at nan, infinities,
 * zeros and their signs, at overflow and in gradual underflow; errno and the flags of the floating-point unit are not
 * set. At most 2 ulp from the true value (pv_erfc aside); benchmarks/vector_math.py measures it against mpmath.
 * Not here: sin, cos and pow (libm's serve), and rounding modes other than to nearest.
 *
 * Coefficients are minimax: the Remez exchange algorithm at 50 digits (mpmath), the error weighted to be that of the
 * function's result, then rounded to double. The relative error of each is given as a power of two.
 */
#ifndef PG_VMATH_H
#define PG_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* A loop is vectorised only if what it calls is inlined. */
#if defined(__GNUC__) || defined(__clang__)
#define PV_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define PV_INLINE __forceinline
#else
#define PV_INLINE inline
#endif

static PV_INLINE uint64_t pv_bits(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static PV_INLINE double pv_double(uint64_t bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* x with the sign of s. */
static PV_INLINE double pv_signed(double x, double s) {
    const uint64_t sign = UINT64_C(1) << 63;
    return pv_double((pv_bits(x) & ~sign) | (pv_bits(s) & sign));
}

/* Adding it rounds a number below 2**51 to an integer, which then stands in the low bits. */
#define PV_MAGIC 0x1.8p52
/* ln 2 in two parts: 42 bits, so that a product with an integer below 2**11 is exact; and the rest. */
#define PV_LN2_HI 0x1.62e42fefa3800p-1
#define PV_LN2_LO 0x1.ef35793c76730p-45
#define PV_LOG2_E 0x1.71547652b82fep+0

static PV_INLINE double pv_round(double x) { return (x + PV_MAGIC) - PV_MAGIC; }

/* 2**n for an integer -1022 <= n <= 1023: n, biased, becomes the exponent. Some number for others. */
static PV_INLINE double pv_power_of_two(double n) { return pv_double(pv_bits(n + (PV_MAGIC + 1023.0)) << 52); }

/* ---- exp ---- */

/* exp(x + lo) = 2**n * exp(r + c), |lo| < 2**-10, |r| <= ln(2) / 2, c the error of r: the reduction of W. Cody and
 * W. Waite, Software Manual for the Elementary Functions (1980), chapter 6. exp(r + c) = 1 + (r + tail). */
typedef struct {
    double n, r, tail;
} pv_reduced;

static PV_INLINE pv_reduced pv_reduce(double x, double lo) {
    double n = pv_round(x * PV_LOG2_E);
    double r0 = x - n * PV_LN2_HI; /* exact */
    double low = n * PV_LN2_LO - lo;
    double r = r0 - low;
    double c = (r0 - r) - low;
    /* (exp(r) - 1 - r) / r**2, |r| <= 0.347: 2**-57.9. In Estrin's order, for the sake of the latency */
    double r2 = r * r;
    double r4 = r2 * r2;
    double p01 = 0x1.000000000000cp-1 + r * 0x1.5555555555561p-3;
    double p23 = 0x1.555555554ff6bp-5 + r * 0x1.111111110d5b2p-7;
    double p45 = 0x1.6c16c185d3bdep-10 + r * 0x1.a01a01bb105e7p-13;
    double p67 = 0x1.a0199617d5ce3p-16 + r * 0x1.71dddf6428a0ep-19;
    double p89 = 0x1.28b0beb170630p-22 + r * 0x1.af862d23fa071p-26;
    double q = (p01 + r2 * p23) + r4 * ((p45 + r2 * p67) + r4 * p89);
    return (pv_reduced){n, r, c + r2 * q};
}

/* exp(x) = (hi + lo) * a * b, with hi the nearest double; a and b are powers of two, hi * a is exact. */
typedef struct {
    double hi, lo, a, b;
} pv_exponential;

static PV_INLINE pv_exponential pv_exp_parts(double x) {
    double bounded = x > 710.0 ? 710.0 : x; /* exp(710) is infinite, exp(-746) is 0; nan stays nan */
    bounded = bounded < -746.0 ? -746.0 : bounded;
    pv_reduced e = pv_reduce(bounded, 0.0);
    double half = pv_round(0.5 * e.n);
    double s = 1.0 + e.r;
    double rest = ((1.0 - s) + e.r) + e.tail; /* what 1 + r lost: exact */
    double hi = s + rest;
    return (pv_exponential){hi, (s - hi) + rest, pv_power_of_two(half), pv_power_of_two(e.n - half)};
}

static PV_INLINE double pv_exp(double x) {
    pv_exponential e = pv_exp_parts(x);
    return (e.hi * e.a) * e.b; /* only the last product is inexact, where the result is denormal or infinite */
}

/* For x <= 0, all that elu asks for; some number for others. */
static PV_INLINE double pv_expm1(double x) {
    pv_reduced e = pv_reduce(x < -40.0 ? -40.0 : x, 0.0); /* -1 from -37.5 on */
    double scale = pv_power_of_two(e.n);
    double a = scale - 1.0;
    double b = scale * e.r;
    double s = a + b;
    double rest = (a - s) + b;
    return pv_signed(s + (rest + scale * e.tail), x);
}

/* ---- log ---- */

/* k * ln(2) + log(1 + f) + lo, for |f| < 0.4143 and a small lo. With s = f / (2 + f), log(1 + f) = 2 atanh(s),
 * arranged so that the leading term is f itself, f - (f**2/2 - s * (f**2/2 + R(s**2))): the identity that fdlibm's log
 * (1993) has. */
static PV_INLINE double pv_log_parts(double k, double f, double lo) {
    double square = 0.5 * (f * f);
    double s = f / (2.0 + f);
    double z = s * s;
    /* (2 atanh(s) - 2 s) / s**3 over z = s**2, z <= 0.0295: 2**-59.4 */
    double z2 = z * z;
    double p01 = 0x1.5555555555592p-1 + z * 0x1.999999997fd7fp-2;
    double p23 = 0x1.24924941f498ap-2 + z * 0x1.c71c52064dfddp-3;
    double p45 = 0x1.74663f9550ba2p-3 + z * 0x1.39a1a824137c5p-3;
    double p = p01 + z2 * (p23 + z2 * (p45 + z2 * 0x1.2f0629a0a6d20p-3));
    double rest = s * (square + z * p) + (k * PV_LN2_LO + lo);
    return k * PV_LN2_HI - ((square - rest) - f);
}

static PV_INLINE double pv_log(double x) {
    const uint64_t root_half = UINT64_C(0x3fe6a09e667f3bcd), one = UINT64_C(0x3ff) << 52; /* of sqrt(1/2) and 1.0 */
    double denormal = x < 0x1p-1022 ? 0x1p54 : 1.0;
    double correction = x < 0x1p-1022 ? 54.0 : 0.0;
    /* x = 2**k * m, sqrt(1/2) <= m < sqrt(2): the exponent is read off after a shift of the whole number */
    uint64_t shifted = pv_bits(x * denormal) + (one - root_half);
    double k = pv_double((shifted >> 52) | pv_bits(0x1p52)) - (0x1p52 + 1023.0);
    double m = pv_double((shifted & ((UINT64_C(1) << 52) - 1)) + root_half);
    double y = pv_log_parts(k - correction, m - 1.0, 0.0);
    y = x < INFINITY ? y : x; /* inf and nan are themselves */
    y = x < 0.0 ? NAN : y;
    return x == 0.0 ? -INFINITY : y;
}

/* log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|)). 1 + e is 1 + f, or 2 * (1 + f) if above sqrt(2); f is exact. */
static PV_INLINE double pv_softplus(double x) {
    pv_exponential parts = pv_exp_parts(-fabs(x));
    double e = (parts.hi * parts.a) * parts.b;
    double lo = (parts.lo * parts.a) * parts.b;
    double f = e > 0x1.a827999fcef32p-2 ? 0.5 * (e - 1.0) : e;
    double k = e > 0x1.a827999fcef32p-2 ? 1.0 : 0.0;
    /* the error of e, times log1p's derivative 1 / (1 + e), roughly */
    double y = pv_log_parts(k, f, lo * (1.0 - 0.5 * e));
    return (x > 0.0 ? x : 0.0) + y;
}

/* ---- sigmoid, tanh ---- */

/* 1 / (1 + e) or e / (1 + e), e = exp(-|x|): neither overflows. Then one correction for what e and 1 + e lost. */
static PV_INLINE double pv_sigmoid(double x) {
    pv_exponential parts = pv_exp_parts(-fabs(x));
    double e = (parts.hi * parts.a) * parts.b;
    double lo = (parts.lo * parts.a) * parts.b;
    double sum = 1.0 + e;
    double sum_lo = ((1.0 - sum) + e) + lo;
    double y = (x < 0.0 ? e : 1.0) / sum;
    double reciprocal = x < 0.0 ? 1.0 - y : y;
    return y + ((x < 0.0 ? lo : 0.0) - y * sum_lo) * reciprocal;
}

/* x + x**3 * P(x**2) / Q(x**2) for |x| < 0.625, a form of Cody and Waite's, chapter 13, with coefficients that
 * interpolate (tanh(x)/x - 1) / x**2 at the Chebyshev nodes: 2**-59. Else 1 - 2 / (exp(2x) + 1). One division for both.
 */
static PV_INLINE double pv_tanh(double x) {
    double a = fabs(x);
    double z = a * a;
    double p = -0x1.937c3e9ef0071p+10 + z * (-0x1.8d019e1c5db71p+6 + z * -0x1.edc3dfbe1571ep-1);
    double q = 0x1.2e9d2ef734055p+12 + z * (0x1.174f7f986bfe5p+11 + z * (0x1.c31711cfcd676p+6 + z));
    pv_reduced e = pv_reduce(2.0 * (a > 20.0 ? 20.0 : a), 0.0); /* tanh(20) is 1 */
    double power = pv_power_of_two(e.n) * (1.0 + (e.r + e.tail));
    double y = (a < 0.625 ? a * z * p : -2.0) / (a < 0.625 ? q : power + 1.0);
    return pv_signed((a < 0.625 ? a : 1.0) + y, x);
}

/* ---- erf, erfc ---- */

#define PV_EITHER(inner, outer) (inside ? (inner) : (outer))

/* Coefficients of the polynomials of erf and erfc, from the constant on: P, G and F below. */
static const double pv_erf_p[] = {
    0x1.06eba8214db68p-3, -0x1.812746b0379bdp-2, 0x1.ce2f21a040d16p-4, -0x1.b82ce311fa950p-6,
    0x1.565bccf92b527p-8, -0x1.c02db03ddbea4p-11, 0x1.f9a2baa9682eep-14, -0x1.f4ca4d75095a9p-17,
    0x1.b97fd40dfeb8ap-20, -0x1.5c07281710334p-23, 0x1.d71b166e902ebp-27, -0x1.abae5d45aca21p-31};
static const double pv_erf_g[] = {
    0x1.b5d8780f956b2p-2, 0x1.3fbc72388dc26p-2, 0x1.cc74cc7189aa9p-4, 0x1.d388f684b095ep-6,
    0x1.3c26fd010b3a0p-8, 0x1.bf19af3998ea7p-12, -0x1.984ed0a47c82cp-17, -0x1.bc8a865a7e854p-18,
    -0x1.88aefa8367d2bp-24, 0x1.e005c64f5c299p-24, 0x1.133bb017af7a7p-28, -0x1.781f489b653ffp-30};
static const double pv_erfc_f[] = {
    0x1.c57239e943d1ap-1, 0x1.eb2c5e8ccc2b3p-1, 0x1.ca7dc9a16130dp-1, 0x1.66ea393501979p-1,
    0x1.bf93f1655e9b4p-2, 0x1.88b2c7bd3c9d9p-3, 0x1.0bfeb7aa7e091p-5, -0x1.af4cc8531c61ep-6,
    -0x1.5b8375038aa71p-6, -0x1.29fad5da52905p-10, 0x1.a1e9c31ad7923p-8, 0x1.2b6e923ba651bp-9,
    -0x1.dd9e65e1730afp-10, -0x1.47911658f5ccfp-10, 0x1.39055f316f890p-11, 0x1.366cceb1c7f73p-11,
    -0x1.16486d6e5b1dbp-12, -0x1.d367ce2d3faf4p-13, 0x1.21d80888493e3p-13};

/* The coefficients i and i + 1 of one polynomial or the other, as a polynomial of the first degree. */
#define PV_PAIR(outer, i) (PV_EITHER(pv_erf_p[i], outer[i]) + t * PV_EITHER(pv_erf_p[i + 1], outer[i + 1]))

/* x + x * P(x**2) for |x| < 1, P(z) = erf(x)/x - 1: 2**-56.9. Else 1 - exp(-x**2) * G(v), where exp(x**2) * erfc(x)
 * is a smooth function G of v = 14 / (x + 3) - 3.5: 2**-57 of the result for |x| <= 6, and erf(6) is 1. One polynomial
 * for both, whose coefficients are selected. */
static PV_INLINE double pv_erf(double x) {
    double a = fabs(x);
    a = a > 6.0 ? 6.0 : a;
    const int inside = a < 1.0;
    double z = a * a;
    double t = PV_EITHER(z, 14.0 / (a + 3.0) - 3.5);
    double t2 = t * t;
    double t4 = t2 * t2;
    double p01 = PV_PAIR(pv_erf_g, 0);
    double p23 = PV_PAIR(pv_erf_g, 2);
    double p45 = PV_PAIR(pv_erf_g, 4);
    double p67 = PV_PAIR(pv_erf_g, 6);
    double p89 = PV_PAIR(pv_erf_g, 8);
    double pab = PV_PAIR(pv_erf_g, 10);
    double p = ((p01 + t2 * p23) + t4 * (p45 + t2 * p67)) + (t4 * t4) * (p89 + t2 * pab);
    pv_reduced e = pv_reduce(-z, 0.0);
    double power = pv_power_of_two(e.n) * (1.0 + (e.r + e.tail));
    return pv_signed(PV_EITHER(a, 1.0) + PV_EITHER(a, -power) * p, x);
}

/* 1 - erf(x) for |x| < 0.875, with pv_erf's P. Else exp(-x**2) * F(v) / (x + 3), or 2 less that for a negative x: F
 * is exp(x**2) * erfc(x) * (x + 3), smooth in v = 4 / (x + 3) - 0.5, 2**-55.8 for |x| <= 28; and erfc(28) is 0. Only
 * for gelu, whose argument x / sqrt(2) has cost it x**2 ulps already: this is within 6 ulp, not 2. */
static PV_INLINE double pv_erfc(double x) {
    double a = fabs(x);
    a = a > 28.0 ? 28.0 : a;
    const int inside = a < 0.875;
    double head = pv_double(pv_bits(a) & ~((UINT64_C(1) << 27) - 1)); /* its square is exact */
    double square = head * head, square_lo = (a - head) * (a + head);
    double w = 1.0 / (a + 3.0);
    double t = PV_EITHER(a * a, 4.0 * w - 0.5);
    double t2 = t * t;
    double t4 = t2 * t2;
    double p01 = PV_PAIR(pv_erfc_f, 0);
    double p23 = PV_PAIR(pv_erfc_f, 2);
    double p45 = PV_PAIR(pv_erfc_f, 4);
    double p67 = PV_PAIR(pv_erfc_f, 6);
    double p89 = PV_PAIR(pv_erfc_f, 8);
    double pab = PV_PAIR(pv_erfc_f, 10);
    double pcd = pv_erfc_f[12] + t * pv_erfc_f[13];
    double pef = pv_erfc_f[14] + t * pv_erfc_f[15];
    double pgh = pv_erfc_f[16] + t * pv_erfc_f[17];
    double high = (pcd + t2 * pef) + t4 * (pgh + t2 * pv_erfc_f[18]);
    double middle = (p45 + t2 * p67) + t4 * ((p89 + t2 * pab) + PV_EITHER(0.0, t4 * high));
    double p = (p01 + t2 * p23) + t4 * middle;
    pv_reduced e = pv_reduce(-square, -square_lo);
    double half = pv_round(0.5 * e.n);
    double y = (1.0 + (e.r + e.tail)) * (p * w);
    y = (y * pv_power_of_two(half)) * pv_power_of_two(e.n - half);
    double large = x < 0.0 ? 2.0 - y : y;
    return PV_EITHER(0.5 - ((x - 0.5) + x * p), large);
}
#undef PV_PAIR
#undef PV_EITHER

/* ---- powers ---- */

/* x ** k without a call of pow where k is one of the exponents that expressions and their derivatives have most:
 * correctly rounded for 1, 2, 0.5 and -1 (libm's pow, which is off by an ulp in 1 of 1,000 for them, is not), else
 * within 2 ulp. As in pow, 0.5 and -0.5 and -1.5 give +0 or inf for -0 and -inf. */
static PV_INLINE double pv_pow(double x, double k) {
    if (k == 2.0) return x * x;
    if (k == 1.0) return x;
    if (k == 3.0) return x * x * x;
    if (k == -1.0) return 1.0 / x;
    if (k == -2.0) return 1.0 / x / x;
    if (k == -3.0) return 1.0 / x / (x * x);
    if (k == 0.5) return x == -INFINITY ? INFINITY : sqrt(x + 0.0);
    if (k == -0.5) return x == -INFINITY ? 0.0 : 1.0 / sqrt(x + 0.0);
    if (k == -1.5) return x == -INFINITY ? 0.0 : 1.0 / (x + 0.0) / sqrt(x + 0.0);
    return pow(x, k);
}

#endif
