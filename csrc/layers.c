/* layers.c: whole layers of neurons in one call: the nodes that the neurons would make one by one, with the same bits.
 *
 * A layer's lists of parameters are made once and shared by all its dot nodes; the list of inputs is shared by the
 * neurons of one call. So neither making nor freeing a neuron touches its weights, and the search passes over them.
 * Derivatives are graph.c's subject: it sees ordinary dot nodes and activations.
 */
#include "graph.h"
#include "guard.h"

#include <stdlib.h>
#include <string.h>

/* Inputs and outputs of this many need no memory but the stack. */
#define PG_FEW 256u

static int is_activation(int op) {
    if (op == 0) return 1;
    const pg_op_info *info = pg_op_describe(op);
    return info && (info->kind == PG_KIND_UNARY || info->kind == PG_KIND_CONSTANT);
}

static void link_layer(pg_layer *layer) {
    pg_arena *arena = layer->arena;
    layer->next = arena->layers;
    if (layer->next) layer->next->previous = layer;
    arena->layers = layer;
}

static void unlink_layer(pg_layer *layer) {
    if (layer->next) layer->next->previous = layer->previous;
    if (layer->previous) layer->previous->next = layer->next;
    else layer->arena->layers = layer->next;
}

/* The layer stays linked while its rows come and go one by one: lists may be moved meanwhile. */
static int add_rows(pg_layer *layer, const pg_id *parameters, uint32_t nout) {
    size_t width = (size_t)layer->nin + 1;
    int status = PG_OK;
    for (; layer->nout < nout; layer->nout++) {
        const pg_id *row = parameters + layer->nout * width;
        pg_list list = pg_list_new(layer->arena, row, layer->nin, row[layer->nin], &status);
        if (status != PG_OK) break;
        layer->rows[layer->nout] = list;
    }
    return status;
}

static void dispose(pg_layer *layer) {
    while (layer->nout > 0) pg_list_drop(layer->arena, layer->rows[--layer->nout]);
    unlink_layer(layer);
    free(layer);
}

static int parameters_status(const pg_arena *arena, const pg_id *parameters, size_t n) {
    if (!all_alive(arena, parameters, n)) return PG_ERR_ID;
    for (size_t i = 0; i < n; i++)
        if (pg_inherited(&arena->nodes[parameters[i]])) return PG_ERR_OP;
    return PG_OK;
}

pg_layer *pg_layer_new(pg_arena *arena, const pg_id *parameters, size_t nin, size_t nout, int activation, double k,
                       int *status) {
    *status = PG_ERR_OP;
    if (!is_activation(activation)) return NULL;
    *status = PG_ERR_FULL;
    if (nin >= PG_LIST_COUNT || nout > PG_LIST_COUNT) return NULL;
    enter(arena);
    *status = parameters_status(arena, parameters, (nin + 1) * nout);
    size_t size = sizeof(pg_layer) + nout * sizeof(pg_list);
    pg_layer *layer = *status == PG_OK ? pg_resize(NULL, 1, size) : NULL;
    if (layer) {
        *layer = (pg_layer){.arena = arena, .nin = (uint32_t)nin, .activation = activation, .constant = k};
        link_layer(layer);
        *status = add_rows(layer, parameters, (uint32_t)nout);
        if (*status != PG_OK) {
            dispose(layer);
            layer = NULL;
        }
    } else if (*status == PG_OK) {
        *status = PG_ERR_NOMEM;
    }
    (void)leave(arena, PG_OK);
    return layer;
}

pg_result pg_layer_free(pg_layer *layer) {
    if (!layer) return 0;
    pg_arena *arena = layer->arena;
    enter(arena);
    dispose(layer);
    return leave(arena, aftermath(arena));
}

/* ---- forward ---- */

/* bias + w[0]*x[0] + ... of one neuron. */
static double weighted_sum(const pg_arena *arena, pg_list row, const double *x, uint32_t n) {
    const pg_node *nodes = arena->nodes;
    const pg_id *w = pg_list_ids(arena, row);
    double z = nodes[w[n]].data;
    for (uint32_t i = 0; i < n; i++) z += term_DOT(nodes[w[i]].data, x[i]);
    return z;
}

