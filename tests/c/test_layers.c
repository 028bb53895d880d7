/* test_layers.c: whole layers in one call, against the same neurons made one by one with pg_dot and pg_unary or
 * pg_constant: bits, order, counts; their lists, which are shared, moved and marked; errors and lifetimes.
 *
 * "One by one" is the oracle, and its own oracles are in test_ops.c and test_fuzz.c, where layers take part in random
 * programs too. Memory that runs out is here for layers alone.
 */
#include "check.h"

enum { MOST_LAYERS = 3, FEW = 256, WIDEST = 300, MOST_NODES = 4000, MOST_SEEN = 40000 };

static int op_leaf, op_add, op_mul, op_neg, op_tanh, op_relu, op_log, op_pow_const, op_elu, op_dot;

static int takes_constant(int op) { return op != 0 && pg_op_describe(op)->kind == PG_KIND_CONSTANT; }

/* ---- layers and neurons side by side ---- */

/* What a program saw, number by number, statuses and counts included. */
typedef struct {
    double seen[MOST_SEEN];
    size_t n;
} journal;

static void note(journal *j, double x) {
    if (j->n == MOST_SEEN) exit(2);
    j->seen[j->n++] = x;
}

typedef struct {
    size_t nin, nout;
    int op;
    double k;
    pg_id *parameters; /* nout rows of nin weights and the bias */
    pg_layer *layer;   /* NULL: to be computed one by one */
} layer;

/* What one run of layers made, if the caller has a handle of it or not: by place, not by id. */
typedef struct {
    pg_id nodes[MOST_NODES];
    size_t n;
} made_nodes;

/* One layer on x, neuron by neuron; handles of all it made go to made, dots first. Nothing is left on error. */
static int one_by_one(pg_arena *arena, const layer *l, const pg_id *x, pg_id *out, made_nodes *made) {
    size_t before = made->n, width = l->nin + 1;
    int status = PG_OK;
    for (size_t j = 0; j < l->nout; j++) {
        const pg_id *row = l->parameters + j * width;
        made->nodes[made->n++] = out[j] = MADE(pg_dot(arena, row, x, l->nin, row[l->nin]));
    }
    for (size_t j = 0; j < l->nout && l->op != 0; j++) {
        pg_result node = takes_constant(l->op) ? pg_constant(arena, l->op, out[j], l->k) : pg_unary(arena, l->op, out[j]);
        if (node < 0) {
            status = (int)node;
            break;
        }
        made->nodes[made->n++] = out[j] = PG_RESULT_ID(node);
    }
    if (status != PG_OK)
        while (made->n > before) (void)pg_release(arena, made->nodes[--made->n]);
    return status;
}

/* All layers, in the same places of `made` as one call would have them. */
static int all_one_by_one(pg_arena *arena, const layer *layers, size_t count, const pg_id *x, const double *numbers,
                          pg_id *out, made_nodes *made) {
    pg_id ids[WIDEST];
    size_t n = layers[0].nin;
    made->n = 0;
    for (size_t i = 0; i < n; i++) {
        ids[i] = x[i] != PG_NONE ? x[i] : MADE(pg_leaf(arena, numbers[i]));
        if (x[i] != PG_NONE) CHECK_INT(pg_retain(arena, x[i]), PG_OK);
        made->nodes[made->n++] = ids[i];
    }
    int status = PG_OK;
    for (size_t i = 0; i < count && status == PG_OK; i++) {
        pg_id next[WIDEST];
        status = one_by_one(arena, &layers[i], ids, next, made);
        memcpy(ids, next, layers[i].nout * sizeof *ids);
    }
    for (size_t i = 0; i < layers[count - 1].nout && status == PG_OK; i++) {
        out[i] = ids[i];
        CHECK_INT(pg_retain(arena, out[i]), PG_OK);
    }
    if (status != PG_OK)
        while (made->n > 0) (void)pg_release(arena, made->nodes[--made->n]);
    return status;
}

/* The nodes of one call, found through the operands of what it gave, each with a handle. Needs an output everywhere. */
static void find_made(pg_arena *arena, const layer *layers, size_t count, const pg_id *out, made_nodes *made) {
    static pg_id stages[2 * MOST_LAYERS + 1][WIDEST];
    size_t widths[2 * MOST_LAYERS + 1], n = 2 * count;
    memcpy(stages[n], out, layers[count - 1].nout * sizeof *out);
    for (size_t i = count; i-- > 0; n -= 2) {
        const layer *l = &layers[i];
        pg_id operands[2 * WIDEST + 1];
        widths[n] = widths[n - 1] = l->nout, widths[n - 2] = l->nin;
        for (size_t j = 0; j < l->nout; j++) {
            stages[n - 1][j] = stages[n][j];
            if (l->op != 0) {
                CHECK_INT(pg_op(arena, stages[n][j]), l->op);
                CHECK_INT(pg_operands(arena, stages[n][j], &stages[n - 1][j], 1), 1);
                CHECK_SAME(pg_node_constant(arena, stages[n][j]), takes_constant(l->op) ? l->k : (double)NAN);
            }
            CHECK_INT(pg_op(arena, stages[n - 1][j]), op_dot);
            CHECK_INT(pg_operands(arena, stages[n - 1][j], operands, 2 * l->nin + 1), 2 * l->nin + 1);
            CHECK(memcmp(operands, l->parameters + j * (l->nin + 1), (l->nin + 1) * sizeof *operands) == 0);
            if (j > 0) CHECK(memcmp(operands + l->nin + 1, stages[n - 2], l->nin * sizeof *operands) == 0);
            memcpy(stages[n - 2], operands + l->nin + 1, l->nin * sizeof *operands);
        }
    }
    made->n = 0;
    for (size_t s = 0; s <= 2 * count; s++)
        for (size_t j = 0; j < widths[s]; j++)
            if (s == 0 || s % 2 == 1 || layers[s / 2 - 1].op != 0) {
                made->nodes[made->n++] = stages[s][j];
                CHECK_INT(pg_retain(arena, stages[s][j]), PG_OK);
            }
}

