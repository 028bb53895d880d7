/* optim.c: many parameters in one call: their numbers, their gradients, and the rules by which optimisers move them.
 *
 * Nodes stand 32 bytes apart, where the compiler cannot compute on several at once. So a rule works on blocks: a hundred
 * parameters are gathered into small arrays, computed there in plain loops of fixed length, and put back. The lanes behind
 * the last parameter of a block hold numbers that nobody reads. A whole block of a plain array is computed where it is.
 *
 * pygrad/_updates.py has the same rules in Python, one parameter at a time: the same operations in the same order, so
 * the same bits. Which rate a step has, and which parameters there are, is decided in Python.
 */
#include "graph.h"
#include "guard.h"

#include <math.h>
#include <string.h>

/* PG_OK, having entered the arena, if all are nodes that hold a number; else why not. */
static inline pg_result enter_with(pg_arena *arena, const pg_id *ids, size_t n) {
    enter(arena);
    for (size_t i = 0; i < n; i++) {
        if (!pg_alive(arena, ids[i])) return leave(arena, PG_ERR_ID);
        if (PG_UNLIKELY(pg_holds_array(arena, ids[i]))) return leave(arena, PG_ERR_ARRAY);
    }
    return PG_OK;
}

/* ---- numbers ---- */

pg_result pg_get_data(pg_arena *arena, const pg_id *ids, size_t n, double *numbers) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) numbers[i] = arena->nodes[ids[i]].data;
    return leave(arena, PG_OK);
}

pg_result pg_get_grads(pg_arena *arena, const pg_id *ids, size_t n, double *numbers) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) numbers[i] = arena->nodes[ids[i]].grad;
    return leave(arena, PG_OK);
}

pg_result pg_put_data(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].data = numbers[i];
    return leave(arena, PG_OK);
}

pg_result pg_put_grads(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad = numbers[i];
    return leave(arena, PG_OK);
}

pg_result pg_zero_grads(pg_arena *arena, const pg_id *ids, size_t n) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad = 0.0;
    return leave(arena, PG_OK);
}

/* ---- clipping ---- */

pg_result pg_grad_norm(pg_arena *arena, const pg_id *ids, size_t n, double *norm) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double g = arena->nodes[ids[i]].grad;
        sum += g * g;
    }
    if (norm) *norm = sqrt(sum);
    return leave(arena, PG_OK);
}

pg_result pg_scale_grads(pg_arena *arena, const pg_id *ids, size_t n, double factor) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad *= factor;
    return leave(arena, PG_OK);
}

pg_result pg_clamp_grads(pg_arena *arena, const pg_id *ids, size_t n, double limit) {
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    for (size_t i = 0; i < n; i++) {
        double *g = &arena->nodes[ids[i]].grad;
        *g = *g > limit ? limit : *g < -limit ? -limit : *g;
    }
    return leave(arena, PG_OK);
}

/* ---- blocks ---- */

enum { BLOCK = 128, MAX_SLOTS = 3 };

/* Either nodes, or numbers of the caller's. */
typedef struct {
    pg_node *nodes; /* NULL: there are none, but data and grads */
    const pg_id *ids;
    double *data;
    const double *grads; /* NULL: all 0 */
    size_t n;
    double *state; /* slots arrays of n */
    size_t slots;
} parameters;

typedef struct {
    double x[BLOCK], g[BLOCK], state[MAX_SLOTS][BLOCK];
} block; /* 5 KB */

/* Where a rule finds a block's numbers: in a block, or, of a whole block of a plain array, where they are. */
typedef struct {
    double *x, *g, *state[MAX_SLOTS];
} lanes;

/* Every lane of a block. The count is a constant, which lets gcc -O2 use vector instructions. */
#define LANES(i) for (size_t i = 0; i < BLOCK; i++)

static size_t lanes_in_use(const parameters *p, size_t start) { return p->n - start < BLOCK ? p->n - start : BLOCK; }