/* Of four at once, whose parameters stand one after the other: each sum waits for itself only, so four overlap. */
static void four_weighted_sums(const pg_node *const *w, const double *restrict x, uint32_t n, double *restrict z) {
    const pg_node *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    double z0 = w0[n].data, z1 = w1[n].data, z2 = w2[n].data, z3 = w3[n].data;
    for (uint32_t i = 0; i < n; i++) {
        z0 += term_DOT(w0[i].data, x[i]);
        z1 += term_DOT(w1[i].data, x[i]);
        z2 += term_DOT(w2[i].data, x[i]);
        z3 += term_DOT(w3[i].data, x[i]);
    }
    z[0] = z0, z[1] = z1, z[2] = z2, z[3] = z3;
}

static void weighted_sums(const pg_layer *layer, const double *x, double *z) {
    const pg_arena *arena = layer->arena;
    uint32_t j = 0, n = layer->nin;
    while (j < layer->nout) {
        const pg_node *first[4];
        uint32_t runs = 0;
        while (runs < 4 && j + runs < layer->nout && pg_list_is_run(arena, layer->rows[j + runs])) {
            first[runs] = &arena->nodes[pg_list_ids(arena, layer->rows[j + runs])[0]];
            runs++;
        }
        if (runs == 4) {
            four_weighted_sums(first, x, n, z + j);
            j += 4;
        } else {
            z[j] = weighted_sum(arena, layer->rows[j], x, n);
            j++;
        }
    }
}

/* The activation's node for each of n dot nodes, in place; on error for the first ones only. */
static int activate(const pg_layer *layer, pg_id *ids, uint32_t n) {
    pg_arena *arena = layer->arena;
    int op = layer->activation, relu = op == PG_OP_RELU;
    int constant = op != 0 && pg_op_describe(op)->kind == PG_KIND_CONSTANT;
    for (uint32_t j = 0; j < n && op != 0; j++) {
        pg_result made = relu       ? pg_apply_unary(arena, PG_OP_RELU, ids[j])
                         : constant ? pg_apply_number(arena, op, ids[j], layer->constant, 0, 1)
                                    : pg_apply_unary(arena, op, ids[j]);
        if (made < 0) return (int)made;
        arena->nodes[ids[j]].refs--; /* the caller's count; the activation holds it */
        ids[j] = PG_RESULT_ID(made);
    }
    return PG_OK;
}

/* Gives back the caller's counts. */
static void drop_ids(pg_arena *arena, const pg_id *ids, uint32_t n) {
    for (uint32_t j = 0; j < n; j++) pg_unref(arena, ids[j]);
}

/* One layer on the nodes x: out gets nout nodes. sums is room for nout numbers, inputs holds x's data. */
static int apply(const pg_layer *layer, const pg_id *x, const double *inputs, double *sums, pg_id *out) {
    pg_arena *arena = layer->arena;
    int status;
    pg_list list = pg_list_new(arena, x, layer->nin, PG_NONE, &status);
    if (status != PG_OK) return status;
    weighted_sums(layer, inputs, sums);
    uint32_t made = 0;
    for (; made < layer->nout; made++) {
        pg_id id = pg_take(arena);
        if (PG_UNLIKELY(id == PG_NONE)) {
            status = pg_take_error(arena);
            break;
        }
        pg_fill(arena, id, PG_OP_DOT, sums[made], layer->rows[made], list, 0);
        arena->words[layer->rows[made]]++;
        if (list) arena->words[list]++;
        arena->wide++;
        out[made] = id;
    }
    pg_list_drop(arena, list); /* the neurons have it now */
    if (status == PG_OK) status = activate(layer, out, made);
    if (status != PG_OK) drop_ids(arena, out, made);
    return status;
}

