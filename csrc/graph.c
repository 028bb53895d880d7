/* graph.c: the public API: ops with their checks and locks, the topological order, the reverse sweep.
 *
 * Allocates nothing itself but a sweep and its order; memory is arena.c's subject. No recursion.
 */
#include "graph.h"
#include "guard.h"

#include <stdlib.h>

/* Scratch that is kept between sweeps: 16 MB. */
#define PG_KEEP_SCRATCH (UINT64_C(4) << 20)
/* On the stack of the depth-first search: this node's first operand is done. Ids stay below 2**30. */
#define PG_SECOND (UINT32_C(1) << 31)

/* ---- the table ---- */

/* ORDER OP: indexed by code; the codes are consecutive */
static const pg_op_info op_infos[PG_OP_COUNT] = {
#define PG_INFO_S(code, ID, name, symbol) [code] = {name, symbol, "", "", PG_KIND_STRUCTURAL, 0.0},
#define PG_INFO_U(code, ID, name, symbol, doc, STATUS, VALUE, DX) [code] = {name, symbol, doc, "", PG_KIND_UNARY, 0.0},
#define PG_INFO_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX) \
    [code] = {name, symbol, doc, constant, PG_KIND_CONSTANT, DEFAULT},
#define PG_INFO_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY) [code] = {name, symbol, doc, "", PG_KIND_BINARY, 0.0},
#define PG_INFO_N(code, ID, name, symbol, doc, TERM, DX, DY) [code] = {name, symbol, doc, "", PG_KIND_NARY, 0.0},
#define PG_INFO_R(code, ID, name, symbol, doc, TERM, VALUE, DX) [code] = {name, symbol, doc, "", PG_KIND_NARY, 0.0},
    PG_OP_TABLE(PG_INFO_S, PG_INFO_U, PG_INFO_K, PG_INFO_B, PG_INFO_N, PG_INFO_R)};

size_t pg_op_count(void) { return PG_OP_COUNT; }

const pg_op_info *pg_op_describe(int op) { return op >= 0 && op < PG_OP_COUNT ? &op_infos[op] : NULL; }

static int is_kind(int op, pg_kind kind) { return op >= 0 && op < PG_OP_COUNT && op_infos[op].kind == kind; }

double pg_op_value(int op, double x, double y, int *status) { return pg_value(op, x, y, status); }

const char *pg_status_text(int status) {
    switch (status) {
    case PG_OK: return "no error";
    case PG_ERR_NOMEM: return "out of memory";
    case PG_ERR_FULL: return "the graph is too large: at most 2**30 nodes";
    case PG_ERR_ID: return "no such node";
    case PG_ERR_OP: return "no such op, or not with these operands";
    case PG_ERR_ZERO_DIVISION: return "division by zero";
    case PG_ERR_OVERFLOW: return "result too large for a float";
    case PG_ERR_DOMAIN: return "math domain error";
    case PG_ERR_ARRAY: return "an operand or parameter is an array";
    case PG_ERR_PROGRAM: return "no program, or a damaged one";
    case PG_ERR_INDEX: return "an index is out of range";
    case PG_ERR_ISA: return "no such instruction set, or not on this processor";
    case PG_ERR_COMPLEX: return "a negative number to a fractional power is complex";
    default: return "unknown status";
    }
}

/* ---- the build ---- */

#define PG_TEXT2(x) #x
#define PG_TEXT(x) PG_TEXT2(x)

const char *pg_build_compiler(void) {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#elif defined(_MSC_VER)
    return "MSVC " PG_TEXT(_MSC_VER);
#else
    return "unknown compiler";
#endif
}

const char *pg_build_isa(void) {
#if defined(__AVX2__)
    return "x86-64 with AVX2";
#elif defined(__x86_64__) || defined(_M_X64)
    return "x86-64 baseline (SSE2)";
#elif defined(__aarch64__) || defined(_M_ARM64)
    return "AArch64 (NEON)";
#else
    return "portable C";
#endif
}

const char *pg_cpu_isa(void) {
#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#else
    return pg_build_isa();
#endif
}

/* ---- making nodes ---- */

pg_result pg_leaf(pg_arena *arena, double data) {
    enter(arena);
    pg_id id = pg_leaf_node(arena, data);
    return leave(arena, id == PG_NONE ? pg_take_error(arena) : (pg_result)id);
}

