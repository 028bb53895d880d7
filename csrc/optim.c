/* optim.c: many parameters in one call: their numbers, their gradients, and the rules by which optimisers move them.
 *
 * Nodes stand 32 bytes apart, where the compiler cannot compute on several at once. So a rule works on blocks:
 * a few hundred parameters are gathered into small arrays, computed there in plain loops of fixed length, and put
 * back. The lanes behind the last parameter of a block hold numbers that nobody reads.
 *
 * pygrad/_updates.py has the same rules in Python, one parameter at a time: the same operations in the same order, so
 * the same bits. Which rate a step has, and which parameters there are, is decided in Python.
 */
#include "guard.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

pg_result pg_get_data(pg_arena *arena, const pg_id *ids, size_t n, double *numbers) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) numbers[i] = arena->nodes[ids[i]].data;
    return leave(arena, PG_OK);
}

pg_result pg_get_grads(pg_arena *arena, const pg_id *ids, size_t n, double *numbers) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) numbers[i] = arena->nodes[ids[i]].grad;
    return leave(arena, PG_OK);
}

pg_result pg_put_data(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].data = numbers[i];
    return leave(arena, PG_OK);
}

pg_result pg_put_grads(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad = numbers[i];
    return leave(arena, PG_OK);
}

pg_result pg_zero_grads(pg_arena *arena, const pg_id *ids, size_t n) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad = 0.0;
    return leave(arena, PG_OK);
}

/* ---- clipping ---- */

pg_result pg_grad_norm(pg_arena *arena, const pg_id *ids, size_t n, double *norm) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        double g = arena->nodes[ids[i]].grad;
        sum += g * g;
    }
    if (norm) *norm = sqrt(sum);
    return leave(arena, PG_OK);
}

pg_result pg_scale_grads(pg_arena *arena, const pg_id *ids, size_t n, double factor) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) arena->nodes[ids[i]].grad *= factor;
    return leave(arena, PG_OK);
}

pg_result pg_clamp_grads(pg_arena *arena, const pg_id *ids, size_t n, double limit) {
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    for (size_t i = 0; i < n; i++) {
        double *g = &arena->nodes[ids[i]].grad;
        *g = *g > limit ? limit : *g < -limit ? -limit : *g;
    }
    return leave(arena, PG_OK);
}

/* ---- blocks ---- */

enum { BLOCK = 128, MAX_SLOTS = 3 };

typedef struct {
    pg_node *nodes;
    const pg_id *ids;
    size_t n;
    double *state; /* slots arrays of n */
    size_t slots;
} parameters;

typedef struct {
    double x[BLOCK], g[BLOCK], state[MAX_SLOTS][BLOCK];
} block; /* 5 KB */

/* Every lane of a block. The count is a constant, which lets gcc -O2 use vector instructions. */
#define LANES(i) for (size_t i = 0; i < BLOCK; i++)

static size_t lanes_in_use(const parameters *p, size_t start) { return p->n - start < BLOCK ? p->n - start : BLOCK; }

static void load(block *b, const parameters *p, size_t start) {
    size_t count = lanes_in_use(p, start);
    for (size_t i = 0; i < count; i++) {
        const pg_node *node = &p->nodes[p->ids[start + i]];
        b->x[i] = node->data;
        b->g[i] = node->grad;
    }
    for (size_t k = 0; k < p->slots; k++) memcpy(b->state[k], p->state + k * p->n + start, count * sizeof(double));
}

static void store(const block *b, const parameters *p, size_t start) {
    size_t count = lanes_in_use(p, start);
    for (size_t i = 0; i < count; i++) p->nodes[p->ids[start + i]].data = b->x[i];
    for (size_t k = 0; k < p->slots; k++) memcpy(p->state + k * p->n + start, b->state[k], count * sizeof(double));
}

/* The gradient of an L2 penalty, weight_decay / 2 * x**2. */
static void add_penalty(block *b, double weight_decay) {
    if (weight_decay != 0.0) LANES(i) b->g[i] += weight_decay * b->x[i];
}