static int compute(pg_arena *arena, const layer *layers, size_t count, const pg_id *x, const double *numbers, pg_id *out,
                   made_nodes *made) {
    if (!layers[0].layer) return all_one_by_one(arena, layers, count, x, numbers, out, made);
    pg_layer *handles[MOST_LAYERS];
    for (size_t i = 0; i < count; i++) handles[i] = layers[i].layer;
    made->n = 0;
    pg_result result = pg_layers_apply(handles, count, x, numbers, layers[0].nin, out);
    if (result == PG_OK) find_made(arena, layers, count, out, made);
    return (int)result;
}

/* backward(), noting the order in which the nodes of `made` take their steps. */
static void sweep_and_note(journal *j, pg_arena *arena, pg_id root, const made_nodes *made) {
    for (size_t i = 0; i < made->n; i++)
        if (pg_op(arena, made->nodes[i]) != op_leaf)
            CHECK_INT(pg_set_flags(arena, made->nodes[i], PG_NODE_HOOK, 0), PG_OK);
    int status;
    pg_sweep *sweep = pg_sweep_new(arena, root, &status);
    CHECK_INT(status, PG_OK);
    if (!sweep) return;
    for (pg_id id; (id = pg_sweep_run(sweep)) != PG_NONE;) {
        CHECK_INT(pg_step(arena, id), PG_OK);
        for (size_t i = 0; i < made->n; i++)
            if (made->nodes[i] == id) note(j, (double)i);
    }
    CHECK_INT(pg_sweep_end(sweep, 0), 0);
    for (size_t i = 0; i < made->n; i++) CHECK_INT(pg_set_flags(arena, made->nodes[i], 0, PG_NODE_HOOK), PG_OK);
}

static void note_gradients(journal *j, pg_arena *arena, const pg_id *ids, size_t n) {
    for (size_t i = 0; i < n; i++) note(j, pg_grad(arena, ids[i]));
}

typedef enum { RUN, SHUFFLED, REPEATED, COMPUTED, PLACINGS } placing;

/* The layers' parameters, from `pool`. */
static void place_parameters(pg_arena *arena, check_random *random, placing how, layer *l, const pg_id *pool, size_t n) {
    size_t count = l->nout * (l->nin + 1), first = check_below(random, n - count + 1);
    l->parameters = check_memory(count, sizeof *l->parameters);
    for (size_t i = 0; i < count; i++) l->parameters[i] = pool[how == REPEATED ? check_below(random, n) : first + i];
    for (size_t i = count; how == SHUFFLED && i > 1; i--) {
        size_t other = check_below(random, i);
        pg_id swapped = l->parameters[i - 1];
        l->parameters[i - 1] = l->parameters[other];
        l->parameters[other] = swapped;
    }
    for (size_t i = 0; i < count; i++) {
        if (how == COMPUTED && check_below(random, 3) == 0)
            l->parameters[i] = MADE(pg_unary(arena, check_below(random, 2) ? op_neg : op_tanh, l->parameters[i]));
        else CHECK_INT(pg_retain(arena, l->parameters[i]), PG_OK);
    }
}