pg_result pg_unary(pg_arena *arena, int op, pg_id x) {
    if (!is_kind(op, PG_KIND_UNARY)) return PG_ERR_OP;
    enter(arena);
    return leave(arena, pg_alive(arena, x) ? pg_apply_unary(arena, op, x) : PG_ERR_ID);
}

pg_result pg_constant(pg_arena *arena, int op, pg_id x, double k) {
    if (!is_kind(op, PG_KIND_CONSTANT)) return PG_ERR_OP;
    enter(arena);
    return leave(arena, pg_alive(arena, x) ? pg_apply_number(arena, op, x, k, 0, 1) : PG_ERR_ID);
}

pg_result pg_binary(pg_arena *arena, int op, pg_id x, pg_id y) {
    if (!is_kind(op, PG_KIND_BINARY)) return PG_ERR_OP;
    enter(arena);
    int known = pg_alive(arena, x) && pg_alive(arena, y);
    return leave(arena, known ? pg_apply_binary(arena, op, x, y) : PG_ERR_ID);
}

pg_result pg_binary_right(pg_arena *arena, int op, pg_id x, double y) {
    if (!is_kind(op, PG_KIND_BINARY)) return PG_ERR_OP;
    enter(arena);
    return leave(arena, pg_alive(arena, x) ? pg_apply_number(arena, op, x, y, 0, 0) : PG_ERR_ID);
}

pg_result pg_binary_left(pg_arena *arena, int op, double x, pg_id y) {
    if (!is_kind(op, PG_KIND_BINARY)) return PG_ERR_OP;
    enter(arena);
    return leave(arena, pg_alive(arena, y) ? pg_apply_number(arena, op, y, x, 1, 0) : PG_ERR_ID);
}

static int any_array(const pg_arena *arena, const pg_id *ids, size_t n) {
    int flags = 0;
    for (size_t i = 0; i < n; i++) flags |= arena->nodes[ids[i]].flags;
    return flags & PG_NODE_ARRAY;
}

static int inherited_by_all(const pg_arena *arena, const pg_id *ids, size_t n) {
    int flags = 0;
    for (size_t i = 0; i < n; i++) flags |= pg_inherited(&arena->nodes[ids[i]]);
    return flags;
}

/* A node with operand lists: a = first and then last (PG_NONE: just first), b = second. */
static pg_result wide_node(pg_arena *arena, int op, double data, const pg_id *first, size_t n_first, pg_id last,
                           const pg_id *second, size_t n_second) {
    int status;
    pg_list a = pg_list_new(arena, first, n_first, last, &status);
    if (status != PG_OK) return status;
    pg_list b = pg_list_new(arena, second, n_second, PG_NONE, &status);
    pg_id id = status == PG_OK ? pg_take(arena) : PG_NONE;
    if (id == PG_NONE) {
        if (status == PG_OK) status = pg_take_error(arena);
        pg_list_undo(arena, b);
        pg_list_undo(arena, a);
        return status;
    }
    int flags = inherited_by_all(arena, first, n_first) | inherited_by_all(arena, second, n_second);
    if (last != PG_NONE) flags |= pg_inherited(&arena->nodes[last]);
    pg_fill(arena, id, op, data, a, b, flags);
    arena->wide++;
    return pg_made(id, flags);
}

pg_result pg_apply_sum(pg_arena *arena, const pg_id *x, size_t n) {
    const pg_node *nodes = arena->nodes;
    if (PG_UNLIKELY(any_array(arena, x, n))) return PG_ERR_ARRAY;
    double z = n > 0 ? term_SUM(nodes[x[0]].data, 0.0) : 0.0;
    for (size_t i = 1; i < n; i++) z += term_SUM(nodes[x[i]].data, 0.0);
    return wide_node(arena, PG_OP_SUM, z, x, n, PG_NONE, NULL, 0);
}

pg_result pg_apply_logsumexp(pg_arena *arena, const pg_id *x, size_t n) {
    const pg_node *nodes = arena->nodes;
    double m = -INFINITY, s = 0.0;
    if (PG_UNLIKELY(any_array(arena, x, n))) return PG_ERR_ARRAY;
    for (size_t i = 0; i < n; i++)
        if (!(nodes[x[i]].data <= m) && !isnan(m)) m = nodes[x[i]].data;
    for (size_t i = 0; i < n; i++) s += term_LOGSUMEXP(nodes[x[i]].data, m);
    return wide_node(arena, PG_OP_LOGSUMEXP, value_LOGSUMEXP(m, s), x, n, PG_NONE, NULL, 0);
}

