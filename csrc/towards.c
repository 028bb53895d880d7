/* towards.c: a sweep towards some nodes only, with gradients of its own: for derivatives that leave every gradient as it is.
 *
 * Order and steps are those of graph.c; here the order is narrowed, and gradients are set aside. No recursion.
 */
#include "graph.h"
#include "guard.h"

#include <stdlib.h>

/* The marks of a narrowed order: an input that nothing under the root uses so far, and what is an input in use or leads to
 * one. Both are new to every node, so the epoch must not start anew between them. */
typedef struct {
    uint16_t unused, needed;
} marks;

static marks new_marks(pg_arena *arena) {
    pg_next_epoch(arena);
    if (arena->epoch == UINT16_MAX) pg_next_epoch(arena);
    uint16_t unused = arena->epoch;
    pg_next_epoch(arena);
    return (marks){unused, arena->epoch};
}

static inline int leads(pg_node *operand, marks mark) {
    if (operand->mark == mark.unused) operand->mark = mark.needed;
    return operand->mark == mark.needed;
}

/* Whether a node has an operand that leads to an input. Looks at each, for all inputs in use are to be marked. */
static int any_leads(pg_arena *arena, const pg_node *node, marks mark) {
    pg_node *nodes = arena->nodes;
    if (!pg_is_wide(node->op)) return leads(&nodes[node->a], mark) | leads(&nodes[node->b], mark);
    int any = 0;
    const pg_list lists[2] = {node->a, node->b};
    for (int which = 0; which < 2; which++) {
        const pg_id *ids = pg_list_ids(arena, lists[which]);
        for (uint32_t i = 0, n = pg_list_count(arena, lists[which]); i < n; i++) any |= leads(&nodes[ids[i]], mark);
    }
    return any;
}

static void narrow(pg_sweep *sweep, const pg_id *inputs, size_t n, marks mark) {
    pg_arena *arena = sweep->arena;
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) arena->nodes[inputs[i]].mark = mark.unused;
    for (uint64_t i = 0; i < sweep->position; i++) {
        pg_node *node = &arena->nodes[sweep->order[i]];
        if (!any_leads(arena, node, mark)) continue;
        node->mark = mark.needed;
        sweep->order[count++] = sweep->order[i];
    }
    sweep->position = count;
}

static int begin(pg_sweep *sweep, const pg_id *inputs, size_t n, unsigned char *used) {
    pg_arena *arena = sweep->arena;
    int status = pg_sweep_order(sweep);
    if (status != PG_OK) return status;
    marks mark = new_marks(arena);
    sweep->epoch = mark.needed;
    narrow(sweep, inputs, n, mark);
    status = pg_sweep_save(sweep);
    if (status != PG_OK) {
        pg_sweep_give_back(sweep);
        return status;
    }
    for (uint64_t i = 0; i < sweep->saved_count; i++)
        if (!pg_holds_array(arena, sweep->saved[i].id)) arena->nodes[sweep->saved[i].id].grad = 0.0;
    for (size_t i = 0; i < n; i++)
        used[i] = inputs[i] == sweep->root || arena->nodes[inputs[i]].mark == mark.needed;
    arena->nodes[sweep->root].refs++;
    if (!pg_holds_array(arena, sweep->root)) arena->nodes[sweep->root].grad = 1.0;
    return PG_OK;
}

pg_sweep *pg_sweep_towards(pg_arena *arena, pg_id root, const pg_id *inputs, size_t n, unsigned char *used, int *status) {
    pg_sweep *sweep = pg_resize(NULL, 1, sizeof *sweep);
    *status = PG_ERR_NOMEM;
    if (!sweep) return NULL;
    *sweep = (pg_sweep){.arena = arena, .root = root};
    enter(arena);
    int known = pg_alive(arena, root) && all_alive(arena, inputs, n);
    *status = known ? begin(sweep, inputs, n, used) : PG_ERR_ID;
    (void)leave(arena, PG_OK);
    if (*status == PG_OK) return sweep;
    free(sweep);
    return NULL;
}

int pg_sweep_needs(pg_sweep *sweep, pg_id id) {
    pg_arena *arena = sweep->arena;
    enter(arena);
    int needs = sweep->epoch != arena->epoch || !pg_alive(arena, id) || arena->nodes[id].mark == sweep->epoch;
    (void)leave(arena, PG_OK);
    return needs;
}

size_t pg_sweep_nodes(const pg_sweep *sweep, pg_id *ids, size_t capacity) {
    size_t count = (size_t)sweep->position;
    for (size_t i = 0; i < count && i < capacity; i++) ids[i] = sweep->order[i];
    return count;
}