/* One random program, in layers or one by one; what it sees must not depend on which. */
static void play(journal *j, uint64_t seed, int in_layers, int activation) {
    check_random random = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    for (int i = 0; i < 10; i++) (void)check_next(&random);
    pg_arena *arena = check_arena(0);
    static pg_id pool[MOST_NODES], root_parts[2 * WIDEST + 2];
    layer layers[MOST_LAYERS];
    const size_t count = 1 + check_below(&random, MOST_LAYERS), wide = check_below(&random, 12);
    size_t width = wide == 0 ? WIDEST : 1 + check_below(&random, 7), pool_size = 4;
    const size_t nin = wide > 2 && check_below(&random, 6) == 0 ? 0 : width;
    for (size_t i = 0; i < count; i++) {
        size_t nout = wide == 1 && i + 1 == count ? WIDEST : 1 + check_below(&random, 7);
        int op = i + 1 == count || check_below(&random, 2) ? activation : op_tanh;
        layers[i] = (layer){.nin = i == 0 ? nin : layers[i - 1].nout, .nout = nout, .op = op};
        layers[i].k = check_uniform(&random, 0.1, 2.5);
        pool_size += layers[i].nout * (layers[i].nin + 1);
    }
    if (pool_size > MOST_NODES) exit(2);
    const double low = check_below(&random, 3) ? 0.05 : -1.0; /* a logarithm needs positive numbers */
    const placing how = (placing)check_below(&random, PLACINGS);
    for (size_t i = 0; i < pool_size; i++) pool[i] = MADE(pg_leaf(arena, check_uniform(&random, low, 1.0)));
    for (size_t i = 0; i < count; i++) {
        int status = PG_OK;
        layer *l = &layers[i];
        place_parameters(arena, &random, how, l, pool, pool_size);
        l->layer = in_layers ? pg_layer_new(arena, l->parameters, l->nin, l->nout, l->op, l->k, &status) : NULL;
        CHECK_INT(status, PG_OK);
    }
    const uint64_t live = LIVE(arena);
    const double hidden = check_uniform(&random, low, 1.0);
    pg_id x[WIDEST], own[2] = {MADE(pg_unary(arena, op_tanh, pool[0])), MADE(pg_leaf(arena, hidden))};
    double numbers[WIDEST];
    static made_nodes made[2];
    static pg_id outs[2][WIDEST];
    size_t calls = 1 + check_below(&random, 2), done = 0;
    const size_t kind = check_below(&random, 4);
    for (size_t i = 0; i < nin; i++) { /* all numbers, all nodes, a run of parameters, or mixed and repeated */
        numbers[i] = check_uniform(&random, low, 1.0);
        x[i] = kind == 0   ? PG_NONE
               : kind == 1 ? own[check_below(&random, 2)]
               : kind == 2 ? pool[i % pool_size]
                           : (pg_id[]){PG_NONE, own[0], own[1], pool[i % 3]}[check_below(&random, 4)];
    }
    for (; done < calls; done++) {
        int status = compute(arena, layers, count, x, numbers, outs[done], &made[done]);
        note(j, status);
        if (status != PG_OK) break;
        for (size_t i = 0; i < made[done].n; i++) note(j, pg_data(arena, made[done].nodes[i]));
        if (check_below(&random, 3) == 0) pg_arena_trim(arena);
    }
    note(j, (double)LIVE(arena));
    const size_t nout = layers[count - 1].nout;
    for (int round = 0; round < 2 && done > 0; round++) { /* two roots, each of some of the outputs */
        size_t n = 0;
        for (size_t call = 0; call < done; call++)
            for (size_t i = 0; i < nout; i++)
                if (check_below(&random, 3)) root_parts[n++] = outs[call][check_below(&random, nout)];
        root_parts[n++] = own[0];
        pg_id sum = MADE(pg_sum(arena, root_parts, n)), root = MADE(pg_binary(arena, op_mul, sum, outs[0][0]));
        CHECK_INT(pg_release(arena, sum), 0);
        BACKWARD(arena, root);
        note_gradients(j, arena, pool, pool_size);
        sweep_and_note(j, arena, root, &made[check_below(&random, done)]);
        note_gradients(j, arena, pool, pool_size);
        note_gradients(j, arena, own, 2);
        for (size_t call = 0; call < done; call++) note_gradients(j, arena, made[call].nodes, made[call].n);
        CHECK_INT(pg_release(arena, root), 0);
    }
    const size_t freed = check_below(&random, 3); /* the layers before their nodes, between them, after them */
    for (size_t i = 0; i < count && freed == 0; i++) CHECK_INT(pg_layer_free(layers[i].layer), 0);
    for (size_t call = 0; call < done; call++) {
        for (size_t i = 0; i < nout; i++) CHECK_INT(pg_release(arena, outs[call][i]), 0);
        if (call == 0 && freed == 1)
            for (size_t i = 0; i < count; i++) CHECK_INT(pg_layer_free(layers[i].layer), 0);
        for (size_t i = 0; i < made[call].n; i++) CHECK_INT(pg_release(arena, made[call].nodes[i]), 0);
    }
    CHECK_INT(LIVE(arena), live + 2);
    for (size_t i = 0; i < count && (freed == 2 || (freed == 1 && done == 0)); i++)
        CHECK_INT(pg_layer_free(layers[i].layer), 0);
    for (size_t i = 0; i < 2; i++) CHECK_INT(pg_release(arena, own[i]), 0);
    for (size_t i = 0; i < count; i++) {
        for (size_t p = 0; p < layers[i].nout * (layers[i].nin + 1); p++)
            CHECK_INT(pg_release(arena, layers[i].parameters[p]), 0);
        free(layers[i].parameters);
    }
    for (size_t i = 0; i < pool_size; i++) CHECK_INT(pg_uses(arena, pool[i]), 1);
    CHECK_INT(LIVE(arena), pool_size);
    pg_arena_free(arena);
}

static void test_against_neurons(void) {
    static journal layered, single;
    for (int op = 0; op < (int)pg_op_count(); op++) {
        pg_kind kind = pg_op_describe(op)->kind;
        if (op != 0 && kind != PG_KIND_UNARY && kind != PG_KIND_CONSTANT) continue;
        for (uint64_t round = 0; round < check_scaled(60, 3); round++) {
            uint64_t seed = (uint64_t)op * 1000 + round, failed = check_failed;
            layered.n = single.n = 0;
            play(&layered, seed, 1, op);
            play(&single, seed, 0, op);
            CHECK_INT(layered.n, single.n);
            size_t wrong = 0;
            for (size_t i = 0; i < layered.n && i < single.n; i++)
                wrong += !check_same_bits(layered.seen[i], single.seen[i]);
            CHECK_INT(wrong, 0);
            if (check_failed != failed)
                fprintf(stderr, "activation %s, seed %llu\n", pg_op_describe(op)->name, (unsigned long long)seed);
        }
    }
}

/* ---- small graphs by hand ---- */

static pg_layer *new_layer(pg_arena *arena, const pg_id *parameters, size_t nin, size_t nout, int op, double k) {
    int status = PG_ERR_OP;
    pg_layer *made = pg_layer_new(arena, parameters, nin, nout, op, k, &status);
    CHECK_INT(status, PG_OK);
    if (!made) exit(2);
    return made;
}