pg_result pg_apply_dot(pg_arena *arena, const pg_id *w, const pg_id *x, size_t n, pg_id bias) {
    const pg_node *nodes = arena->nodes;
    size_t i = 0;
    double z = 0.0;
    if (PG_UNLIKELY(any_array(arena, w, n) || any_array(arena, x, n) || pg_holds_array(arena, bias))) return PG_ERR_ARRAY;
    if (bias != PG_NONE) {
        z = nodes[bias].data;
    } else if (n > 0) {
        z = term_DOT(nodes[w[0]].data, nodes[x[0]].data);
        i = 1;
    }
    for (; i < n; i++) z += term_DOT(nodes[w[i]].data, nodes[x[i]].data);
    return wide_node(arena, PG_OP_DOT, z, w, n, bias, x, n);
}

pg_result pg_apply_user(pg_arena *arena, double data, const pg_id *operands, size_t n) {
    return wide_node(arena, PG_OP_USER, data, operands, n, PG_NONE, NULL, 0);
}

pg_result pg_sum(pg_arena *arena, const pg_id *x, size_t n) {
    enter(arena);
    return leave(arena, all_alive(arena, x, n) ? pg_apply_sum(arena, x, n) : PG_ERR_ID);
}

pg_result pg_logsumexp(pg_arena *arena, const pg_id *x, size_t n) {
    enter(arena);
    return leave(arena, all_alive(arena, x, n) ? pg_apply_logsumexp(arena, x, n) : PG_ERR_ID);
}

pg_result pg_dot(pg_arena *arena, const pg_id *w, const pg_id *x, size_t n, pg_id bias) {
    enter(arena);
    int known = all_alive(arena, w, n) && all_alive(arena, x, n) && (bias == PG_NONE || pg_alive(arena, bias));
    return leave(arena, known ? pg_apply_dot(arena, w, x, n, bias) : PG_ERR_ID);
}

pg_result pg_user(pg_arena *arena, double data, const pg_id *operands, size_t n) {
    enter(arena);
    return leave(arena, all_alive(arena, operands, n) ? pg_apply_user(arena, data, operands, n) : PG_ERR_ID);
}

static pg_result restore_constant(pg_arena *arena, int op, pg_id x, double k, double data) {
    pg_id hidden = pg_constant_node(arena, k);
    if (hidden == PG_NONE) return pg_take_error(arena);
    pg_id id = pg_take(arena);
    if (id == PG_NONE) {
        pg_unref(arena, hidden);
        return pg_take_error(arena);
    }
    int flags = pg_inherited(&arena->nodes[x]);
    arena->nodes[x].refs++;
    pg_fill(arena, id, op, data, x, hidden, flags);
    return pg_made(id, flags);
}

static pg_result restore_fixed(pg_arena *arena, int op, const pg_id *operands, size_t n, double data) {
    pg_id id = pg_take(arena);
    if (id == PG_NONE) return pg_take_error(arena);
    int flags = inherited_by_all(arena, operands, n);
    for (size_t i = 0; i < n; i++) arena->nodes[operands[i]].refs++;
    pg_fill(arena, id, op, data, n > 0 ? operands[0] : PG_NONE, n > 1 ? operands[1] : PG_NONE, flags);
    if (op == PG_OP_LEAF) pg_set_birth(arena, &arena->nodes[id]);
    return pg_made(id, flags);
}

/* How many operands an op of this kind may have: -1 for any number. */
static int arity(int op) {
    switch (op_infos[op].kind) {
    case PG_KIND_UNARY:
    case PG_KIND_CONSTANT: return 1;
    case PG_KIND_BINARY: return 2;
    case PG_KIND_NARY: return -1;
    default: return op == PG_OP_USER || op == PG_OP_ARRAY ? -1 : 0;
    }
}

pg_result pg_restore(pg_arena *arena, int op, const pg_id *operands, size_t n, double k, double data, double grad) {
    if (op < PG_OP_LEAF || op >= PG_OP_COUNT || op == PG_OP_CONST) return PG_ERR_OP;
    if (arity(op) >= 0 && (size_t)arity(op) != n) return PG_ERR_OP;
    enter(arena);
    if (!all_alive(arena, operands, n)) return leave(arena, PG_ERR_ID);
    pg_result made;
    if (op == PG_OP_DOT) {
        size_t first = n / 2; /* weights, bias if n is odd, inputs */
        pg_id bias = n % 2 ? operands[first] : PG_NONE;
        made = wide_node(arena, op, data, operands, first, bias, operands + (n - first), first);
    } else if (pg_is_wide(op)) {
        made = wide_node(arena, op, data, operands, n, PG_NONE, NULL, 0);
    } else if (is_kind(op, PG_KIND_CONSTANT)) {
        made = restore_constant(arena, op, operands[0], k, data);
    } else {
        made = restore_fixed(arena, op, operands, n, data);
    }
    if (made >= 0) arena->nodes[PG_RESULT_ID(made)].grad = grad;
    return leave(arena, made);
}

