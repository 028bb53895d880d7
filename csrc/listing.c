/* listing.c: a graph as flat arrays, in the order of the reverse sweep: what a recorded function becomes a program from.
 *
 * Reads the graph only; order and search are graph.c's. Also the op whose value is whatever IEEE 754 says, which recording
 * needs. No recursion.
 */
#include "graph.h"
#include "guard.h"

#include <stdlib.h>

/* ---- operands as a program has them ---- */

static size_t operand_count(const pg_arena *arena, const pg_node *node) {
    if (pg_is_wide(node->op)) return (size_t)pg_list_count(arena, node->a) + pg_list_count(arena, node->b);
    return pg_op_describe(node->op)->kind == PG_KIND_BINARY ? 2 : 1;
}

/* Bias, weight, input, weight, input, ... */
static void dot_operands(const pg_arena *arena, const pg_node *node, pg_id *out) {
    const pg_id *w = pg_list_ids(arena, node->a), *x = pg_list_ids(arena, node->b);
    uint32_t n = pg_list_count(arena, node->b);
    if (pg_list_count(arena, node->a) > n) *out++ = w[n];
    for (uint32_t i = 0; i < n; i++) {
        *out++ = w[i];
        *out++ = x[i];
    }
}

static void list_operands(const pg_arena *arena, const pg_node *node, pg_id *out) {
    if (node->op == PG_OP_DOT) {
        dot_operands(arena, node, out);
    } else if (pg_is_wide(node->op)) {
        const pg_id *x = pg_list_ids(arena, node->a);
        for (uint32_t i = 0, n = pg_list_count(arena, node->a); i < n; i++) out[i] = x[i];
    } else {
        out[0] = node->a;
        if (operand_count(arena, node) == 2) out[1] = node->b;
    }
}

/* ---- the listing ---- */

void pg_listing_free(pg_listing *listing) {
    if (!listing) return;
    free(listing->ops);
    free(listing->flags);
    free(listing->starts);
    free(listing->operands);
    free(listing->numbers);
    free(listing->births);
    free(listing->ids);
    free(listing->root_at);
    free(listing);
}

static double number_of(const pg_arena *arena, const pg_node *node) {
    if (pg_is_leaf(node)) return node->data;
    return pg_op_describe(node->op)->kind == PG_KIND_CONSTANT ? arena->nodes[node->b].data : 0.0;
}

/* Where each node stands, by its id: + 1, and 0 where it is not met yet. */
typedef struct {
    uint32_t *places;
    pg_id *leaves; /* those met, in order */
    size_t count, capacity;
} placing;

static int add_leaf(placing *at, pg_id id) {
    if (at->count == at->capacity) {
        size_t capacity = at->capacity ? at->capacity * 2 : 64;
        void *memory = pg_resize(at->leaves, capacity, sizeof *at->leaves);
        if (!memory) return PG_ERR_NOMEM;
        at->leaves = memory;
        at->capacity = capacity;
    }
    at->leaves[at->count++] = id;
    at->places[id] = (uint32_t)at->count;
    return PG_OK;
}

/* Every leaf among the operands and roots gets its place; then the computed nodes, behind them. */
static int place_all(const pg_arena *arena, const pg_sweep *sweep, const pg_id *roots, size_t n, const pg_id *operands,
                     size_t operand_total, placing *at) {
    for (size_t i = 0; i < operand_total; i++)
        if (pg_is_leaf(&arena->nodes[operands[i]]) && at->places[operands[i]] == 0 && add_leaf(at, operands[i]) != PG_OK)
            return PG_ERR_NOMEM;
    for (size_t i = 0; i < n; i++)
        if (pg_is_leaf(&arena->nodes[roots[i]]) && at->places[roots[i]] == 0 && add_leaf(at, roots[i]) != PG_OK)
            return PG_ERR_NOMEM;
    for (uint64_t i = 0; i < sweep->position; i++) at->places[sweep->order[i]] = (uint32_t)(at->count + i + 1);
    return PG_OK;
}