static void new_leaves(pg_arena *arena, pg_id *ids, size_t n) {
    for (size_t i = 0; i < n; i++) ids[i] = MADE(pg_leaf(arena, 0.25 + 0.5 * (double)i));
}

/* Parameters are held once by their layer, inputs once a call, whatever the number of neurons. */
static void test_counts(void) {
    pg_arena *arena = check_arena(0);
    pg_id p[6], x[2], out[2], other[2], dot, again;
    new_leaves(arena, p, 6);
    new_leaves(arena, x, 2);
    p[5] = p[0]; /* the second bias is the first weight */
    pg_layer *l = new_layer(arena, p, 2, 2, op_relu, 0.0);
    CHECK_INT(pg_uses(arena, p[0]), 3);
    CHECK_INT(pg_uses(arena, p[1]), 2);
    const pg_id repeated[] = {x[0], x[0]};
    CHECK_INT(pg_layers_apply(&l, 1, repeated, NULL, 2, out), PG_OK);
    CHECK_INT(pg_uses(arena, p[0]), 3);
    CHECK_INT(pg_uses(arena, x[0]), 3);
    CHECK_INT(pg_layers_apply(&l, 1, x, NULL, 2, other), PG_OK);
    CHECK_INT(pg_uses(arena, x[0]), 4);
    CHECK_INT(pg_uses(arena, x[1]), 2);
    CHECK_INT(LIVE(arena), 8 + 2 * 4);
    for (int i = 0; i < 2; i++) {
        CHECK_INT(pg_uses(arena, out[i]), 1);
        CHECK_INT(pg_operands(arena, out[i], &dot, 1), 1);
        CHECK_INT(pg_uses(arena, dot), 1);
        CHECK_INT(pg_flags(arena, dot), 0);
    }
    CHECK_INT(pg_layer_free(l), 0); /* the nodes hold the rows now */
    CHECK_INT(pg_uses(arena, p[0]), 3);
    CHECK_INT(pg_release(arena, out[0]), 0);
    CHECK_INT(pg_release(arena, other[0]), 0);
    CHECK_INT(pg_uses(arena, p[1]), 1); /* the first row is gone, the second is not */
    CHECK_INT(pg_uses(arena, p[0]), 2);
    CHECK_INT(pg_uses(arena, x[0]), 4);
    CHECK_INT(pg_release(arena, out[1]), 0);
    CHECK_INT(pg_uses(arena, x[0]), 2);
    BACKWARD(arena, other[1]);
    CHECK_SAME(pg_grad(arena, p[3]), 0.25);
    CHECK_SAME(pg_grad(arena, p[0]), 1.0);
    CHECK_INT(pg_release(arena, other[1]), 0);
    for (int i = 0; i < 5; i++) CHECK_INT(pg_uses(arena, p[i]), 1);
    CHECK_INT(pg_uses(arena, x[0]), 1);

    /* numbers become leaves that only the dots hold, one however many neurons there are */
    l = new_layer(arena, p, 2, 2, 0, 0.0);
    const pg_id none[] = {PG_NONE, x[1]};
    const double numbers[] = {7.0, NAN};
    const uint64_t live = LIVE(arena);
    CHECK_INT(pg_layers_apply(&l, 1, none, numbers, 2, out), PG_OK);
    CHECK_INT(LIVE(arena), live + 3);
    pg_id operands[5], same[5];
    CHECK_INT(pg_operands(arena, out[0], operands, 5), 5);
    CHECK_INT(pg_operands(arena, out[1], same, 5), 5);
    CHECK_INT(operands[3], same[3]);
    CHECK_INT(operands[4], x[1]);
    CHECK_INT(pg_uses(arena, operands[3]), 1);
    CHECK_SAME(pg_data(arena, operands[3]), 7.0);
    CHECK_INT(pg_release(arena, out[1]), 0);
    again = out[0];
    CHECK_INT(pg_layers_apply(&l, 1, operands + 3, NULL, 2, out), PG_OK); /* that leaf as an input */
    CHECK_INT(pg_release(arena, again), 0);
    CHECK_SAME(pg_data(arena, operands[3]), 7.0);
    for (int i = 0; i < 2; i++) CHECK_INT(pg_release(arena, out[i]), 0);
    CHECK_INT(pg_layer_free(l), 0);
    CHECK_INT(LIVE(arena), live);
    pg_arena_free(arena);
}

/* No inputs, no outputs, neither. */
static void test_empty(void) {
    pg_arena *arena = check_arena(0);
    pg_id p[3], x[2], out[3] = {99, 99, 99};
    new_leaves(arena, p, 3);
    new_leaves(arena, x, 2);
    pg_layer *l[] = {new_layer(arena, NULL, 2, 0, op_tanh, 0.0), new_layer(arena, p, 0, 3, op_neg, 0.0),
                     new_layer(arena, NULL, 3, 0, 0, 0.0), new_layer(arena, NULL, 0, 0, op_elu, 1.0)};
    const uint64_t live = LIVE(arena);
    CHECK_INT(pg_layers_apply(l, 1, x, NULL, 2, out), PG_OK);
    CHECK_INT(out[0], 99);
    CHECK_INT(pg_layers_apply(l + 3, 1, NULL, NULL, 0, NULL), PG_OK);
    const pg_id none[] = {PG_NONE, PG_NONE};
    const double numbers[] = {1.0, 2.0};
    CHECK_INT(pg_layers_apply(l, 2, none, numbers, 2, out), PG_OK); /* through a layer of width 0 */
    CHECK_INT(LIVE(arena), live + 6);
    BACKWARD(arena, out[1]);
    CHECK_SAME(pg_data(arena, out[1]), -pg_data(arena, p[1]));
    CHECK_SAME(pg_grad(arena, p[1]), -1.0);
    CHECK_SAME(pg_grad(arena, p[0]), 0.0);
    for (int i = 0; i < 3; i++) CHECK_INT(pg_release(arena, out[i]), 0);
    CHECK_INT(pg_layers_apply(l, 4, none, numbers, 2, out), PG_OK); /* made, and dropped on the way */
    CHECK_INT(LIVE(arena), live);
    for (int i = 0; i < 4; i++) CHECK_INT(pg_layer_free(l[i]), 0);
    for (int i = 0; i < 3; i++) CHECK_INT(pg_uses(arena, p[i]), 1);
    pg_arena_free(arena);
}