/* ---- lifetime ---- */

pg_result pg_retain(pg_arena *arena, pg_id id) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    arena->nodes[id].refs++;
    return leave(arena, PG_OK);
}

pg_result pg_release(pg_arena *arena, pg_id id) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    pg_unref(arena, id);
    return leave(arena, aftermath(arena));
}

pg_result pg_uses(pg_arena *arena, pg_id id) {
    enter(arena);
    return leave(arena, pg_alive(arena, id) ? (pg_result)arena->nodes[id].refs : PG_ERR_ID);
}

pg_id pg_limbo(pg_arena *arena) {
    enter(arena);
    pg_id id = arena->limbo;
    if (id != PG_NONE) {
        arena->limbo = arena->nodes[id].a;
        arena->nodes[id].flags = PG_NODE_BURIABLE;
    }
    (void)leave(arena, PG_OK);
    return id;
}

void pg_bury(pg_arena *arena, pg_id id) {
    enter(arena);
    if (id >> PG_SEGMENT_BITS < arena->segment_count && arena->nodes[id].op == PG_OP_FREE &&
        arena->nodes[id].flags == PG_NODE_BURIABLE) {
        arena->nodes[id].flags = 0;
        pg_give_back(arena, id);
    }
    (void)leave(arena, PG_OK);
}

void pg_arena_stats(pg_arena *arena, pg_stats *stats) {
    enter(arena);
    uint64_t capacity = (uint64_t)arena->segment_capacity << PG_SEGMENT_BITS;
    stats->live = arena->live;
    stats->capacity = capacity;
    stats->bytes = capacity * (sizeof *arena->nodes + sizeof *arena->owners) +
                   arena->segment_capacity * sizeof *arena->segments + arena->word_capacity * sizeof *arena->words +
                   arena->scratch_capacity * sizeof *arena->scratch;
    (void)leave(arena, PG_OK);
}

/* ---- looking at a node ---- */

double pg_data(pg_arena *arena, pg_id id) {
    enter(arena);
    double data = pg_alive(arena, id) && !pg_holds_array(arena, id) ? arena->nodes[id].data : NAN;
    (void)leave(arena, PG_OK);
    return data;
}

double pg_grad(pg_arena *arena, pg_id id) {
    enter(arena);
    double grad = pg_alive(arena, id) && !pg_holds_array(arena, id) ? arena->nodes[id].grad : NAN;
    (void)leave(arena, PG_OK);
    return grad;
}

void pg_set_data(pg_arena *arena, pg_id id, double data) {
    enter(arena);
    if (pg_alive(arena, id)) arena->nodes[id].data = data;
    (void)leave(arena, PG_OK);
}

void pg_set_grad(pg_arena *arena, pg_id id, double grad) {
    enter(arena);
    if (pg_alive(arena, id)) arena->nodes[id].grad = grad;
    (void)leave(arena, PG_OK);
}

pg_result pg_op(pg_arena *arena, pg_id id) {
    enter(arena);
    return leave(arena, pg_alive(arena, id) ? arena->nodes[id].op : PG_ERR_ID);
}

pg_result pg_flags(pg_arena *arena, pg_id id) {
    enter(arena);
    return leave(arena, pg_alive(arena, id) ? arena->nodes[id].flags : PG_ERR_ID);
}

pg_result pg_set_flags(pg_arena *arena, pg_id id, int set, int clear) {
    const int settable = PG_NODE_SIDE | PG_NODE_HOOK | PG_NODE_TRACED | PG_NODE_PINNED | PG_NODE_ARRAY;
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    pg_node *node = &arena->nodes[id];
    int before = node->flags;
    int after = (before & ~(clear & settable)) | (set & settable);
    if (after & ~before & PG_NODE_HOOK) {
        arena->hooks++;
        if (node->op == PG_OP_LEAF) { /* the search passes over leaves, and this one has a step to take */
            node->op = PG_OP_USER;
            node->a = node->b = 0; /* no operands */
            arena->wide++;
            arena->hooked_leaf = 1;
        }
    }
    if (before & ~after & PG_NODE_HOOK) arena->hooks--;
    node->flags = (uint8_t)after;
    return leave(arena, PG_OK);
}

