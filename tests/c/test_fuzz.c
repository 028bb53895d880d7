/* test_fuzz.c: random programs against a shadow: plain arrays, no counts, no reuse, no marks of its own to get wrong.
 *
 * A program makes nodes of every kind, one by one and by layers, lets go of handles and layers in odd orders, changes
 * data, runs backward (with hooks, some of which fail), trims, buries. Compared, bit for bit: data, gradients, operands, counts, what is alive, what waits
 * in limbo. The seed is fixed; a failure names its round, and PG_TEST_SEED=n repeats that round alone.
 */
#include "check.h"

/* ---- the shadow ---- */

enum { FREE, LEAF, CONST, USER, NEG, ADD, SUB, MUL, DIV, POW_CONST, EXP, LOG, SQRT, SIN, COS, TANH, SIGMOID, RELU,
       LEAKY, ABS, MAXIMUM, MINIMUM, SUM, DOT, OPS };

static const char *const op_names[OPS] = {"free", "leaf", "const", "user", "neg", "add", "sub", "mul", "div",
    "pow_const", "exp", "log", "sqrt", "sin", "cos", "tanh", "sigmoid", "relu", "leaky_relu", "abs", "maximum",
    "minimum", "sum", "dot"};
static int codes[OPS];

typedef struct {
    int op;
    size_t first, n; /* operands, in shadow.operands: as pg_operands gives them */
    double data, grad, k;
    size_t handles;
    pg_id id;
    int hook, side, alive, mark;
    size_t row, inputs; /* a layer's dot: its shared lists, which count their operands once; 0: lists of its own */
} shadow_node;

/* A layer: its parameters, row after row, in shadow.operands; its rows are the shared lists row, row + 1, ... */
typedef struct {
    pg_layer *layer;
    size_t nin, nout, first, row;
    int op; /* FREE: none */
    double k;
} shadow_layer;

enum { LAYERS = 6, IN_A_CALL = 3, WIDTH = 6 };

typedef struct {
    pg_arena *arena;
    check_random random;
    shadow_node *nodes;
    size_t n, capacity;
    size_t *operands;
    size_t n_operands, operand_capacity;
    shadow_layer layers[LAYERS];
    size_t n_layers;
    size_t n_shared; /* lists shared, ever; numbered from 1 */
    uint8_t *counted; /* by shared list */
    size_t *held; /* nodes with a handle, once each */
    size_t n_held;
    size_t *order, *stack, *cursor; /* of a sweep */
    double *saved;
    uint8_t *used; /* by id: slots that must not be handed out */
    size_t used_capacity;
    int leaf_hooks; /* whether leaves may get hooks: then no list is passed over for its leaves any more */
    size_t waiting; /* dead, not yet seen in limbo */
    uint64_t others; /* alive in the arena, and none of the program's */
} shadow;

static int is_unary(int op) {
    return op == NEG || (op >= EXP && op <= RELU) || op == ABS;
}
static int is_constant(int op) { return op == POW_CONST || op == LEAKY; }
static int is_binary(int op) { return (op >= ADD && op <= DIV) || op == MAXIMUM || op == MINIMUM; }

/* In the order of operations that the reference has; these bits are the contract. */
static double value_of(int op, double x, double y, int *status) {
    *status = PG_OK;
    switch (op) {
    case NEG: return -x;
    case ADD: return x + y;
    case SUB: return x - y;
    case MUL: return x * y;
    case DIV:
        if (y == 0.0) *status = PG_ERR_ZERO_DIVISION;
        return x / y;
    case POW_CONST: {
        double z = pow(x, y);
        if (isfinite(x) && isfinite(y)) {
            if (x == 0.0 && y < 0.0) *status = PG_ERR_ZERO_DIVISION;
            else if (x < 0.0 && fmod(y, 1.0) != 0.0) *status = PG_ERR_COMPLEX;
            else if (isinf(z)) *status = PG_ERR_OVERFLOW;
        }
        return z;
    }
    case EXP:
        if (x > 709.782712893384 && !isinf(x)) *status = PG_ERR_OVERFLOW;
        return exp(x);
    case LOG:
        if (x <= 0.0) *status = PG_ERR_DOMAIN;
        return log(x);
    case SQRT:
        if (x < 0.0) *status = PG_ERR_DOMAIN;
        return sqrt(x);
    case SIN:
        if (isinf(x)) *status = PG_ERR_DOMAIN;
        return sin(x);
    case COS:
        if (isinf(x)) *status = PG_ERR_DOMAIN;
        return cos(x);
    case TANH: return tanh(x);
    case SIGMOID: {
        double e = exp(-fabs(x));
        return x >= 0.0 ? 1.0 / (1.0 + e) : e / (1.0 + e);
    }
    case RELU: return isnan(x) || x > 0.0 || x == 0.0 ? x : 0.0;
    case LEAKY: return x > 0.0 ? x : y * x;
    case ABS: return x < 0.0 ? -x : x == 0.0 ? 0.0 : x;
    case MAXIMUM: return isnan(x) || isnan(y) ? (double)NAN : y > x ? y : x;
    case MINIMUM: return isnan(x) || isnan(y) ? (double)NAN : y < x ? y : x;
    default: *status = PG_ERR_OP; return NAN;
    }
}