static void test_errors(void) {
    pg_arena *arena = check_arena(0), *foreign = check_arena(0);
    pg_id p[6], x[3], out[4], q[3];
    int status;
    new_leaves(arena, p, 6);
    new_leaves(arena, x, 3);
    new_leaves(foreign, q, 3);
    const uint64_t live = LIVE(arena);
    for (int op = -1; op <= (int)pg_op_count(); op++) {
        const pg_op_info *info = pg_op_describe(op);
        int good = op == 0 || (info && (info->kind == PG_KIND_UNARY || info->kind == PG_KIND_CONSTANT));
        pg_layer *l = pg_layer_new(arena, p, 2, 2, op, 1.0, &status);
        CHECK_INT(status, good ? PG_OK : PG_ERR_OP);
        CHECK((l != NULL) == good);
        CHECK_INT(pg_layer_free(l), 0);
    }
    const size_t most = SIZE_MAX;
    CHECK(!pg_layer_new(arena, p, most, 1, 0, 0.0, &status) && status == PG_ERR_FULL);
    CHECK(!pg_layer_new(arena, p, 1, most, 0, 0.0, &status) && status == PG_ERR_FULL);
    CHECK(!pg_layer_new(arena, p, (size_t)1 << 29, 0, 0, 0.0, &status) && status == PG_ERR_FULL);
    pg_id dead = MADE(pg_leaf(arena, 1.0));
    CHECK_INT(pg_release(arena, dead), 0);
    const pg_id wrong[] = {PG_NONE, dead, UINT32_MAX, PG_MAX_NODES};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (size_t place = 0; place < 6; place++) {
            pg_id spoilt[6];
            memcpy(spoilt, p, sizeof p);
            spoilt[place] = wrong[i];
            CHECK(!pg_layer_new(arena, spoilt, 2, 2, 0, 0.0, &status));
            CHECK_INT(status, PG_ERR_ID);
        }
    for (int i = 0; i < 6; i++) CHECK_INT(pg_uses(arena, p[i]), 1);

    pg_layer *l[] = {new_layer(arena, p, 2, 2, op_tanh, 0.0), new_layer(arena, p, 3, 1, 0, 0.0),
                     new_layer(arena, p, 2, 1, op_log, 0.0)};
    pg_layer *away = new_layer(foreign, q, 2, 1, 0, 0.0);
    CHECK_INT(pg_layers_apply(l, 0, x, NULL, 2, out), PG_ERR_OP);
    CHECK_INT(pg_layers_apply(l, 1, x, NULL, 1, out), PG_ERR_OP);
    CHECK_INT(pg_layers_apply(l, 1, x, NULL, 3, out), PG_ERR_OP);
    CHECK_INT(pg_layers_apply(l, 2, x, NULL, 2, out), PG_ERR_OP); /* 2 outputs, then 3 inputs */
    CHECK_INT(pg_layers_apply((pg_layer *[]){l[0], away}, 2, x, NULL, 2, out), PG_ERR_OP);
    for (size_t i = 1; i < sizeof wrong / sizeof *wrong; i++) /* PG_NONE stands for a number */
        for (size_t place = 0; place < 2; place++) {
            pg_id spoilt[] = {x[0], x[1]};
            spoilt[place] = wrong[i];
            CHECK_INT(pg_layers_apply(l, 1, spoilt, NULL, 2, out), PG_ERR_ID);
        }
    CHECK_INT(LIVE(arena), live);
    for (int i = 0; i < 2; i++) CHECK_INT(pg_uses(arena, x[i]), 1);

    /* an activation that fails at the last neuron, after a layer that did not, and with inputs made for it */
    const pg_id some[] = {x[0], PG_NONE};
    const double numbers[] = {NAN, 0.5};
    pg_id bias = MADE(pg_leaf(arena, -1e9));
    const pg_id rows[] = {p[0], p[1], p[2], p[3], p[4], p[5], p[0], p[1], bias};
    pg_layer *failing = new_layer(arena, rows, 2, 3, op_log, 0.0), *root = new_layer(arena, rows, 2, 3, op_pow_const, -0.5);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(pg_layers_apply((pg_layer *[]){l[0], failing}, 2, some, numbers, 2, out), PG_ERR_DOMAIN);
        CHECK_INT(pg_layers_apply((pg_layer *[]){l[0], root, l[1]}, 3, some, numbers, 2, out), PG_ERR_COMPLEX);
        CHECK_INT(LIVE(arena), live + 1);
        CHECK_INT(pg_uses(arena, x[0]), 1);
        CHECK_INT(pg_uses(arena, bias), 3);
        pg_arena_trim(arena);
    }
    pg_set_data(arena, bias, 1.0);
    CHECK_INT(pg_layers_apply((pg_layer *[]){l[0], root, l[1]}, 3, some, numbers, 2, out), PG_OK);
    CHECK_INT(pg_release(arena, out[0]), 0);
    CHECK_INT(LIVE(arena), live + 1);
    CHECK_INT(pg_layer_free(NULL), 0);
    for (int i = 0; i < 3; i++) CHECK_INT(pg_layer_free(l[i]), 0);
    CHECK_INT(pg_layer_free(failing), 0);
    CHECK_INT(pg_layer_free(root), 0);
    CHECK_INT(pg_layer_free(away), 0);
    CHECK_INT(pg_uses(foreign, q[0]), 1);
    pg_arena_free(foreign);
    pg_arena_free(arena);
}