pg_result pg_forget(pg_arena *arena, pg_id id) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    pg_node *node = &arena->nodes[id];
    if (node->op == PG_OP_LEAF) return leave(arena, PG_OK);
    if (node->flags & PG_NODE_HOOK) arena->hooks--;
    node->flags &= (uint8_t)~(PG_NODE_HOOK | PG_NODE_TRACED);
    pg_become_leaf(arena, id);
    return leave(arena, aftermath(arena));
}

double pg_node_constant(pg_arena *arena, pg_id id) {
    enter(arena);
    double k = NAN;
    if (pg_alive(arena, id) && is_kind(arena->nodes[id].op, PG_KIND_CONSTANT)) k = arena->nodes[arena->nodes[id].b].data;
    (void)leave(arena, PG_OK);
    return k;
}

pg_result pg_operands(pg_arena *arena, pg_id id, pg_id *ids, size_t capacity) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    const pg_node *node = &arena->nodes[id];
    size_t count = 0;
    if (pg_is_wide(node->op)) {
        const pg_list lists[2] = {node->a, node->b};
        for (int which = 0; which < 2; which++)
            for (uint32_t i = 0; i < pg_list_count(arena, lists[which]); i++, count++)
                if (count < capacity) ids[count] = pg_list_ids(arena, lists[which])[i];
    } else {
        const pg_id fixed[2] = {node->a, node->b};
        for (; count < (size_t)arity(node->op); count++)
            if (count < capacity) ids[count] = fixed[count];
    }
    return leave(arena, (pg_result)count);
}

/* ---- reverse mode ---- */

static void step_sum(pg_arena *arena, const pg_node *node) {
    pg_node *nodes = arena->nodes;
    const pg_id *x = pg_list_ids(arena, node->a);
    uint32_t n = pg_list_count(arena, node->a);
    double g = node->grad;
    for (uint32_t i = 0; i < n; i++) nodes[x[i]].grad += term_SUM_dx(g, nodes[x[i]].data, 0.0);
}

static void step_logsumexp(pg_arena *arena, const pg_node *node) {
    pg_node *nodes = arena->nodes;
    const pg_id *x = pg_list_ids(arena, node->a);
    uint32_t n = pg_list_count(arena, node->a);
    double g = node->grad, z = node->data;
    for (uint32_t i = 0; i < n; i++) nodes[x[i]].grad += term_LOGSUMEXP_dx(g, nodes[x[i]].data, z);
}

/* Weights and inputs in two stretches of memory that do not overlap: no gradient is met twice, so the order within
 * one dot product is free. */
static inline void step_dot_runs(pg_node *restrict w, pg_node *restrict x, uint32_t n, double g) {
    for (uint32_t i = 0; i < n; i++) {
        w[i].grad += term_DOT_dx(g, w[i].data, x[i].data);
        x[i].grad += term_DOT_dy(g, w[i].data, x[i].data);
    }
}

static void step_dot(pg_arena *arena, const pg_node *node) {
    pg_node *nodes = arena->nodes;
    const pg_id *w = pg_list_ids(arena, node->a), *x = pg_list_ids(arena, node->b);
    uint32_t n = pg_list_count(arena, node->b), n_first = pg_list_count(arena, node->a);
    double g = node->grad;
    if (pg_list_is_run(arena, node->a) && pg_list_is_run(arena, node->b) &&
        (w[0] + n_first <= x[0] || x[0] + n <= w[0])) {
        step_dot_runs(&nodes[w[0]], &nodes[x[0]], n, g);
        if (n_first > n) nodes[w[n]].grad += g;
        return;
    }
    for (uint32_t i = 0; i < n; i++) nodes[w[i]].grad += term_DOT_dx(g, nodes[w[i]].data, nodes[x[i]].data);
    if (n_first > n) nodes[w[n]].grad += g; /* the bias */
    for (uint32_t i = 0; i < n; i++) nodes[x[i]].grad += term_DOT_dy(g, nodes[w[i]].data, nodes[x[i]].data);
}