/* ---- the rules: formulas and sources stand in pygrad/_updates.py ---- */

typedef void update(const parameters *p, block *b, const double *settings);

static void update_sgd(const parameters *p, block *b, const double *settings) {
    const double lr = settings[0], momentum = settings[1], nesterov = settings[2], weight_decay = settings[3];
    double *v = b->state[0];
    for (size_t start = 0; start < p->n; start += BLOCK) {
        load(b, p, start);
        add_penalty(b, weight_decay);
        if (momentum != 0.0) LANES(i) v[i] = momentum * v[i] + b->g[i];
        if (momentum != 0.0 && nesterov != 0.0) LANES(i) b->x[i] -= lr * (b->g[i] + momentum * v[i]);
        else if (momentum != 0.0) LANES(i) b->x[i] -= lr * v[i];
        else LANES(i) b->x[i] -= lr * b->g[i];
        store(b, p, start);
    }
}

/* Adam, and with decoupled weight decay AdamW. */
PG_INLINE void adam(const parameters *p, block *b, const double *settings, int decoupled) {
    const double lr = settings[0], beta1 = settings[1], beta2 = settings[2], eps = settings[3];
    const double weight_decay = settings[4], step = settings[5];
    const double root = sqrt(1.0 - pow(beta2, step)), rate = lr * root / (1.0 - pow(beta1, step)), lowest = eps * root;
    const double rest1 = 1.0 - beta1, rest2 = 1.0 - beta2, shrink = 1.0 - lr * weight_decay;
    for (size_t start = 0; start < p->n; start += BLOCK) {
        load(b, p, start);
        if (decoupled) LANES(i) b->x[i] *= shrink;
        else add_penalty(b, weight_decay);
        LANES(i) {
            const double g = b->g[i];
            const double m = beta1 * b->state[0][i] + rest1 * g;
            const double v = beta2 * b->state[1][i] + rest2 * (g * g);
            b->state[0][i] = m;
            b->state[1][i] = v;
            b->x[i] -= rate * m / (sqrt(v) + lowest);
        }
        store(b, p, start);
    }
}

static void update_adam(const parameters *p, block *b, const double *settings) { adam(p, b, settings, 0); }
static void update_adamw(const parameters *p, block *b, const double *settings) { adam(p, b, settings, 1); }

static void update_rmsprop(const parameters *p, block *b, const double *settings) {
    const double lr = settings[0], alpha = settings[1], eps = settings[2], momentum = settings[3];
    const double centered = settings[4], weight_decay = settings[5], rest = 1.0 - alpha;
    double *square = b->state[0], *v = b->state[1], *mean = b->state[momentum != 0.0 ? 2 : 1];
    double variance[BLOCK];
    for (size_t start = 0; start < p->n; start += BLOCK) {
        load(b, p, start);
        add_penalty(b, weight_decay);
        LANES(i) variance[i] = square[i] = alpha * square[i] + rest * (b->g[i] * b->g[i]);
        if (centered != 0.0) {
            LANES(i) mean[i] = alpha * mean[i] + rest * b->g[i];
            LANES(i) variance[i] = square[i] - mean[i] * mean[i];
        }
        LANES(i) b->g[i] /= sqrt(variance[i]) + eps;
        if (momentum != 0.0) {
            LANES(i) v[i] = momentum * v[i] + b->g[i];
            LANES(i) b->x[i] -= lr * v[i];
        } else {
            LANES(i) b->x[i] -= lr * b->g[i];
        }
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

pg_result pg_optimise(pg_arena *arena, int rule, const pg_id *ids, size_t n, const double *settings, double *state) {
    if (!is_rule(rule)) return PG_ERR_OP;
    if (n == 0) return PG_OK;
    enter(arena);
    if (!all_alive(arena, ids, n)) return leave(arena, PG_ERR_ID);
    block b = {{0.0}, {0.0}, {{0.0}}};
    const parameters p = {arena->nodes, ids, n, state, pg_rule_slots(rule, settings)};
    rules[rule].run(&p, &b, settings);
    return leave(arena, PG_OK);
}