/* What stands downstream of a hook is the binding's to make. A hook alone is a stop of the sweep, wherever it is. */
static void test_hooks(void) {
    enum { LEAF_WEIGHT, COMPUTED_WEIGHT, BIAS, INPUT, PLACES };
    for (int place = 0; place < PLACES; place++)
        for (int traced = 0; traced < 2; traced++) {
            pg_arena *arena = check_arena(0);
            pg_id p[6], x[2], out[2];
            new_leaves(arena, p, 6);
            new_leaves(arena, x, 2);
            p[4] = MADE(pg_unary(arena, op_neg, p[4]));
            pg_layer *l = new_layer(arena, p, 2, 2, op_tanh, 0.0);
            CHECK_INT(pg_layers_apply(&l, 1, x, NULL, 2, out), PG_OK); /* before there is any hook */
            pg_id root = MADE(pg_binary(arena, op_add, out[0], out[1]));
            pg_id hooked = place == LEAF_WEIGHT ? p[0] : place == COMPUTED_WEIGHT ? p[4] : place == BIAS ? p[5] : x[1];
            CHECK_INT(pg_set_flags(arena, hooked, PG_NODE_HOOK | (traced ? PG_NODE_TRACED : 0), 0), PG_OK);
            for (int round = 0; round < 2; round++) {
                int status, stops = 0;
                pg_sweep *sweep = pg_sweep_new(arena, root, &status);
                CHECK_INT(status, PG_OK);
                for (pg_id id; (id = pg_sweep_run(sweep)) != PG_NONE; stops++) CHECK_INT(id, hooked);
                CHECK_INT(stops, 1);
                CHECK_INT(pg_sweep_end(sweep, 0), 0);
                CHECK_INT(pg_release(arena, root), 0);
                for (int i = 0; i < 2; i++) CHECK_INT(pg_release(arena, out[i]), 0);
                const uint64_t live = LIVE(arena);
                CHECK_INT(pg_layers_apply(&l, 1, x, NULL, 2, out), traced ? PG_ERR_OP : PG_OK);
                if (traced) {
                    CHECK_INT(LIVE(arena), live);
                    break;
                }
                root = MADE(pg_binary(arena, op_add, out[0], out[1]));
            }
            CHECK_INT(pg_layer_free(l), 0);
            int status, refused = traced && place != INPUT;
            l = pg_layer_new(arena, p, 2, 2, op_tanh, 0.0, &status);
            CHECK_INT(status, refused ? PG_ERR_OP : PG_OK);
            CHECK_INT(pg_uses(arena, p[3]), refused ? 1 : traced ? 2 : 3); /* by the nodes of round 1, too */
            CHECK_INT(pg_layer_free(l), 0);
            pg_arena_free(arena);
        }
}

/* A shared list that a search has met is not met by the next one, or by the one that has the same 16 bits. */
static void test_many_sweeps(void) {
    enum { EPOCHS = 65535 };
    pg_arena *arena = check_arena(0);
    pg_id a = MADE(pg_leaf(arena, 0.5)), p[3], x[2], out[1];
    for (int i = 0; i < 3; i++) p[i] = MADE(pg_binary_right(arena, op_mul, a, 0.5 + i)); /* so that marks count */
    for (int i = 0; i < 2; i++) x[i] = MADE(pg_unary(arena, op_tanh, a));
    pg_id idle = MADE(pg_unary(arena, op_neg, a));
    const pg_id both[] = {p[0], x[0]};
    pg_id sum = MADE(pg_sum(arena, both, 2)); /* a list of one node alone */
    pg_layer *l = new_layer(arena, p, 2, 1, op_tanh, 0.0);
    CHECK_INT(pg_layers_apply(&l, 1, x, NULL, 2, out), PG_OK);
    double expected[2] = {0.0, 0.0};
    for (int nodes_live = 0; nodes_live < 2; nodes_live++) {
        /* the gradient of a, from all marks and intermediate gradients at 0 */
        for (int sweep = 0; sweep < 3; sweep++) {
            if (sweep == 2) {
                if (!nodes_live) CHECK_INT(pg_release(arena, out[0]), 0); /* only the layer keeps the row's mark */
                for (int i = 0; i < EPOCHS - 2; i++) BACKWARD(arena, idle);
                if (!nodes_live) CHECK_INT(pg_layers_apply(&l, 1, x, NULL, 2, out), PG_OK);
            }
            pg_id dot;
            CHECK_INT(pg_operands(arena, out[0], &dot, 1), 1);
            for (int root = 0; root < 2; root++) {
                pg_set_grad(arena, dot, 0.0);
                for (int i = 0; i < 3; i++) pg_set_grad(arena, p[i], 0.0);
                for (int i = 0; i < 2; i++) pg_set_grad(arena, x[i], 0.0);
                pg_set_grad(arena, a, 0.0);
                BACKWARD(arena, root == 0 ? out[0] : sum);
                if (expected[root] == 0.0) expected[root] = pg_grad(arena, a);
                CHECK_SAME(pg_grad(arena, a), expected[root]);
            }
        }
    }
    CHECK(expected[0] != 0.0 && expected[1] != 0.0);
    CHECK_INT(pg_layer_free(l), 0);
    pg_arena_free(arena);
}