static shadow_node *operand(shadow *s, const shadow_node *node, size_t i) {
    return &s->nodes[s->operands[node->first + i]];
}

/* One node's step. */
static void step_of(shadow *s, const shadow_node *node) {
    const double g = node->grad, z = node->data, k = node->k;
    double x = 0.0, y = 0.0, dx = 0.0, dy = 0.0;
    if (is_unary(node->op) || is_constant(node->op) || is_binary(node->op)) x = operand(s, node, 0)->data;
    if (is_binary(node->op)) y = operand(s, node, 1)->data;
    switch (node->op) {
    case NEG: dx = -g; break;
    case ADD: dx = g, dy = g; break;
    case SUB: dx = g, dy = -g; break;
    case MUL: dx = g * y, dy = g * x; break;
    case DIV: dx = g / y, dy = -(g * ((x / y) / y)); break;
    case POW_CONST: dx = k == 0.0 ? 0.0 : g * (k * pow(x, k - 1.0)); break;
    case EXP: dx = g * z; break;
    case LOG: dx = g / x; break;
    case SQRT: dx = g / (2.0 * z); break;
    case SIN: dx = g * cos(x); break;
    case COS: dx = -(g * sin(x)); break;
    case TANH: dx = g * (1.0 - z * z); break;
    case SIGMOID: dx = g * (z * (1.0 - z)); break;
    case RELU: dx = z > 0.0 ? g : 0.0; break;
    case LEAKY: dx = x > 0.0 ? g : g * k; break;
    case ABS: dx = g * (x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x); break;
    case MAXIMUM: dx = x == y ? 0.5 * g : x < y ? 0.0 : g, dy = x == y ? 0.5 * g : x > y ? 0.0 : g; break;
    case MINIMUM: dx = x == y ? 0.5 * g : x > y ? 0.0 : g, dy = x == y ? 0.5 * g : x < y ? 0.0 : g; break;
    case SUM:
        for (size_t i = 0; i < node->n; i++) operand(s, node, i)->grad += g;
        return;
    case DOT: {
        const size_t n = node->n / 2, inputs = node->n - n;
        for (size_t i = 0; i < n; i++) operand(s, node, i)->grad += g * operand(s, node, inputs + i)->data;
        if (inputs != n) operand(s, node, n)->grad += g;
        for (size_t i = 0; i < n; i++) operand(s, node, inputs + i)->grad += g * operand(s, node, i)->data;
        return;
    }
    default: return;
    }
    operand(s, node, 0)->grad += dx;
    if (is_binary(node->op)) operand(s, node, 1)->grad += dy;
}

/* The derivative that the test gives a hooked node: its own step, and for a user-defined op g * (i + 1). */
static void hook_step(shadow *s, size_t index) {
    const shadow_node *node = &s->nodes[index];
    if (node->op != USER) {
        step_of(s, node);
        CHECK_INT(pg_step(s->arena, node->id), PG_OK);
        return;
    }
    for (size_t i = 0; i < node->n; i++) {
        shadow_node *x = operand(s, node, i);
        x->grad += node->grad * (double)(i + 1);
        pg_set_grad(s->arena, x->id, pg_grad(s->arena, x->id) + pg_grad(s->arena, node->id) * (double)(i + 1));
    }
}

static void clear_marks(shadow *s) {
    for (size_t i = 0; i < s->n; i++) s->nodes[i].mark = 0;
}