/* Adds a computed node's contributions to its operands' gradients, first operand first. ORDER OP: all from ops.h */
static inline void step(pg_arena *arena, const pg_node *node) {
    pg_node *nodes = arena->nodes;
    int op = node->op;
    if (PG_UNLIKELY(pg_is_wide(op))) {
        if (op == PG_OP_SUM) step_sum(arena, node);
        if (op == PG_OP_DOT) step_dot(arena, node);
        if (op == PG_OP_LOGSUMEXP) step_logsumexp(arena, node);
        return;
    }
    pg_node *nx = &nodes[node->a], *ny = &nodes[node->b];
    const double g = node->grad, x = nx->data, y = ny->data, z = node->data, k = y;
    (void)k, (void)x, (void)z;
#define PG_STEP_U(code, ID, name, symbol, doc, STATUS, VALUE, DX) \
    case PG_OP_##ID: nx->grad += (DX); break;
#define PG_STEP_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX) \
    case PG_OP_##ID: nx->grad += (DX); break;
#define PG_STEP_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY) \
    case PG_OP_##ID: nx->grad += (DX); ny->grad += (DY); break;
    switch (op) {
        PG_OP_TABLE(PG_SKIP_S, PG_STEP_U, PG_STEP_K, PG_STEP_B, PG_SKIP_N, PG_SKIP_R)
    default: break;
    }
}

pg_result pg_step(pg_arena *arena, pg_id id) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    if (!pg_is_leaf(&arena->nodes[id])) step(arena, &arena->nodes[id]);
    return leave(arena, PG_OK);
}

pg_result pg_add_to_operands(pg_arena *arena, pg_id id, const double *numbers, size_t n) {
    enter(arena);
    if (!pg_alive(arena, id)) return leave(arena, PG_ERR_ID);
    const pg_node *node = &arena->nodes[id];
    if ((node->op != PG_OP_ARRAY && node->op != PG_OP_USER) || pg_list_count(arena, node->a) != n)
        return leave(arena, PG_ERR_OP);
    const pg_id *x = pg_list_ids(arena, node->a);
    for (size_t i = 0; i < n; i++) arena->nodes[x[i]].grad += numbers[i];
    return leave(arena, PG_OK);
}

/* 1 if the search must go into this node; marks it. */
static inline int discover(pg_node *node, uint16_t epoch) {
    if (pg_is_leaf(node) || node->mark == epoch) return 0;
    node->mark = epoch;
    return 1;
}

void pg_next_epoch(pg_arena *arena) {
    if (++arena->epoch != 0) return;
    arena->epoch = 1;
    for (uint32_t s = 0; s < arena->segment_count; s++) {
        if (arena->segments[s].clean) continue;
        for (uint32_t i = 0; i < PG_SEGMENT; i++) {
            pg_node *node = &arena->nodes[(s << PG_SEGMENT_BITS) + i];
            node->mark = 0;
            if (!pg_is_wide(node->op)) continue;
            if (node->a) arena->words[node->a + 2] = 0;
            if (node->b) arena->words[node->b + 2] = 0;
        }
    }
    for (pg_layer *layer = arena->layers; layer; layer = layer->next)
        for (uint32_t j = 0; j < layer->nout; j++) arena->words[layer->rows[j] + 2] = 0;
}

/* Whether the search has no more to do in a list: nothing in it has a step to take, or all was met. */
static inline int list_done(const pg_arena *arena, pg_list list, uint16_t epoch) {
    return pg_list_of_leaves(arena, list) || arena->words[list + 2] == epoch;
}

static inline void mark_list(pg_arena *arena, pg_list list, uint16_t epoch) {
    if (list) arena->words[list + 2] = epoch;
}

/* The usual neuron, but for the first of its layer: a dot product that is next in the order at once, and its activation
 * after it. Marks the former; the latter is marked. */
static inline int neuron_is_next(pg_arena *arena, const pg_node *activation, uint16_t epoch) {
    if (pg_is_wide(activation->op)) return 0;
    pg_node *dot = &arena->nodes[activation->a];
    if (dot->op != PG_OP_DOT || dot->mark == epoch) return 0;
    if (!pg_is_leaf(&arena->nodes[activation->b])) return 0;
    if (!list_done(arena, dot->a, epoch) || !list_done(arena, dot->b, epoch)) return 0;
    dot->mark = epoch;
    return 1;
}

/* Depth-first post-order of what has a step to take, operands left to right: what a recursive search gives.
 *
 * The order grows upwards from buffer[0], the stack downwards from buffer[capacity]. A node is in one of them
 * at a time, an n-ary one with a second word (which operand is next) while it is on the stack: so a buffer of
 * (live nodes + n-ary nodes) words always suffices, and nothing is checked or grown on the way. */
