/* ops.h: THE op table.
 *
 * One row per operation: code, name, symbol, and the formulas of its value and derivatives. The enum,
 * the names, the eager value and the eager derivative are all made from these rows; nothing else in C
 * knows a formula. To add an op: append one row with the next code, and write its row in
 * pygrad/ops.py independently of this one (it is the oracle); the tests enumerate both tables.
 *
 * Codes are append-only: a new row takes the next free number, none is ever reused. ORDER OP
 *
 * In a formula x and y are the operands' data, k the constant of a one-operand op that has one, z the
 * result's data, g the result's gradient (the adjoint). STATUS is evaluated after VALUE and says whether
 * Python's own arithmetic would have raised. Derivatives follow IEEE 754 and never fail. A formula must
 * perform the same floating-point operations in the same order as the reference: both give the same bits.
 */
#ifndef PG_OPS_H
#define PG_OPS_H

#include <math.h>

/* What several rows share. */

static inline double pg_f_sigmoid(double x) {
    if (x >= 0.0) return 1.0 / (1.0 + exp(-x));
    double e = exp(x); /* x < 0: cannot overflow */
    return e / (1.0 + e);
}

static inline double pg_f_softplus(double x) {
    return x > 0.0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Cumulative distribution of the standard normal: Phi(x) = erfc(-x / sqrt 2) / 2. */
static inline double pg_f_normal_cdf(double x) {
    return 0.5 * erfc(-x * 0.7071067811865476);
}

/* Density of the standard normal: phi(x) = exp(-x^2 / 2) / sqrt(2 pi). */
static inline double pg_f_normal_pdf(double x) {
    return 0.3989422804014327 * exp(-0.5 * (x * x));
}

static inline double pg_f_sign(double x) {
    return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x; /* zero and nan are themselves */
}

/* OverflowError where finite operands gave an infinite result. */
#define PG_OVERFLOWS(z, finite) (isinf(z) && (finite) ? PG_ERR_OVERFLOW : PG_OK)

/* float ** float of Python: no division by zero, no complex result, no overflow. */
static inline int pg_f_pow_status(double x, double y, double z) {
    if (!isfinite(x) || !isfinite(y)) return PG_OK;
    if (x == 0.0) return y < 0.0 ? PG_ERR_ZERO_DIVISION : PG_OK;
    if (x < 0.0 && y != floor(y)) return PG_ERR_COMPLEX;
    return PG_OVERFLOWS(z, 1);
}

/* Six kinds of row, each handed to its own macro (X-macro):
 *   S(code, ID, name, symbol)                                    no formula
 *   U(code, ID, name, symbol, doc, STATUS, VALUE, DX)            one operand
 *   K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)   one operand and a constant k
 *   B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY)        two operands
 *   N(code, ID, name, symbol, doc, TERM, DX, DY)                 any number: a left-to-right sum of TERMs
 *   R(code, ID, name, symbol, doc, TERM, VALUE, DX)              any number: m is the largest operand (a nan wins;
 *                                                                -inf if there is none), s the sum of TERMs
 */
#define PG_OP_TABLE(S, U, K, B, N, R)                                                                              \
    S(0, FREE, "free", "")   /* an unused slot */                                                               \
    S(1, LEAF, "leaf", "")   /* an independent value */                                                         \
    S(2, CONST, "const", "") /* the k of a K row: never an operand, never seen */                               \
    S(3, USER, "user", "")   /* a user-defined op: operands, and a closure kept by the binding */               \
    U(4, NEG, "neg", "neg", "-x", PG_OK, -x, -g)                                                                \
    B(5, ADD, "add", "+", "x + y", PG_OK, x + y, g, g)                                                          \
    B(6, SUB, "sub", "-", "x - y", PG_OK, x - y, g, -g)                                                         \
    B(7, MUL, "mul", "*", "x * y", PG_OK, x *y, g *y, g *x)                                                     \
    B(8, DIV, "div", "/", "x / y", y == 0.0 ? PG_ERR_ZERO_DIVISION : PG_OK, x / y, g / y, -(g * ((x / y) / y))) \
    K(9, POW_CONST, "pow_const", "**", "x ** exponent, the exponent a number", "exponent", 1.0, pg_f_pow_status(x, k, z), pow(x, k),        \
      k == 0.0 ? 0.0 : g * (k * pow(x, k - 1.0)))                                                               \
    B(10, POW, "pow", "**", "x ** y", pg_f_pow_status(x, y, z), pow(x, y),                                      \
      y == 0.0 ? 0.0 : g * (y * pow(x, y - 1.0)), x == 0.0 && y >= 0.0 ? 0.0 : g * (z * log(x)))                \
    U(11, EXP, "exp", "exp", "e ** x", PG_OVERFLOWS(z, isfinite(x)), exp(x), g *z)                              \
    U(12, LOG, "log", "log", "natural logarithm", x <= 0.0 ? PG_ERR_DOMAIN : PG_OK, log(x), g / x)              \
    U(13, SQRT, "sqrt", "sqrt", "square root", x < 0.0 ? PG_ERR_DOMAIN : PG_OK, sqrt(x), g / (2.0 * z))         \
    U(14, SIN, "sin", "sin", "sine, x in radians", isinf(x) ? PG_ERR_DOMAIN : PG_OK, sin(x), g *cos(x))         \
    U(15, COS, "cos", "cos", "cosine, x in radians", isinf(x) ? PG_ERR_DOMAIN : PG_OK, cos(x), -(g * sin(x)))   \
    U(16, TANH, "tanh", "tanh", "hyperbolic tangent", PG_OK, tanh(x), g *(1.0 - z * z))                         \
    U(17, SIGMOID, "sigmoid", "sigmoid", "1 / (1 + e ** -x)", PG_OK, pg_f_sigmoid(x), g *(z * (1.0 - z)))       \
    U(18, SOFTPLUS, "softplus", "softplus", "log(1 + e ** x)", PG_OK, pg_f_softplus(x), g *pg_f_sigmoid(x))     \
    U(19, RELU, "relu", "ReLU", "max(x, 0)", PG_OK, x < 0.0 ? 0.0 : x, z > 0.0 ? g : 0.0)                       \
    K(20, LEAKY_RELU, "leaky_relu", "leaky_relu", "x where x > 0, else negative_slope * x", "negative_slope", 0.01, PG_OK,                     \
      x > 0.0 ? x : k * x, x > 0.0 ? g : g * k)                                                                 \
    K(21, ELU, "elu", "elu", "x where x > 0, else alpha * (e ** x - 1)", "alpha", 1.0, PG_OK, x > 0.0 ? x : k * expm1(x),    \
      x > 0.0 ? g : g * (k * exp(x)))                                                                           \
    U(22, SILU, "silu", "silu", "x * sigmoid(x)", PG_OK, x *pg_f_sigmoid(x),                                    \
      g *(pg_f_sigmoid(x) * (1.0 + x * (1.0 - pg_f_sigmoid(x)))))                                               \
    U(23, GELU, "gelu", "gelu", "x * Phi(x), Phi the normal distribution (the erf form)", PG_OK,                \
      x *pg_f_normal_cdf(x), g *(pg_f_normal_cdf(x) + x * pg_f_normal_pdf(x)))                                  \
    U(24, ABS, "abs", "abs", "absolute value", PG_OK, fabs(x), g *pg_f_sign(x))                                 \
    B(25, MAXIMUM, "maximum", "maximum", "the larger; a nan wins; a tie shares the gradient", PG_OK,            \
      x >= y || isnan(x) ? x : y, x == y ? 0.5 * g : x < y ? 0.0 : g, x == y ? 0.5 * g : x > y ? 0.0 : g)       \
    B(26, MINIMUM, "minimum", "minimum", "the smaller; a nan wins; a tie shares the gradient", PG_OK,           \
      x <= y || isnan(x) ? x : y, x == y ? 0.5 * g : x > y ? 0.0 : g, x == y ? 0.5 * g : x < y ? 0.0 : g)       \
    N(27, SUM, "sum", "sum", "x0 + x1 + ..., left to right", x, g, 0.0)                                         \
    N(28, DOT, "dot", "dot", "b + w0 * x0 + w1 * x1 + ..., left to right", x *y, g *y, g *x)               \
    R(29, LOGSUMEXP, "logsumexp", "logsumexp", "log(e ** x0 + e ** x1 + ...), without overflow", exp(x - m),        \
      isinf(m) ? m : m + log(s), g *exp(x - z))                                                                 \
    U(30, ERF, "erf", "erf", "error function", PG_OK, erf(x), g *(1.1283791670955126 * exp(-(x * x))))          \
    U(31, ERFC, "erfc", "erfc", "1 - erf(x), the error function's complement", PG_OK, erfc(x),                  \
      g *(-1.1283791670955126 * exp(-(x * x))))                                                             \
    S(32, ARRAY, "array", "") /* a rule for arrays that is no row here; which one, the binding knows (PG_NODE_ARRAY) */

#endif
