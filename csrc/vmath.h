/* vmath.h: exp, log, tanh and the like, branch-free. */
#ifndef PG_VMATH_H
#define PG_VMATH_H

#include <math.h>

#include "ops.h"

/* A loop is vectorised only if what it calls is inlined. */
#if defined(__GNUC__)
#define PV_INLINE inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define PV_INLINE __forceinline
#else
#define PV_INLINE inline
#endif

static PV_INLINE double pv_exp(double x) { return exp(x); }
static PV_INLINE double pv_expm1(double x) { return expm1(x); }
static PV_INLINE double pv_log(double x) { return log(x); }
static PV_INLINE double pv_tanh(double x) { return tanh(x); }
static PV_INLINE double pv_erf(double x) { return erf(x); }
static PV_INLINE double pv_erfc(double x) { return erfc(x); }
static PV_INLINE double pv_sigmoid(double x) { return pg_f_sigmoid(x); }
static PV_INLINE double pv_softplus(double x) { return pg_f_softplus(x); }
static PV_INLINE double pv_pow(double x, double k) { return pow(x, k); }

#endif