/* Post-order of all nodes under root, operands left to right. */
static size_t order_of(shadow *s, size_t root) {
    size_t count = 0, depth = 0;
    clear_marks(s);
    s->nodes[root].mark = 1;
    s->stack[depth] = root;
    s->cursor[depth++] = 0;
    while (depth > 0) {
        size_t v = s->stack[depth - 1];
        if (s->cursor[depth - 1] == s->nodes[v].n) {
            s->order[count++] = v;
            depth--;
            continue;
        }
        size_t next = s->operands[s->nodes[v].first + s->cursor[depth - 1]++];
        if (s->nodes[next].mark) continue;
        s->nodes[next].mark = 1;
        s->stack[depth] = next;
        s->cursor[depth++] = 0;
    }
    return count;
}

/* ---- what is alive, by reachability from the handles ---- */

static void find_the_living(shadow *s) {
    clear_marks(s);
    size_t depth = 0;
    for (size_t i = 0; i < s->n_held; i++) {
        s->nodes[s->held[i]].mark = 1;
        s->stack[depth++] = s->held[i];
    }
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t i = 0; i < s->layers[l].nout * (s->layers[l].nin + 1); i++) {
            size_t next = s->operands[s->layers[l].first + i];
            if (s->nodes[next].mark) continue;
            s->nodes[next].mark = 1;
            s->stack[depth++] = next;
        }
    while (depth > 0) {
        const shadow_node *node = &s->nodes[s->stack[--depth]];
        for (size_t i = 0; i < node->n; i++) {
            size_t next = s->operands[node->first + i];
            if (s->nodes[next].mark) continue;
            s->nodes[next].mark = 1;
            s->stack[depth++] = next;
        }
    }
    for (size_t i = 0; i < s->n; i++) {
        shadow_node *node = &s->nodes[i];
        if (!node->alive || node->mark) continue;
        node->alive = 0;
        if (node->side) s->waiting++;
        else s->used[node->id] = 0;
    }
}

/* A list's operands, in shadow.operands, each gain a use: once, if the list is a shared one. */
static void count_list(shadow *s, size_t *uses, size_t list, size_t first, size_t n) {
    if (list != 0 && s->counted[list]) return;
    s->counted[list] = 1;
    for (size_t i = 0; i < n; i++) uses[s->operands[first + i]]++;
}

/* Everything the arena says, against the shadow. */
static void compare(shadow *s) {
    find_the_living(s);
    memset(s->counted, 0, s->n_shared + 1);
    size_t *uses = check_memory(s->n, sizeof *uses), living = 0, constants = 0, waiting = 0;
    for (size_t i = 0; i < s->n; i++) {
        const shadow_node *node = &s->nodes[i];
        if (!node->alive) continue;
        living++;
        constants += is_constant(node->op) != 0;
        uses[i] += node->handles;
        const size_t first = node->row ? node->n - node->n / 2 : node->n;
        count_list(s, uses, node->row, node->first, first);
        count_list(s, uses, node->inputs, node->first + first, node->n - first);
    }
    for (size_t l = 0; l < s->n_layers; l++)
        for (size_t j = 0; j < s->layers[l].nout; j++) {
            const shadow_layer *layer = &s->layers[l];
            count_list(s, uses, layer->row + j, layer->first + j * (layer->nin + 1), layer->nin + 1);
        }
    pg_id read[64];
    for (size_t i = 0; i < s->n; i++) {
        const shadow_node *node = &s->nodes[i];
        if (!node->alive) {
            waiting += node->id != PG_NONE && node->side;
            if (node->id != PG_NONE && node->side) CHECK_INT(pg_op(s->arena, node->id), PG_ERR_ID);
            continue;
        }
        CHECK_INT(pg_op(s->arena, node->id), codes[node->op]);
        CHECK_SAME(pg_data(s->arena, node->id), node->data);
        CHECK_SAME(pg_grad(s->arena, node->id), node->grad);
        CHECK_INT(pg_uses(s->arena, node->id), uses[i]);
        CHECK_SAME(pg_node_constant(s->arena, node->id), is_constant(node->op) ? node->k : (double)NAN);
        CHECK_INT(pg_operands(s->arena, node->id, read, 64), node->n);
        for (size_t j = 0; j < node->n && j < 64; j++) CHECK_INT(read[j], operand(s, node, j)->id);
    }
    /* hidden constants may be shared: at most one each */
    uint64_t live = LIVE(s->arena) - s->others;
    CHECK(live >= living + waiting + (constants > 0));
    CHECK(live <= living + waiting + constants);
    free(uses);
}

/* ---- a random program ---- */