static int reserve(pg_listing *listing) {
    size_t nodes = listing->nodes;
    listing->ops = pg_resize(NULL, nodes + 1, sizeof *listing->ops);
    listing->flags = pg_resize(NULL, nodes + 1, sizeof *listing->flags);
    listing->starts = pg_resize(NULL, nodes + 1, sizeof *listing->starts);
    listing->numbers = pg_resize(NULL, nodes + 1, sizeof *listing->numbers);
    listing->births = pg_resize(NULL, listing->leaves + 1, sizeof *listing->births);
    listing->ids = pg_resize(NULL, nodes + 1, sizeof *listing->ids);
    listing->root_at = pg_resize(NULL, listing->roots + 1, sizeof *listing->root_at);
    int ready = listing->ops && listing->flags && listing->starts && listing->numbers && listing->births && listing->ids &&
                listing->root_at;
    return ready ? PG_OK : PG_ERR_NOMEM;
}

static void describe(const pg_arena *arena, const pg_sweep *sweep, const placing *at, pg_listing *listing) {
    uint64_t start = 0;
    for (size_t i = 0; i < listing->nodes; i++) {
        pg_id id = i < at->count ? at->leaves[i] : sweep->order[i - at->count];
        const pg_node *node = &arena->nodes[id];
        listing->ids[i] = id;
        listing->ops[i] = node->op;
        listing->flags[i] = node->flags & (PG_NODE_HOOK | PG_NODE_ARRAY);
        listing->numbers[i] = number_of(arena, node);
        listing->starts[i] = start;
        if (i < at->count) listing->births[i] = pg_birth(node);
        else start += operand_count(arena, node);
    }
    listing->starts[listing->nodes] = start;
    for (uint64_t i = 0; i < start; i++) listing->operands[i] = at->places[listing->operands[i]] - 1;
}

static int fill(pg_arena *arena, const pg_sweep *sweep, const pg_id *roots, size_t n, pg_listing *listing) {
    uint64_t total = 0, filled = 0;
    for (uint64_t i = 0; i < sweep->position; i++) total += operand_count(arena, &arena->nodes[sweep->order[i]]);
    listing->operands = pg_resize(NULL, total + 1, sizeof *listing->operands);
    uint64_t slots = (uint64_t)arena->segment_count << PG_SEGMENT_BITS;
    placing at = {.places = pg_resize(NULL, slots, sizeof *at.places)};
    int status = listing->operands && at.places ? PG_OK : PG_ERR_NOMEM;
    for (uint64_t i = 0; status == PG_OK && i < slots; i++) at.places[i] = 0;
    for (uint64_t i = 0; status == PG_OK && i < sweep->position; i++) {
        const pg_node *node = &arena->nodes[sweep->order[i]];
        list_operands(arena, node, listing->operands + filled);
        filled += operand_count(arena, node);
    }
    if (status == PG_OK) status = place_all(arena, sweep, roots, n, listing->operands, (size_t)total, &at);
    if (status == PG_OK) {
        listing->leaves = at.count;
        listing->nodes = at.count + (size_t)sweep->position;
        listing->roots = n;
        status = reserve(listing);
    }
    if (status == PG_OK) {
        describe(arena, sweep, &at, listing);
        for (size_t i = 0; i < n; i++) listing->root_at[i] = at.places[roots[i]] - 1;
    }
    free(at.places);
    free(at.leaves);
    return status;
}

static int list_graph(pg_arena *arena, const pg_id *roots, size_t n, pg_listing *listing) {
    if (!all_alive(arena, roots, n)) return PG_ERR_ID;
    pg_sweep sweep = {.arena = arena};
    int status = pg_sweep_order_of(&sweep, roots, n);
    if (status != PG_OK) return status;
    status = fill(arena, &sweep, roots, n, listing);
    pg_sweep_give_back(&sweep);
    return status;
}