static lanes load(block *b, const parameters *p, size_t start) {
    size_t count = lanes_in_use(p, start);
    lanes l = {b->x, b->g, {b->state[0], b->state[1], b->state[2]}};
    if (p->nodes) {
        for (size_t i = 0; i < count; i++) {
            const pg_node *node = &p->nodes[p->ids[start + i]];
            b->x[i] = node->data;
            b->g[i] = node->grad;
        }
    } else {
        if (count == BLOCK) l.x = p->data + start;
        else memcpy(b->x, p->data + start, count * sizeof(double));
        /* a copy in any case: rules change it */
        if (p->grads) memcpy(b->g, p->grads + start, count * sizeof(double));
        else memset(b->g, 0, sizeof b->g);
    }
    for (size_t k = 0; k < p->slots; k++) {
        if (count == BLOCK) l.state[k] = p->state + k * p->n + start;
        else memcpy(b->state[k], p->state + k * p->n + start, count * sizeof(double));
    }
    return l;
}

static void store(const block *b, const parameters *p, size_t start) {
    size_t count = lanes_in_use(p, start);
    if (p->nodes)
        for (size_t i = 0; i < count; i++) p->nodes[p->ids[start + i]].data = b->x[i];
    if (count == BLOCK) return;
    if (!p->nodes) memcpy(p->data + start, b->x, count * sizeof(double));
    for (size_t k = 0; k < p->slots; k++) memcpy(p->state + k * p->n + start, b->state[k], count * sizeof(double));
}

/* ---- the rules: formulas and sources stand in pygrad/_updates.py ----
 *
 * Of each one function that moves a block, whose parameters tell the compiler that they do not overlap, and one that goes
 * from block to block. */

typedef void update(const parameters *p, block *b, const double *settings);

/* The gradient of an L2 penalty, weight_decay / 2 * x**2. */
static void add_penalty(double *restrict g, const double *restrict x, double weight_decay) {
    if (weight_decay != 0.0) LANES(i) g[i] += weight_decay * x[i];
}

static void move_sgd(double *restrict x, double *restrict g, double *restrict v, const double *settings) {
    const double lr = settings[0], momentum = settings[1], nesterov = settings[2], weight_decay = settings[3];
    add_penalty(g, x, weight_decay);
    if (momentum != 0.0) LANES(i) v[i] = momentum * v[i] + g[i];
    if (momentum != 0.0 && nesterov != 0.0) LANES(i) x[i] -= lr * (g[i] + momentum * v[i]);
    else if (momentum != 0.0) LANES(i) x[i] -= lr * v[i];
    else LANES(i) x[i] -= lr * g[i];
}

static void update_sgd(const parameters *p, block *b, const double *settings) {
    for (size_t start = 0; start < p->n; start += BLOCK) {
        const lanes l = load(b, p, start);
        move_sgd(l.x, l.g, l.state[0], settings);
        store(b, p, start);
    }
}

typedef struct {
    double beta1, beta2, rate, lowest, weight_decay, shrink;
} adam_constants;

static void move_adam(double *restrict x, double *restrict g, double *restrict mean, double *restrict square,
                      const adam_constants *c) {
    const double beta1 = c->beta1, rest1 = 1.0 - beta1, beta2 = c->beta2, rest2 = 1.0 - beta2;
    const double rate = c->rate, lowest = c->lowest, shrink = c->shrink;
    if (shrink != 1.0) LANES(i) x[i] *= shrink;
    add_penalty(g, x, c->weight_decay);
    LANES(i) {
        const double m = beta1 * mean[i] + rest1 * g[i];
        const double v = beta2 * square[i] + rest2 * (g[i] * g[i]);
        mean[i] = m;
        square[i] = v;
        x[i] -= rate * m / (sqrt(v) + lowest);
    }
}

/* Adam, and with decoupled weight decay AdamW. */
static void adam(const parameters *p, block *b, const double *settings, int decoupled) {
    const double lr = settings[0], beta1 = settings[1], beta2 = settings[2], eps = settings[3];
    const double weight_decay = settings[4], step = settings[5];
    const double root = sqrt(1.0 - pow(beta2, step)), rate = lr * root / (1.0 - pow(beta1, step));
    const adam_constants c = {beta1, beta2, rate, eps * root, decoupled ? 0.0 : weight_decay,
                              decoupled ? 1.0 - lr * weight_decay : 1.0};
    for (size_t start = 0; start < p->n; start += BLOCK) {
        const lanes l = load(b, p, start);
        move_adam(l.x, l.g, l.state[0], l.state[1], &c);
        store(b, p, start);
    }
}