/* The additions of one dot product: to the weights, the bias, the inputs. Where these are one node, the order shows. */
static void test_order_of_additions(void) {
    enum { N = 3, NODES = 3 * N + 2 };
    for (size_t w = 0; w <= NODES - N - 1; w++)
        for (size_t x = 0; x <= NODES - N; x++)
            for (int with_bias = 0; with_bias < 2; with_bias++) {
                pg_arena *arena = check_arena(0);
                pg_id p[NODES];
                double data[NODES], grad[NODES];
                new_leaves(arena, p, NODES);
                for (size_t i = 0; i < NODES; i++) {
                    data[i] = pg_data(arena, p[i]);
                    grad[i] = 0.1 + 1.0 / (double)(3 + i);
                    pg_set_grad(arena, p[i], grad[i]);
                }
                const double g = 1.0 / 7.0;
                pg_id dot = MADE(pg_dot(arena, p + w, p + x, N, with_bias ? p[w + N] : PG_NONE));
                pg_set_grad(arena, dot, g);
                CHECK_INT(pg_step(arena, dot), PG_OK);
                for (size_t i = 0; i < N; i++) grad[w + i] += g * data[x + i];
                if (with_bias) grad[w + N] += g;
                for (size_t i = 0; i < N; i++) grad[x + i] += g * data[w + i];
                for (size_t i = 0; i < NODES; i++) CHECK_SAME(pg_grad(arena, p[i]), grad[i]);
                pg_arena_free(arena);
            }
}

/* ---- memory ---- */

/* Every allocation fails in turn, in an arena that must grow for everything. */
static void test_memory_runs_out(void) {
    enum { NIN = 2, NOUT = 3000 };
    pg_id *p = check_memory(NOUT * (NIN + 1), sizeof *p), *out = check_memory(NOUT, sizeof *out);
    const pg_id none[NIN] = {PG_NONE, PG_NONE};
    const double numbers[NIN] = {0.5, -0.25};
    int failures = 0;
    for (uint64_t n = 1;; n++) {
        pg_arena *arena = check_arena(0);
        const size_t parameters = 8190; /* the second input is the first node of a segment there is no memory for yet */
        new_leaves(arena, p, parameters);
        for (size_t i = parameters; i < NOUT * (NIN + 1); i++) p[i] = p[i % parameters];
        int status = PG_OK, failed = 0;
        pg_result applied = PG_OK;
        pg_fail_allocation(n);
        pg_layer *l = pg_layer_new(arena, p, NIN, NOUT, op_elu, 1.5, &status);
        if (l) applied = pg_layers_apply(&l, 1, none, numbers, NIN, out);
        else failed = 1;
        if (applied != PG_OK) failed = 1;
        pg_fail_allocation(0);
        failures += failed;
        CHECK_INT(status, l ? PG_OK : PG_ERR_NOMEM);
        if (failed) {
            if (l) CHECK_INT(applied, PG_ERR_NOMEM);
            CHECK_INT(LIVE(arena), parameters);
            if (!l) CHECK_INT(pg_uses(arena, p[0]), 1);
            if (!l) l = new_layer(arena, p, NIN, NOUT, op_elu, 1.5);
            CHECK_INT(pg_layers_apply(&l, 1, none, numbers, NIN, out), PG_OK);
        }
        CHECK_INT(LIVE(arena), parameters + NIN + 2 * NOUT + 1); /* and the constant, which they share */
        BACKWARD(arena, out[NOUT - 1]);
        CHECK_INT(pg_layer_free(l), 0);
        for (size_t i = 0; i < NOUT; i++) CHECK_INT(pg_release(arena, out[i]), 0);
        size_t wrong = 0;
        for (size_t i = 0; i < parameters; i++) wrong += pg_uses(arena, p[i]) != 1;
        CHECK_INT(wrong, 0);
        CHECK_INT(LIVE(arena), parameters);
        pg_arena_free(arena);
        if (!failed) break;
    }
    CHECK(failures >= 6); /* layer, words several times, numbers, ids, nodes */
    free(p);
    free(out);
}