static size_t new_node(shadow *s, int op, const size_t *operands, size_t n, double data, double k, pg_id id) {
    if (s->n == s->capacity || s->n_operands + n > s->operand_capacity) exit(2);
    shadow_node *node = &s->nodes[s->n];
    *node = (shadow_node){.op = op, .first = s->n_operands, .n = n, .data = data, .k = k, .id = id, .alive = 1};
    for (size_t i = 0; i < n; i++) s->operands[s->n_operands++] = operands[i];
    if (id >= s->used_capacity) {
        size_t capacity = (size_t)id * 2;
        uint8_t *used = realloc(s->used, capacity);
        if (!used) exit(2);
        memset(used + s->used_capacity, 0, capacity - s->used_capacity);
        s->used = used;
        s->used_capacity = capacity;
    }
    CHECK(!s->used[id]); /* two living nodes, or one living and one in limbo, never share an id */
    s->used[id] = 1;
    return s->n++;
}

static void hold(shadow *s, size_t index) {
    if (s->nodes[index].handles++ == 0) s->held[s->n_held++] = index;
}

/* A node to compute with: often a recent one, for depth; sometimes any, for sharing. */
static size_t pick(shadow *s) {
    size_t i = check_below(&s->random, 2) ? check_below(&s->random, s->n_held)
                                          : s->n_held - 1 - check_below(&s->random, s->n_held < 8 ? s->n_held : 8);
    return s->held[i];
}

/* The living node that stands next in memory, so that lists become runs; if there is none, any. */
static size_t pick_after(shadow *s, size_t before) {
    for (size_t i = s->n; i-- > 0;)
        if (s->nodes[i].alive && s->nodes[i].id == s->nodes[before].id + 1) return i;
    return pick(s);
}

static double number(shadow *s) {
    static const double odd[] = {0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 1e200, -1e-200, INFINITY, NAN};
    if (check_below(&s->random, 40) == 0) return odd[check_below(&s->random, sizeof odd / sizeof *odd)];
    if (check_below(&s->random, 6) == 0) return odd[check_below(&s->random, 7)];
    return check_uniform(&s->random, -2.0, 2.0);
}

static void make_leaf(shadow *s) {
    double data = number(s);
    hold(s, new_node(s, LEAF, NULL, 0, data, NAN, MADE(pg_leaf(s->arena, data))));
}

/* An op on held nodes and numbers. An error must be the predicted one. */
static void make_fixed(shadow *s) {
    int op, status;
    do op = NEG + (int)check_below(&s->random, SUM - NEG);
    while (op == CONST);
    const size_t x = pick(s), y = pick(s);
    const pg_id idx = s->nodes[x].id, idy = s->nodes[y].id;
    const double dx = s->nodes[x].data, dy = s->nodes[y].data, k = number(s);
    int form = is_binary(op) ? (int)check_below(&s->random, 4) : 0; /* 2: the number right, 3: left */
    double want = form == 2 || is_constant(op) ? value_of(op, dx, k, &status)
                  : form == 3                  ? value_of(op, k, dx, &status)
                                               : value_of(op, dx, dy, &status);
    pg_result made = is_unary(op)      ? pg_unary(s->arena, codes[op], idx)
                     : is_constant(op) ? pg_constant(s->arena, codes[op], idx, k)
                     : form == 2       ? pg_binary_right(s->arena, codes[op], idx, k)
                     : form == 3       ? pg_binary_left(s->arena, codes[op], k, idx)
                                       : pg_binary(s->arena, codes[op], idx, idy);
    if (status != PG_OK) {
        CHECK_INT(made, status);
        return;
    }
    pg_id id = MADE(made), read[2];
    if (form < 2) {
        const size_t operands[] = {x, y};
        hold(s, new_node(s, op, operands, is_binary(op) ? 2 : 1, want, k, id));
        return;
    }
    CHECK_INT(pg_operands(s->arena, id, read, 2), 2);
    size_t leaf = new_node(s, LEAF, NULL, 0, k, NAN, read[form == 2 ? 1 : 0]); /* nobody has a handle of it */
    const size_t operands[] = {form == 2 ? x : leaf, form == 2 ? leaf : x};
    hold(s, new_node(s, op, operands, 2, want, NAN, id));
}