static uint64_t depth_first_order(pg_arena *arena, pg_id root, uint32_t *buffer, uint64_t capacity) {
    pg_node *nodes = arena->nodes;
    const uint16_t epoch = arena->epoch;
    uint64_t count = 0, top = capacity;
    pg_id v = root;
    uint32_t cursor;
    if (!discover(&nodes[root], epoch)) return 0;
enter_node:
    if (PG_UNLIKELY(pg_is_wide(nodes[v].op))) {
        cursor = list_done(arena, nodes[v].a, epoch) ? pg_list_count(arena, nodes[v].a) : 0;
        goto next_of_wide;
    }
    if (discover(&nodes[nodes[v].a], epoch)) {
        buffer[--top] = v;
        v = nodes[v].a;
        goto enter_node;
    }
second_operand:
    if (discover(&nodes[nodes[v].b], epoch)) {
        buffer[--top] = v | PG_SECOND;
        v = nodes[v].b;
        goto enter_node;
    }
leave_node:
    buffer[count++] = v;
    if (top == capacity) return count;
    v = buffer[top++];
    if (v & PG_SECOND) {
        v &= ~PG_SECOND;
        goto leave_node;
    }
    if (PG_LIKELY(!pg_is_wide(nodes[v].op))) goto second_operand;
    cursor = buffer[top++];
next_of_wide: {
    const pg_node *node = &nodes[v];
    uint32_t n_first = pg_list_count(arena, node->a), n = n_first + pg_list_count(arena, node->b);
    if (cursor == n_first && list_done(arena, node->b, epoch)) cursor = n;
    while (cursor < n) {
        pg_id operand = cursor < n_first ? pg_list_ids(arena, node->a)[cursor]
                                         : pg_list_ids(arena, node->b)[cursor - n_first];
        cursor++;
        if (!discover(&nodes[operand], epoch)) continue;
        if (neuron_is_next(arena, &nodes[operand], epoch)) {
            buffer[count++] = nodes[operand].a;
            buffer[count++] = operand;
            continue;
        }
        buffer[--top] = cursor;
        buffer[--top] = v;
        v = operand;
        goto enter_node;
    }
    mark_list(arena, node->a, epoch);
    mark_list(arena, node->b, epoch);
    goto leave_node;
}
}

int pg_sweep_save(pg_sweep *sweep) {
    pg_arena *arena = sweep->arena;
    uint64_t total = 1;
    for (uint64_t i = 0; i < sweep->position; i++) {
        const pg_node *node = &arena->nodes[sweep->order[i]];
        total += pg_is_wide(node->op) ? (uint64_t)pg_list_count(arena, node->a) + pg_list_count(arena, node->b) : 2;
    }
    pg_saved_grad *saved = pg_resize(NULL, total, sizeof *saved);
    if (!saved) return PG_ERR_NOMEM;
    uint64_t count = 0;
    saved[count++] = (pg_saved_grad){sweep->root, arena->nodes[sweep->root].grad};
    for (uint64_t i = 0; i < sweep->position; i++) {
        const pg_node *node = &arena->nodes[sweep->order[i]];
        if (!pg_is_wide(node->op)) {
            saved[count++] = (pg_saved_grad){node->a, arena->nodes[node->a].grad};
            if (node->b != PG_NONE) saved[count++] = (pg_saved_grad){node->b, arena->nodes[node->b].grad};
            continue;
        }
        const pg_list lists[2] = {node->a, node->b};
        for (int which = 0; which < 2; which++) {
            const pg_id *ids = pg_list_ids(arena, lists[which]);
            for (uint32_t j = 0, n = pg_list_count(arena, lists[which]); j < n; j++)
                saved[count++] = (pg_saved_grad){ids[j], arena->nodes[ids[j]].grad};
        }
    }
    sweep->saved = saved;
    sweep->saved_count = count;
    return PG_OK;
}

static int any_hook(const pg_arena *arena, const uint32_t *order, uint64_t count) {
    if (arena->hooks == 0) return 0;
    for (uint64_t i = 0; i < count; i++)
        if (arena->nodes[order[i]].flags & PG_NODE_HOOK) return 1;
    return 0;
}