static void update_adam(const parameters *p, block *b, const double *settings) { adam(p, b, settings, 0); }
static void update_adamw(const parameters *p, block *b, const double *settings) { adam(p, b, settings, 1); }

static void move_rmsprop(double *restrict x, double *restrict g, double *restrict square, double *restrict v,
                         double *restrict mean, const double *settings) {
    const double lr = settings[0], alpha = settings[1], eps = settings[2], momentum = settings[3];
    const double centered = settings[4], weight_decay = settings[5], rest = 1.0 - alpha;
    double variance[BLOCK];
    add_penalty(g, x, weight_decay);
    LANES(i) variance[i] = square[i] = alpha * square[i] + rest * (g[i] * g[i]);
    if (centered != 0.0) {
        LANES(i) mean[i] = alpha * mean[i] + rest * g[i];
        LANES(i) variance[i] = square[i] - mean[i] * mean[i];
    }
    LANES(i) g[i] /= sqrt(variance[i]) + eps;
    if (momentum != 0.0) {
        LANES(i) v[i] = momentum * v[i] + g[i];
        LANES(i) x[i] -= lr * v[i];
    } else {
        LANES(i) x[i] -= lr * g[i];
    }
}

static void update_rmsprop(const parameters *p, block *b, const double *settings) {
    for (size_t start = 0; start < p->n; start += BLOCK) {
        const lanes l = load(b, p, start);
        move_rmsprop(l.x, l.g, l.state[0], l.state[1], l.state[settings[3] != 0.0 ? 2 : 1], settings);
        store(b, p, start);
    }
}

static const struct {
    pg_rule_info info;
    update *run;
} rules[] = {
    [PG_RULE_SGD] = {{"sgd", "lr momentum nesterov weight_decay", 4}, update_sgd},
    [PG_RULE_ADAM] = {{"adam", "lr beta1 beta2 eps weight_decay step", 6}, update_adam},
    [PG_RULE_ADAMW] = {{"adamw", "lr beta1 beta2 eps weight_decay step", 6}, update_adamw},
    [PG_RULE_RMSPROP] = {{"rmsprop", "lr alpha eps momentum centered weight_decay", 6}, update_rmsprop},
};

static int is_rule(int rule) { return rule >= 0 && (size_t)rule < sizeof rules / sizeof *rules; }

const pg_rule_info *pg_rule_describe(int rule) { return is_rule(rule) ? &rules[rule].info : NULL; }

size_t pg_rule_slots(int rule, const double *settings) {
    switch (rule) {
    case PG_RULE_SGD: return settings[1] != 0.0;
    case PG_RULE_ADAM:
    case PG_RULE_ADAMW: return 2;
    case PG_RULE_RMSPROP: return 1 + (size_t)(settings[3] != 0.0) + (size_t)(settings[4] != 0.0);
    default: return 0;
    }
}

static void run(int rule, const parameters *p, const double *settings) {
    block b = {{0.0}, {0.0}, {{0.0}}};
    rules[rule].run(p, &b, settings);
}

pg_result pg_optimise(pg_arena *arena, int rule, const pg_id *ids, size_t n, const double *settings, double *state) {
    if (!is_rule(rule)) return PG_ERR_OP;
    if (n == 0) return PG_OK;
    pg_result status = enter_with(arena, ids, n);
    if (status != PG_OK) return status;
    const parameters p = {
        .nodes = arena->nodes, .ids = ids, .n = n, .state = state, .slots = pg_rule_slots(rule, settings)};
    run(rule, &p, settings);
    return leave(arena, PG_OK);
}

pg_result pg_optimise_array(int rule, double *data, const double *grads, size_t n, const double *settings,
                            double *state) {
    if (!is_rule(rule)) return PG_ERR_OP;
    if (n == 0) return PG_OK;
    const parameters p = {
        .data = data, .grads = grads, .n = n, .state = state, .slots = pg_rule_slots(rule, settings)};
    run(rule, &p, settings);
    return PG_OK;
}