pg_listing *pg_listing_new(pg_arena *arena, const pg_id *roots, size_t n, int *status) {
    pg_listing *listing = pg_resize(NULL, 1, sizeof *listing);
    *status = PG_ERR_NOMEM;
    if (!listing) return NULL;
    *listing = (pg_listing){.nodes = 0};
    enter(arena);
    *status = list_graph(arena, roots, n, listing);
    (void)leave(arena, PG_OK);
    if (*status == PG_OK) return listing;
    pg_listing_free(listing);
    return NULL;
}

/* ---- what a node depends on ---- */

uint64_t pg_births(pg_arena *arena) {
    enter(arena);
    uint64_t births = arena->births;
    (void)leave(arena, PG_OK);
    return births;
}

static int is_older(const pg_arena *arena, pg_id id, uint64_t birth) {
    const pg_node *node = &arena->nodes[id];
    return node->op == PG_OP_LEAF && id != PG_NONE && pg_birth(node) <= birth;
}

static int any_older(const pg_arena *arena, const pg_node *node, uint64_t birth) {
    if (!pg_is_wide(node->op)) return is_older(arena, node->a, birth) || is_older(arena, node->b, birth);
    const pg_list lists[2] = {node->a, node->b};
    for (int which = 0; which < 2; which++) {
        const pg_id *ids = pg_list_ids(arena, lists[which]);
        for (uint32_t i = 0, n = pg_list_count(arena, lists[which]); i < n; i++)
            if (is_older(arena, ids[i], birth)) return 1;
    }
    return node->op == PG_OP_USER && node->a == 0;
}

static pg_result depends(pg_arena *arena, pg_id id, uint64_t birth) {
    if (!pg_alive(arena, id)) return PG_ERR_ID;
    if (pg_is_leaf(&arena->nodes[id])) return is_older(arena, id, birth);
    pg_sweep sweep = {.arena = arena, .root = id};
    int status = pg_sweep_order(&sweep), found = 0;
    if (status != PG_OK) return status;
    for (uint64_t i = 0; i < sweep.position && !found; i++)
        found = any_older(arena, &arena->nodes[sweep.order[i]], birth);
    pg_sweep_give_back(&sweep);
    return found;
}

pg_result pg_depends(pg_arena *arena, pg_id id, uint64_t birth) {
    enter(arena);
    return leave(arena, depends(arena, id, birth));
}

/* ---- ops without errors ---- */

/* A node of two operands, one of which becomes a leaf. Its count goes over to the node. */
static pg_result with_leaf(pg_arena *arena, int op, pg_id x, pg_id y, double number, double z) {
    pg_result leaf = pg_leaf(arena, number);
    if (leaf < 0) return leaf;
    const pg_id operands[2] = {x == PG_NONE ? PG_RESULT_ID(leaf) : x, y == PG_NONE ? PG_RESULT_ID(leaf) : y};
    pg_result made = pg_restore(arena, op, operands, 2, NAN, z, 0.0);
    (void)pg_release(arena, PG_RESULT_ID(leaf));
    return made;
}

pg_result pg_ieee(pg_arena *arena, int op, pg_id x, pg_id y, double number) {
    const pg_op_info *info = pg_op_describe(op);
    int status, binary = info && info->kind == PG_KIND_BINARY;
    if (!binary && !(info && (info->kind == PG_KIND_UNARY || info->kind == PG_KIND_CONSTANT))) return PG_ERR_OP;
    double z = pg_op_value(op, x == PG_NONE ? number : pg_data(arena, x), y == PG_NONE ? number : pg_data(arena, y), &status);
    if (binary && (x == PG_NONE) != (y == PG_NONE)) return with_leaf(arena, op, x, y, number, z);
    const pg_id operands[2] = {x, y};
    return pg_restore(arena, op, operands, binary ? 2 : 1, number, z, 0.0);
}