/* Lists are moved together while layers live, with nodes and without. */
static void test_lists_move(void) {
    enum { LAYERS = 40, NIN = 7, MANY = 500 };
    pg_arena *arena = check_arena(0);
    pg_id p[NIN + 1], x[NIN], out[LAYERS], read[2 * NIN + 1], padding[MANY];
    pg_layer *l[LAYERS];
    new_leaves(arena, p, NIN + 1);
    new_leaves(arena, x, NIN);
    double expected = 0.0, sum = 0.0;
    for (size_t i = 0; i < LAYERS; i++) {
        for (size_t j = 0; j < MANY; j++) padding[j] = MADE(pg_sum(arena, p, 1 + (i + j) % NIN));
        l[i] = new_layer(arena, p, NIN, 1, 0, 0.0);
        if (i % 2) CHECK_INT(pg_layers_apply(&l[i], 1, x, NULL, NIN, &out[i]), PG_OK);
        for (size_t j = 0; j < MANY; j++) CHECK_INT(pg_release(arena, padding[j]), 0);
    }
    for (int round = 0; round < 2; round++) {
        pg_arena_trim(arena);
        for (size_t i = 0; i < LAYERS; i++) {
            if (i % 2 == 0) CHECK_INT(pg_layers_apply(&l[i], 1, x, NULL, NIN, &out[i]), PG_OK);
            CHECK_INT(pg_operands(arena, out[i], read, 2 * NIN + 1), 2 * NIN + 1);
            CHECK(memcmp(read, p, sizeof p) == 0 && memcmp(read + NIN + 1, x, sizeof x) == 0);
            sum = pg_data(arena, out[i]);
            if (i == 0 && round == 0) expected = sum;
            CHECK_SAME(sum, expected);
            if (i % 2 == 0) CHECK_INT(pg_release(arena, out[i]), 0);
        }
        for (size_t i = 0; i < LAYERS; i += 3) { /* first, last and in between of those that are linked */
            CHECK_INT(pg_layer_free(l[i]), 0);
            if (round == 0) l[i] = new_layer(arena, p, NIN, 1, 0, 0.0);
            else l[i] = NULL;
        }
    }
    for (size_t i = 1; i < LAYERS; i += 2) CHECK_INT(pg_release(arena, out[i]), 0);
    for (size_t i = 0; i < LAYERS; i++) CHECK_INT(pg_layer_free(l[i]), 0);
    for (size_t i = 0; i <= NIN; i++) CHECK_INT(pg_uses(arena, p[i]), 1);
    for (size_t i = 0; i < NIN; i++) CHECK_INT(pg_uses(arena, x[i]), 1);
    pg_arena_free(arena);
}

/* A layer whose last row finds no memory: the rows before it are moved together as they die. */
static void test_lists_move_while_a_layer_is_made(void) {
    enum { ROWS = 6 };
    const size_t nin = ((size_t)1 << 22) - 4; /* a class of lists to the word; more words than are kept, so not scaled */
    pg_arena *arena = check_arena(0);
    pg_id p[3], out, *parameters = check_memory(ROWS * (nin + 1), sizeof *parameters);
    new_leaves(arena, p, 3);
    for (size_t i = 0; i < ROWS * (nin + 1); i++) parameters[i] = p[0];
    pg_layer *small = new_layer(arena, p, 2, 1, 0, 0.0);
    const uint64_t few = check_stats(arena).bytes;
    int status, refused = 0;
    pg_layer *made = NULL;
    for (uint64_t n = 2; !made && n < 10; n++) {
        pg_fail_allocation(n);
        made = pg_layer_new(arena, parameters, nin, ROWS, 0, 0.0, &status);
        pg_fail_allocation(0);
        if (made) break;
        refused++;
        CHECK_INT(status, PG_ERR_NOMEM);
        CHECK(check_stats(arena).bytes < few + (UINT64_C(64) << 20));
        CHECK_INT(pg_uses(arena, p[0]), 2);
        CHECK_INT(pg_layers_apply(&small, 1, p, NULL, 2, &out), PG_OK);
        CHECK_SAME(pg_data(arena, out), 1.25 + 0.25 * 0.25 + 0.75 * 0.75);
        CHECK_INT(pg_release(arena, out), 0);
    }
    CHECK(refused >= 3);
    CHECK_INT(pg_uses(arena, p[0]), 2 + ROWS * (nin + 1));
    CHECK_INT(pg_layer_free(made), 0);
    CHECK_INT(pg_uses(arena, p[0]), 2);
    CHECK(check_stats(arena).bytes < few + (UINT64_C(64) << 20));
    CHECK_INT(pg_layer_free(small), 0);
    CHECK_INT(pg_uses(arena, p[0]), 1);
    free(parameters);
    pg_arena_free(arena);
}

/* A release by a layer tells the binding what every release tells it. */
static void test_what_a_freed_layer_leaves(void) {
    pg_arena *arena = check_arena(0);
    pg_id p[3];
    new_leaves(arena, p, 3);
    pg_layer *l = new_layer(arena, p, 2, 1, 0, 0.0);
    CHECK_INT(pg_set_flags(arena, p[0], PG_NODE_SIDE, 0), PG_OK);
    CHECK_INT(pg_set_flags(arena, p[1], PG_NODE_PINNED, 0), PG_OK);
    CHECK_INT(pg_release(arena, p[0]), 0);
    CHECK_INT(pg_layer_free(l), PG_AFTER_LIMBO | PG_AFTER_UNPINNED);
    CHECK_INT(pg_limbo(arena), p[0]);
    pg_bury(arena, p[0]);
    CHECK_INT(LIVE(arena), 2);
    pg_arena_free(arena);
}

int main(void) {
    op_leaf = check_op("leaf");
    op_add = check_op("add");
    op_mul = check_op("mul");
    op_neg = check_op("neg");
    op_tanh = check_op("tanh");
    op_relu = check_op("relu");
    op_log = check_op("log");
    op_pow_const = check_op("pow_const");
    op_elu = check_op("elu");
    op_dot = check_op("dot");
    test_against_neurons();
    test_counts();
    test_empty();
    test_errors();
    test_hooks();
    test_many_sweeps();
    test_order_of_additions();
    test_memory_runs_out();
    test_lists_move();
    test_lists_move_while_a_layer_is_made();
    test_what_a_freed_layer_leaves();
    return check_finish();
}
