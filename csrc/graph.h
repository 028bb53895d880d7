/* graph.h: applying an op, inline, so that a caller with a fixed op gets just that op's formula.
 *
 * Internal to csrc/; checks no ids and takes no lock, as arena.h. A value is computed, and its status
 * looked at, before any memory is taken: an op that fails leaves nothing to undo.
 */
#ifndef PG_GRAPH_H
#define PG_GRAPH_H

#include "arena.h"

/* The value of a unary, constant (y is k) or binary op on numbers. ORDER OP: all from ops.h. */
PG_INLINE double pg_value(int op, double x, double y, int *status) {
    const double k = y;
    double z = NAN;
    int error = PG_ERR_OP;
    (void)k;
#define PG_SKIP_S(code, ID, name, symbol)
#define PG_SKIP_N(code, ID, name, symbol, doc, TERM, DX, DY)
#define PG_SKIP_R(code, ID, name, symbol, doc, TERM, VALUE, DX)
#define PG_VALUE_U(code, ID, name, symbol, doc, STATUS, VALUE, DX) \
    case PG_OP_##ID: z = (VALUE); error = (STATUS); break;
#define PG_VALUE_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX) \
    case PG_OP_##ID: z = (VALUE); error = (STATUS); break;
#define PG_VALUE_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY) \
    case PG_OP_##ID: z = (VALUE); error = (STATUS); break;
    switch (op) {
        PG_OP_TABLE(PG_SKIP_S, PG_VALUE_U, PG_VALUE_K, PG_VALUE_B, PG_SKIP_N, PG_SKIP_R)
    default: break;
    }
    *status = error;
    return z;
}

/* The formulas of the n-ary ops, as functions of one term's operands. ORDER OP: from ops.h */
#define PG_SKIP_U(code, ID, name, symbol, doc, STATUS, VALUE, DX)
#define PG_SKIP_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)
#define PG_SKIP_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY)
#define PG_TERM_N(code, ID, name, symbol, doc, TERM, DX, DY)                \
    static inline double term_##ID(double x, double y) {                    \
        (void)y;                                                            \
        return TERM;                                                        \
    }                                                                       \
    static inline double term_##ID##_dx(double g, double x, double y) {     \
        (void)x, (void)y;                                                   \
        return DX;                                                          \
    }                                                                       \
    static inline double term_##ID##_dy(double g, double x, double y) {     \
        (void)g, (void)x, (void)y;                                          \
        return DY;                                                          \
    }
#define PG_TERM_R(code, ID, name, symbol, doc, TERM, VALUE, DX)                                 \
    static inline double term_##ID(double x, double m) { return TERM; }                         \
    static inline double value_##ID(double m, double s) { return VALUE; }                       \
    static inline double term_##ID##_dx(double g, double x, double z) { return DX; }
PG_OP_TABLE(PG_SKIP_S, PG_SKIP_U, PG_SKIP_K, PG_SKIP_B, PG_TERM_N, PG_TERM_R)

PG_INLINE int pg_inherited(const pg_node *x) { return x->flags & PG_NODE_TRACED; }

/* The answer for a new node. */
PG_INLINE pg_result pg_made(pg_id id, int flags) {
    return flags & PG_NODE_TRACED ? PG_RESULT_TRACED + (pg_result)id : (pg_result)id;
}

PG_INLINE int pg_holds_array(const pg_arena *arena, pg_id id) {
    return (arena->nodes[id].flags & PG_NODE_ARRAY) != 0;
}

PG_INLINE pg_result pg_apply_unary(pg_arena *arena, int op, pg_id x) {
    int status;
    if (PG_UNLIKELY(pg_holds_array(arena, x))) return PG_ERR_ARRAY;
    double z = pg_value(op, arena->nodes[x].data, 0.0, &status);
    if (PG_UNLIKELY(status != PG_OK)) return status;
    pg_id id = pg_take(arena);
    if (PG_UNLIKELY(id == PG_NONE)) return pg_take_error(arena);
    pg_node *nx = &arena->nodes[x];
    int flags = pg_inherited(nx);
    nx->refs++;
    pg_fill(arena, id, op, z, x, PG_NONE, flags);
    return pg_made(id, flags);
}