static void make_wide(shadow *s) {
    size_t operands[41], n = check_below(&s->random, check_below(&s->random, 4) ? 6 : 21);
    pg_id ids[41];
    const int op = check_below(&s->random, 3) == 0 ? USER : check_below(&s->random, 2) ? SUM : DOT;
    const int bias = op == DOT && check_below(&s->random, 2), restore = check_below(&s->random, 4) == 0;
    size_t total = op == DOT ? 2 * n + (size_t)bias : n;
    const size_t inputs = n + (size_t)bias, runs = check_below(&s->random, 3); /* none, one of all, two that may overlap */
    for (size_t i = 0; i < total; i++) {
        operands[i] = runs == 0 || i == 0 ? pick(s) : pick_after(s, operands[i - 1]);
        if (runs == 2 && op == DOT && i == inputs) operands[i] = operands[check_below(&s->random, inputs)];
        ids[i] = s->nodes[operands[i]].id;
    }
    const shadow_node *nodes = s->nodes;
    double data = number(s);
    if (op == SUM && !restore) {
        data = n > 0 ? nodes[operands[0]].data : 0.0;
        for (size_t i = 1; i < n; i++) data += nodes[operands[i]].data;
    }
    if (op == DOT && !restore) {
        data = bias ? nodes[operands[n]].data : n > 0 ? nodes[operands[0]].data * nodes[operands[inputs]].data : 0.0;
        for (size_t i = bias ? 0 : 1; i < n; i++) data += nodes[operands[i]].data * nodes[operands[inputs + i]].data;
    }
    double grad = restore ? number(s) : 0.0;
    pg_result made = restore     ? pg_restore(s->arena, codes[op], ids, total, 0.0, data, grad)
                     : op == SUM ? pg_sum(s->arena, ids, n)
                     : op == DOT ? pg_dot(s->arena, ids, ids + inputs, n, bias ? ids[n] : PG_NONE)
                                 : pg_user(s->arena, data, ids, n);
    size_t index = new_node(s, op, operands, total, data, NAN, MADE(made));
    s->nodes[index].grad = grad;
    hold(s, index);
}

/* A layer of held nodes: any of them, or new leaves that follow one another. */
static void make_layer(shadow *s) {
    shadow_layer *layer = &s->layers[s->n_layers++];
    *layer = (shadow_layer){.nin = check_below(&s->random, WIDTH + 1), .nout = 1 + check_below(&s->random, WIDTH)};
    const size_t width = layer->nin + 1, leaves = check_below(&s->random, 3);
    pg_id ids[WIDTH * (WIDTH + 1)];
    do layer->op = (int)check_below(&s->random, OPS);
    while (layer->op != FREE && !is_unary(layer->op) && !is_constant(layer->op));
    layer->k = number(s);
    layer->first = s->n_operands;
    layer->row = s->n_shared + 1;
    s->n_shared += layer->nout;
    for (size_t i = 0; i < layer->nout * width; i++) {
        if (leaves == 1 || (leaves == 2 && i % 5)) {
            make_leaf(s);
            s->operands[s->n_operands] = s->n - 1;
        } else {
            s->operands[s->n_operands] = pick(s);
        }
        ids[i] = s->nodes[s->operands[s->n_operands++]].id;
    }
    int status = PG_ERR_OP;
    layer->layer = pg_layer_new(s->arena, ids, layer->nin, layer->nout, codes[layer->op], layer->k, &status);
    CHECK_INT(status, PG_OK);
    if (!layer->layer) exit(2);
}

static void free_layer(shadow *s, size_t index) {
    CHECK(pg_layer_free(s->layers[index].layer) >= 0);
    s->layers[index] = s->layers[--s->n_layers];
}

/* What a layer gives for x: its dot nodes and, if it has an activation, those. PG_OK, or what it fails with. */
static int values_of_layer(const shadow *s, const shadow_layer *layer, const double *x, double *dots, double *out) {
    int status = PG_OK;
    for (size_t j = 0; j < layer->nout; j++) {
        const size_t *row = s->operands + layer->first + j * (layer->nin + 1);
        dots[j] = s->nodes[row[layer->nin]].data;
        for (size_t i = 0; i < layer->nin; i++) dots[j] += s->nodes[row[i]].data * x[i];
    }
    for (size_t j = 0; j < layer->nout && status == PG_OK; j++)
        out[j] = layer->op == FREE ? dots[j] : value_of(layer->op, dots[j], layer->k, &status);
    return status;
}