/* Takes the arena's scratch, or new memory: a hook may call backward() while this sweep is under way. */
static int sweep_buffer(pg_sweep *sweep) {
    pg_arena *arena = sweep->arena;
    uint64_t needed = arena->live + arena->wide + 1;
    if (arena->scratch_capacity >= needed) {
        sweep->order = arena->scratch;
        sweep->capacity = arena->scratch_capacity;
        arena->scratch = NULL;
        arena->scratch_capacity = 0;
        return PG_OK;
    }
    needed += needed / 4;
    sweep->order = pg_resize(NULL, needed, sizeof *sweep->order);
    if (!sweep->order) return PG_ERR_NOMEM;
    sweep->capacity = needed;
    return PG_OK;
}

/* The scratch kept for the next sweep is the larger one, unless it is very large. */
void pg_sweep_give_back(pg_sweep *sweep) {
    pg_arena *arena = sweep->arena;
    if (sweep->capacity <= PG_KEEP_SCRATCH && sweep->capacity > arena->scratch_capacity) {
        free(arena->scratch);
        arena->scratch = sweep->order;
        arena->scratch_capacity = sweep->capacity;
    } else {
        free(sweep->order);
    }
}

int pg_sweep_order_of(pg_sweep *sweep, const pg_id *roots, size_t n) {
    int status = sweep_buffer(sweep);
    if (status != PG_OK) return status;
    pg_next_epoch(sweep->arena);
    sweep->position = 0;
    for (size_t i = 0; i < n; i++) /* what is in the order is neither met again nor needs the rest of the buffer */
        sweep->position += depth_first_order(sweep->arena, roots[i], sweep->order + sweep->position,
                                             sweep->capacity - sweep->position);
    return PG_OK;
}

/* With a call of its own, into which the search is inlined: this is every backward(). */
int pg_sweep_order(pg_sweep *sweep) {
    int status = sweep_buffer(sweep);
    if (status != PG_OK) return status;
    pg_next_epoch(sweep->arena);
    sweep->position = depth_first_order(sweep->arena, sweep->root, sweep->order, sweep->capacity);
    return PG_OK;
}

static int sweep_begin(pg_sweep *sweep) {
    pg_arena *arena = sweep->arena;
    int status = pg_sweep_order(sweep);
    if (status != PG_OK) return status;
    if (any_hook(arena, sweep->order, sweep->position)) status = pg_sweep_save(sweep);
    if (status != PG_OK) {
        pg_sweep_give_back(sweep);
        return status;
    }
    arena->nodes[sweep->root].refs++;
    arena->nodes[sweep->root].grad = 1.0;
    return PG_OK;
}

pg_sweep *pg_sweep_new(pg_arena *arena, pg_id root, int *status) {
    pg_sweep *sweep = pg_resize(NULL, 1, sizeof *sweep);
    *status = PG_ERR_NOMEM;
    if (!sweep) return NULL;
    *sweep = (pg_sweep){.arena = arena, .root = root};
    enter(arena);
    *status = pg_alive(arena, root) ? sweep_begin(sweep) : PG_ERR_ID;
    (void)leave(arena, PG_OK);
    if (*status == PG_OK) return sweep;
    free(sweep);
    return NULL;
}

pg_id pg_sweep_run(pg_sweep *sweep) {
    pg_arena *arena = sweep->arena;
    enter(arena);
    const uint32_t *order = sweep->order;
    uint64_t position = sweep->position;
    pg_id stopped = PG_NONE;
    while (position > 0) {
        const pg_node *node = &arena->nodes[order[--position]];
        if (PG_UNLIKELY(node->flags & PG_NODE_HOOK)) {
            stopped = order[position];
            break;
        }
        step(arena, node);
    }
    sweep->position = position;
    (void)leave(arena, PG_OK);
    return stopped;
}

pg_id pg_sweep_array(pg_sweep *sweep, uint64_t *position) {
    pg_arena *arena = sweep->arena;
    pg_id found = PG_NONE;
    enter(arena);
    while (found == PG_NONE && *position < sweep->saved_count) {
        pg_id id = sweep->saved[(*position)++].id;
        if (pg_holds_array(arena, id)) found = id;
    }
    (void)leave(arena, PG_OK);
    return found;
}

pg_result pg_sweep_end(pg_sweep *sweep, int failed) {
    pg_arena *arena = sweep->arena;
    enter(arena);
    if (failed)
        for (uint64_t i = 0; i < sweep->saved_count; i++) arena->nodes[sweep->saved[i].id].grad = sweep->saved[i].grad;
    pg_sweep_give_back(sweep);
    pg_unref(arena, sweep->root);
    pg_result result = aftermath(arena);
    free(sweep->saved);
    free(sweep);
    return leave(arena, result);
}