PG_INLINE pg_result pg_apply_binary(pg_arena *arena, int op, pg_id x, pg_id y) {
    int status;
    if (PG_UNLIKELY((arena->nodes[x].flags | arena->nodes[y].flags) & PG_NODE_ARRAY)) return PG_ERR_ARRAY;
    double z = pg_value(op, arena->nodes[x].data, arena->nodes[y].data, &status);
    if (PG_UNLIKELY(status != PG_OK)) return status;
    pg_id id = pg_take(arena);
    if (PG_UNLIKELY(id == PG_NONE)) return pg_take_error(arena);
    pg_node *nx = &arena->nodes[x], *ny = &arena->nodes[y];
    int flags = pg_inherited(nx) | pg_inherited(ny);
    nx->refs++;
    ny->refs++;
    pg_fill(arena, id, op, z, x, y, flags);
    return pg_made(id, flags);
}

/* An op with one operand x and one number, which becomes a node of its own: a leaf to the right of x
 * (left == 0) or to its left, or, for a PG_KIND_CONSTANT op (hidden != 0), its k. */
PG_INLINE pg_result pg_apply_number(pg_arena *arena, int op, pg_id x, double number, int left, int hidden) {
    int status;
    if (PG_UNLIKELY(pg_holds_array(arena, x))) return PG_ERR_ARRAY;
    double data = arena->nodes[x].data;
    double z = left ? pg_value(op, number, data, &status) : pg_value(op, data, number, &status);
    if (PG_UNLIKELY(status != PG_OK)) return status;
    pg_id k = hidden ? pg_constant_node(arena, number) : pg_leaf_node(arena, number);
    if (PG_UNLIKELY(k == PG_NONE)) return pg_take_error(arena);
    pg_id id = pg_take(arena);
    if (PG_UNLIKELY(id == PG_NONE)) {
        pg_unref(arena, k);
        return pg_take_error(arena);
    }
    pg_node *nx = &arena->nodes[x];
    int flags = pg_inherited(nx);
    nx->refs++;
    pg_fill(arena, id, op, z, left ? k : x, left ? x : k, flags);
    return pg_made(id, flags);
}

/* The n-ary ops, for callers that checked the ids. */
pg_result pg_apply_sum(pg_arena *arena, const pg_id *x, size_t n);
pg_result pg_apply_logsumexp(pg_arena *arena, const pg_id *x, size_t n);
pg_result pg_apply_dot(pg_arena *arena, const pg_id *w, const pg_id *x, size_t n, pg_id bias);
pg_result pg_apply_user(pg_arena *arena, double data, const pg_id *operands, size_t n);

/* ---- reverse mode: what graph.c and towards.c share ---- */

typedef struct {
    pg_id id;
    double grad;
} pg_saved_grad;

struct pg_sweep {
    pg_arena *arena;
    pg_id root;
    uint16_t epoch;  /* of a sweep towards some nodes: the mark of those that lead to them; else 0 */
    uint32_t *order; /* nodes that have a step to take, operands first */
    uint64_t capacity;
    uint64_t position; /* order[position - 1] is next; runs down to 0 */
    pg_saved_grad *saved; /* every gradient the sweep may change, if it may be put back; else NULL */
    uint64_t saved_count;
};

/* The nodes under the root that have a step to take: sets order, capacity, position. */
int pg_sweep_order(pg_sweep *sweep);
/* The same of several roots, one search after the other: what the first led to is not met again. */
int pg_sweep_order_of(pg_sweep *sweep, const pg_id *roots, size_t n);
/* Notes the gradients that the ordered steps may change: the root's and all operands'. Any other ordered node is one. */
int pg_sweep_save(pg_sweep *sweep);
/* What pg_sweep_order took, back to the arena. */
void pg_sweep_give_back(pg_sweep *sweep);
/* A mark that no node has. */
void pg_next_epoch(pg_arena *arena);

#endif