/* The nodes of one layer: x are shadow nodes, and become what it gave. ids: of its outputs. */
static void note_layer(shadow *s, const shadow_layer *layer, size_t *x, const pg_id *ids, const double *dots,
                       const double *out) {
    const size_t list = ++s->n_shared;
    size_t operands[2 * WIDTH + 1], made[WIDTH];
    for (size_t j = 0; j < layer->nout; j++) {
        memcpy(operands, s->operands + layer->first + j * (layer->nin + 1), (layer->nin + 1) * sizeof *operands);
        memcpy(operands + layer->nin + 1, x, layer->nin * sizeof *x);
        pg_id dot = ids[j];
        if (layer->op != FREE) CHECK_INT(pg_operands(s->arena, ids[j], &dot, 1), 1);
        made[j] = new_node(s, DOT, operands, 2 * layer->nin + 1, dots[j], NAN, dot);
        s->nodes[made[j]].row = layer->row + j;
        s->nodes[made[j]].inputs = list;
    }
    for (size_t j = 0; j < layer->nout && layer->op != FREE; j++) {
        if (check_below(&s->random, 4) == 0) { /* a dot product that others can use, too */
            CHECK_INT(pg_retain(s->arena, s->nodes[made[j]].id), PG_OK);
            hold(s, made[j]);
        }
        made[j] = new_node(s, layer->op, &made[j], 1, out[j], layer->k, ids[j]);
    }
    memcpy(x, made, layer->nout * sizeof *x);
}

/* The ids of the inputs of a layer whose outputs are known. */
static void find_inputs(shadow *s, const shadow_layer *layer, const pg_id *out, pg_id *inputs) {
    pg_id dot = out[0], operands[2 * WIDTH + 1];
    if (layer->op != FREE) CHECK_INT(pg_operands(s->arena, out[0], &dot, 1), 1);
    CHECK_INT(pg_operands(s->arena, dot, operands, 2 * WIDTH + 1), 2 * layer->nin + 1);
    memcpy(inputs, operands + layer->nin + 1, layer->nin * sizeof *inputs);
}

/* Some layers that fit one another, in one call. */
static void apply_layers(shadow *s) {
    const shadow_layer *layers[IN_A_CALL];
    pg_layer *handles[IN_A_CALL];
    const size_t most = 1 + check_below(&s->random, IN_A_CALL);
    size_t count = 0, x[WIDTH];
    for (size_t l = check_below(&s->random, s->n_layers), tries = 0; tries < LAYERS && count < most; tries++) {
        if (count == 0 || s->layers[l].nin == layers[count - 1]->nout) {
            layers[count] = &s->layers[l];
            handles[count++] = s->layers[l].layer;
        }
        l = check_below(&s->random, s->n_layers);
    }
    pg_id ids[IN_A_CALL + 1][WIDTH];
    double numbers[WIDTH], dots[IN_A_CALL][WIDTH], data[IN_A_CALL + 1][WIDTH];
    const size_t n = layers[0]->nin, runs = check_below(&s->random, 2);
    const size_t numbers_among = runs ? 0 : check_below(&s->random, 3);
    for (size_t i = 0; i < n; i++) {
        const int is_number = numbers_among == 1 || (numbers_among == 2 && check_below(&s->random, 2));
        x[i] = runs && i == 0  ? s->operands[layers[0]->first + check_below(&s->random, layers[0]->nin + 1)]
               : runs          ? pick_after(s, x[i - 1])
                               : pick(s);
        numbers[i] = number(s);
        ids[0][i] = is_number ? PG_NONE : s->nodes[x[i]].id;
        data[0][i] = is_number ? numbers[i] : s->nodes[x[i]].data;
    }
    int status = PG_OK;
    for (size_t i = 0; i < count && status == PG_OK; i++)
        status = values_of_layer(s, layers[i], data[i], dots[i], data[i + 1]);
    CHECK_INT(pg_layers_apply(handles, count, ids[0], numbers, n, ids[count]), status);
    if (status != PG_OK) return;
    pg_id inputs[WIDTH];
    for (size_t i = count; i-- > 0;) find_inputs(s, layers[i], ids[i + 1], i > 0 ? ids[i] : inputs);
    for (size_t i = 0; i < n; i++) {
        if (ids[0][i] == PG_NONE) x[i] = new_node(s, LEAF, NULL, 0, numbers[i], NAN, inputs[i]);
        else CHECK_INT(inputs[i], ids[0][i]);
    }
    for (size_t i = 0; i < count; i++) note_layer(s, layers[i], x, ids[i + 1], dots[i], data[i + 1]);
    for (size_t j = 0; j < layers[count - 1]->nout; j++) hold(s, x[j]);
}

static void let_go(shadow *s, size_t position) {
    size_t index = s->held[position];
    CHECK(pg_release(s->arena, s->nodes[index].id) >= 0);
    if (--s->nodes[index].handles == 0) s->held[position] = s->held[--s->n_held];
}