/* Whether every parameter is a leaf of its own right, not downstream of any hook. */
static int parameters_untraced(const pg_layer *layer) {
    const pg_arena *arena = layer->arena;
    for (uint32_t j = 0; j < layer->nout; j++) {
        if (pg_list_of_leaves(arena, layer->rows[j])) continue;
        const pg_id *w = pg_list_ids(arena, layer->rows[j]);
        for (uint32_t i = 0; i <= layer->nin; i++)
            if (pg_inherited(&arena->nodes[w[i]])) return 0;
    }
    return 1;
}

static int fits(pg_layer *const *layers, size_t count, const pg_id *x, size_t n) {
    const pg_arena *arena = layers[0]->arena;
    if (layers[0]->nin != n) return PG_ERR_OP;
    for (size_t i = 0; i < count; i++) {
        if (layers[i]->arena != arena || (i > 0 && layers[i]->nin != layers[i - 1]->nout)) return PG_ERR_OP;
        if (!parameters_untraced(layers[i])) return PG_ERR_OP;
    }
    for (size_t i = 0; i < n; i++) {
        if (x[i] == PG_NONE) continue;
        if (!pg_alive(arena, x[i])) return PG_ERR_ID;
        if (pg_inherited(&arena->nodes[x[i]])) return PG_ERR_OP;
    }
    return PG_OK;
}

/* The first layer's inputs, each with a count for the caller. */
static int take_inputs(pg_arena *arena, const pg_id *x, const double *numbers, uint32_t n, pg_id *ids) {
    for (uint32_t i = 0; i < n; i++) {
        ids[i] = x[i];
        if (x[i] != PG_NONE) {
            arena->nodes[x[i]].refs++;
            continue;
        }
        ids[i] = pg_leaf_node(arena, numbers[i]);
        if (PG_UNLIKELY(ids[i] == PG_NONE)) {
            drop_ids(arena, ids, i);
            return pg_take_error(arena);
        }
    }
    return PG_OK;
}

/* inputs, sums: room for as many numbers as the widest layer has; ids, out: for as many nodes. */
static int apply_all(pg_layer *const *layers, size_t count, const pg_id *x, const double *numbers, double *inputs,
                     double *sums, pg_id *ids, pg_id *made) {
    pg_arena *arena = layers[0]->arena;
    uint32_t n = layers[0]->nin;
    int status = take_inputs(arena, x, numbers, n, ids);
    for (size_t i = 0; i < count && status == PG_OK; i++) {
        for (uint32_t j = 0; j < n; j++) inputs[j] = arena->nodes[ids[j]].data;
        status = apply(layers[i], ids, inputs, sums, made);
        drop_ids(arena, ids, n);
        n = layers[i]->nout;
        if (status == PG_OK) memcpy(ids, made, n * sizeof *ids);
    }
    return status;
}

pg_result pg_layers_apply(pg_layer *const *layers, size_t count, const pg_id *x, const double *numbers, size_t n,
                          pg_id *out) {
    if (count == 0) return PG_ERR_OP;
    pg_arena *arena = layers[0]->arena;
    enter(arena);
    int status = fits(layers, count, x, n);
    if (status != PG_OK) return leave(arena, status);
    uint32_t widest = layers[0]->nin;
    for (size_t i = 0; i < count; i++)
        if (layers[i]->nout > widest) widest = layers[i]->nout;
    double few_numbers[2 * PG_FEW];
    pg_id few_ids[2 * PG_FEW];
    int small = widest <= PG_FEW;
    double *room = small ? few_numbers : pg_resize(NULL, 2 * (uint64_t)widest, sizeof *room);
    pg_id *ids = small ? few_ids : pg_resize(NULL, 2 * (uint64_t)widest, sizeof *ids);
    if (room && ids) {
        status = apply_all(layers, count, x, numbers, room, room + widest, ids, ids + widest);
        uint32_t nout = layers[count - 1]->nout;
        if (status == PG_OK && nout > 0) memcpy(out, ids, nout * sizeof *out); /* out may be NULL where it is empty */
    } else {
        status = PG_ERR_NOMEM;
    }
    if (!small) {
        free(room);
        free(ids);
    }
    return leave(arena, status);
}