/* Hooks on whatever comes by; a leaf with one becomes a user-defined op without operands. */
static void flag(shadow *s) {
    shadow_node *node = &s->nodes[pick(s)];
    const size_t what = check_below(&s->random, 4);
    if (what == 0) node->side = !node->side;
    else if (node->op != LEAF || s->leaf_hooks) node->hook = what == 1 || node->op == USER ? 1 : 0;
    if (node->hook && node->op == LEAF) node->op = USER;
    int set = (node->side ? PG_NODE_SIDE : 0) | (node->hook ? PG_NODE_HOOK : 0);
    CHECK_INT(pg_set_flags(s->arena, node->id, set, ~set), PG_OK);
}

static void bury(shadow *s) {
    find_the_living(s);
    for (pg_id id; (id = pg_limbo(s->arena)) != PG_NONE;) {
        size_t i = 0;
        while (i < s->n && !(s->nodes[i].id == id && !s->nodes[i].alive && s->nodes[i].side)) i++;
        CHECK(i < s->n); /* it was expected, and only once */
        if (i == s->n) return;
        s->nodes[i].id = PG_NONE;
        s->used[id] = 0;
        s->waiting--;
        pg_bury(s->arena, id);
    }
    CHECK_INT(s->waiting, 0);
}

static void zero_grads(shadow *s) {
    for (size_t i = 0; i < s->n; i++) {
        s->nodes[i].grad = 0.0;
        if (s->nodes[i].alive) pg_set_grad(s->arena, s->nodes[i].id, 0.0);
    }
}

static void backward(shadow *s) {
    find_the_living(s);
    if (check_below(&s->random, 2)) zero_grads(s);
    const size_t root = pick(s), count = order_of(s, root);
    for (size_t i = 0; i < s->n; i++) s->saved[i] = s->nodes[i].grad;
    int status = PG_ERR_OP, failed = 0;
    pg_sweep *sweep = pg_sweep_new(s->arena, s->nodes[root].id, &status);
    CHECK_INT(status, PG_OK);
    if (!sweep) return;
    s->nodes[root].grad = 1.0;
    for (size_t i = count; i-- > 0 && !failed;) {
        const shadow_node *node = &s->nodes[s->order[i]];
        if (!node->hook) {
            step_of(s, node);
            continue;
        }
        CHECK_INT(pg_sweep_run(sweep), node->id);
        hook_step(s, s->order[i]);
        failed = check_below(&s->random, 12) == 0;
        if (check_below(&s->random, 8) == 0) pg_arena_trim(s->arena);
    }
    if (!failed) CHECK_INT(pg_sweep_run(sweep), PG_NONE);
    CHECK(pg_sweep_end(sweep, failed) >= 0);
    if (failed)
        for (size_t i = 0; i < s->n; i++) s->nodes[i].grad = s->saved[i];
}

static void change_data(shadow *s) {
    shadow_node *node = &s->nodes[pick(s)];
    node->data = number(s);
    pg_set_data(s->arena, node->id, node->data);
}

static void let_go_of_many(shadow *s) {
    size_t how = check_below(&s->random, 3), keep = check_below(&s->random, s->n_held + 1);
    while (s->n_held > keep && s->n_held > 1)
        let_go(s, how == 0 ? s->n_held - 1 : how == 1 ? 0 : check_below(&s->random, s->n_held));
}

/* `steps` random operations, comparing after about every `interval` of them; at the end nothing is left. */
static void play(pg_arena *arena, uint64_t seed, size_t steps, size_t interval) {
    shadow s = {.leaf_hooks = seed % 4 >= 2, .arena = arena, .random = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1}, .others = LIVE(arena)};
    s.capacity = (2 * IN_A_CALL * WIDTH + WIDTH + 2) * steps + 4;
    s.operand_capacity = (IN_A_CALL * WIDTH * (2 * WIDTH + 2) + 45) * steps + 64;
    s.counted = check_memory((WIDTH + IN_A_CALL) * steps + 1, sizeof *s.counted);
    s.nodes = check_memory(s.capacity, sizeof *s.nodes);
    s.operands = check_memory(s.operand_capacity, sizeof *s.operands);
    s.held = check_memory(s.capacity, sizeof *s.held);
    s.order = check_memory(s.capacity, sizeof *s.order);
    s.stack = check_memory(s.capacity, sizeof *s.stack);
    s.cursor = check_memory(s.capacity, sizeof *s.cursor);
    s.saved = check_memory(s.capacity, sizeof *s.saved);
    for (size_t i = 0; i < 10; i++) (void)check_next(&s.random);
    for (size_t i = 0; i < steps; i++) {
        find_the_living(&s);
        if (s.n_held == 0 || check_below(&s.random, 8) == 0) {
            make_leaf(&s);
            continue;
        }
        switch (check_below(&s.random, 14)) {
        case 0: make_wide(&s); break;
        case 12:
            if (s.n_layers == LAYERS || (s.n_layers > 0 && check_below(&s.random, 4) == 0))
                free_layer(&s, check_below(&s.random, s.n_layers));
            else if (check_below(&s.random, 3) == 0) make_layer(&s);
            break;
        case 13:
            if (s.n_layers > 0) apply_layers(&s);
            break;
        case 1:
        case 2: let_go(&s, check_below(&s.random, s.n_held)); break;
        case 3:
            if (check_below(&s.random, 4) == 0) flag(&s);
            else change_data(&s);
            break;
        case 4: {
            size_t index = pick(&s);
            CHECK_INT(pg_retain(arena, s.nodes[index].id), PG_OK);
            hold(&s, index);
            break;
        }
        default: make_fixed(&s);
        }
        if (s.n_held == 0) continue;
        if (check_below(&s.random, interval) == 0) backward(&s);
        if (check_below(&s.random, interval) == 0) bury(&s);
        if (check_below(&s.random, 4 * interval) == 0) pg_arena_trim(arena);
        if (check_below(&s.random, 3 * interval) == 0) let_go_of_many(&s);
        if (check_below(&s.random, interval) == 0) compare(&s);
    }
    if (s.n_held > 0) backward(&s);
    compare(&s);
    if (seed % 2)
        while (s.n_layers > 0) free_layer(&s, check_below(&s.random, s.n_layers));
    while (s.n_held > 0) let_go(&s, check_below(&s.random, s.n_held));
    compare(&s);
    while (s.n_layers > 0) free_layer(&s, s.n_layers - 1);
    compare(&s);
    bury(&s);
    CHECK_INT(LIVE(arena), s.others);
    free(s.nodes);
    free(s.operands);
    free(s.held);
    free(s.order);
    free(s.stack);
    free(s.cursor);
    free(s.saved);
    free(s.used);
    free(s.counted);
}

/* Leaves beside the program, with holes among them, so that its few nodes lie scattered over several segments. */
static void play_among_others(pg_arena *arena, uint64_t round) {
    enum { OTHERS = 20000 };
    check_random random = {round};
    pg_id *ids = check_memory(OTHERS, sizeof *ids);
    size_t holes = 2 + check_below(&random, 300), wrong = 0;
    for (size_t i = 0; i < OTHERS; i++) ids[i] = MADE(pg_leaf(arena, (double)i));
    for (size_t i = 0; i < OTHERS; i++)
        if (check_below(&random, holes) == 0 || (i / 4096 == 2 && round % 20 == 0)) {
            wrong += pg_release(arena, ids[i]) != 0;
            ids[i] = PG_NONE;
        }
    play(arena, round, 400, 20);
    for (size_t i = 0; i < OTHERS; i++) {
        if (ids[i] == PG_NONE) continue;
        wrong += pg_data(arena, ids[i]) != (double)i || pg_grad(arena, ids[i]) != 0.0 || pg_uses(arena, ids[i]) != 1;
        wrong += pg_release(arena, ids[i]) != 0;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(LIVE(arena), 0);
    free(ids);
}

static void play_round(pg_arena *const *arenas, uint64_t round) {
    uint64_t failed = check_failed;
    pg_arena *arena = arenas[round % 4 >= 2];
    if (round % 100 == 99) play(arena, round, check_scaled(2500, 400), 200);
    else if (round % 10 == 0) play_among_others(arena, round);
    else play(arena, round, 60 + (size_t)(round * 37 % 300), 8);
    if (check_failed != failed)
        fprintf(stderr, "round %llu: PG_TEST_SEED=%llu\n", (unsigned long long)round, (unsigned long long)round);
}

int main(void) {
    for (int op = 0; op < OPS; op++) codes[op] = check_op(op_names[op]);
    /* for all rounds: what a round leaves behind harms the next; one for those in which leaves get hooks */
    pg_arena *arenas[] = {check_arena(0), check_arena(0)};
    const char *seed = getenv("PG_TEST_SEED");
    if (seed) play_round(arenas, strtoull(seed, NULL, 10));
    else
        for (uint64_t round = 1; round <= check_scaled(2000, 100) && check_failed == 0; round++)
            play_round(arenas, round);
    for (int i = 0; i < 2; i++) pg_arena_free(arenas[i]);
    return check_finish();
}
