/* arena.h: the arena's layout and the few functions every operation runs through, inline.
 *
 * Internal to csrc/. The functions here check nothing and take no lock: their callers have (graph.c for
 * the public API, value.c under the GIL).
 *
 * Nodes stand in one array, cut into segments of PG_SEGMENT nodes. A segment hands out the slots of
 * its own free list, then fresh ones in ascending order; when its last node dies it starts afresh (but for the
 * first, where node 0 is), so that a training loop meets its memory in ascending order at every step, and whole pages can go back to the
 * system although the nodes above them live.
 *
 * Invariants
 *   - Node 0 is a leaf that never dies and is nobody's operand: id 0 means "none" (PG_NONE), and a unary
 *     node's second operand, so that the depth-first search needs no look at the arity.
 *   - refs == (1 if the caller holds a handle) + (uses as an operand, or as a constant). 0: the slot is free,
 *     or in limbo.
 *   - An operand was alive when its node was made, and is held by it: the graph is acyclic.
 *   - A leaf has no operands: its a and b are its birth, the number of leaves made before it and itself. 64 bits never
 *     start anew, so births tell older leaves from newer ones although slots are used again. Node 0's is 0.
 *   - PG_MAX_NODES * 2 operands and PG_MAX_WORDS ids in lists cannot overflow the 32-bit refs.
 *   - The ids of an n-ary node stand in operand lists: sum, logsumexp, array and user: a; dot: a = weights and bias, b = inputs.
 */
#ifndef PG_ARENA_H
#define PG_ARENA_H

#include "lock.h"
#include "pygrad.h"

/* ORDER OP: the codes, from ops.h */
#include "ops.h"
#define PG_ENUM_S(code, ID, name, symbol) PG_OP_##ID = code,
#define PG_ENUM_U(code, ID, name, symbol, doc, STATUS, VALUE, DX) PG_OP_##ID = code,
#define PG_ENUM_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX) PG_OP_##ID = code,
#define PG_ENUM_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY) PG_OP_##ID = code,
#define PG_ENUM_N(code, ID, name, symbol, doc, TERM, DX, DY) PG_OP_##ID = code,
#define PG_ENUM_R(code, ID, name, symbol, doc, TERM, VALUE, DX) PG_OP_##ID = code,
enum { PG_OP_TABLE(PG_ENUM_S, PG_ENUM_U, PG_ENUM_K, PG_ENUM_B, PG_ENUM_N, PG_ENUM_R) PG_OP_COUNT };

/* One bit an op: those whose operands stand in lists. */
#define PG_NARROW_S(code, ID, name, symbol)
#define PG_NARROW_U(code, ID, name, symbol, doc, STATUS, VALUE, DX)
#define PG_NARROW_K(code, ID, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)
#define PG_NARROW_B(code, ID, name, symbol, doc, STATUS, VALUE, DX, DY)
#define PG_WIDE_N(code, ID, name, symbol, doc, TERM, DX, DY) | UINT64_C(1) << code
#define PG_WIDE_R(code, ID, name, symbol, doc, TERM, VALUE, DX) | UINT64_C(1) << code
#define PG_WIDE_OPS \
    (UINT64_C(1) << PG_OP_USER | UINT64_C(1) << PG_OP_ARRAY PG_OP_TABLE(PG_NARROW_S, PG_NARROW_U, PG_NARROW_K, PG_NARROW_B, PG_WIDE_N, PG_WIDE_R))

#if defined(__GNUC__) || defined(__clang__)
#define PG_LIKELY(e) __builtin_expect(!!(e), 1)
#define PG_UNLIKELY(e) __builtin_expect(!!(e), 0)
/* For what is short once its op is known, and must be inlined to know it. */
#define PG_INLINE static inline __attribute__((always_inline))
#else
#define PG_LIKELY(e) (e)
#define PG_UNLIKELY(e) (e)
#define PG_INLINE static inline
#endif

/* In flags, of a dead node only: it has left limbo and waits to be buried. */
#define PG_NODE_BURIABLE 128
/* With a list's count: it was moved, and its first id is where it went; every id was a leaf when the list was made;
 * the ids follow one another. The count itself is below 2**29. */
#define PG_LIST_MOVED (UINT32_C(1) << 31)
#define PG_LIST_LEAVES (UINT32_C(1) << 30)
#define PG_LIST_RUN (UINT32_C(1) << 29)
#define PG_LIST_COUNT (PG_LIST_RUN - 1)
#define PG_LIST_HEADER 3u

#define PG_SEGMENT_BITS 12
#define PG_SEGMENT (UINT32_C(1) << PG_SEGMENT_BITS)
#define PG_LIST_CLASSES 96
#define PG_MAX_WORDS (UINT64_C(1) << 31)

/* Offset of an operand list in arena->words: [refs, count and flags, mark, id, id, ...]; 0: the empty list. mark is the
 * epoch of the last search that has met all its ids: neurons of one layer share the list of their inputs. */
typedef uint32_t pg_list;

typedef struct {
    double data;
    union {
        double grad;
        pg_id next; /* while its release is under way */
    };
    uint32_t a, b;  /* operands, or lists; of a leaf its birth; a free slot: a is the next free one */
    uint32_t refs;
    uint8_t op;
    uint8_t flags;
    uint16_t mark; /* the epoch of the last depth-first search that met this node */
} pg_node;         /* 32 bytes; owners[] adds 8, a sweep's scratch 4 (8 for an n-ary node) */

typedef struct {
    pg_id free_head; /* slots below bump that died */
    uint32_t next;   /* the next open segment, + 1; 0 ends the list */
    uint16_t bump;   /* slots from here on were not handed out since the segment was last empty */
    uint16_t live;   /* nodes alive or in limbo */
    uint8_t listed;  /* in the list of open segments, or the current one */
    uint8_t clean;   /* empty, and its pages are not resident */
} pg_segment;

/* Neurons on the same inputs, whose lists of parameters are made once. */
struct pg_layer {
    pg_arena *arena;
    pg_layer *next, *previous; /* of all layers of the arena: their lists move when lists are moved together */
    uint32_t nin, nout;
    int activation; /* 0: none */
    double constant;
    pg_list rows[]; /* nout lists of nin weights and a bias */
};

struct pg_arena {
    pg_node *nodes;
    void **owners; /* one pointer a node for the binding; valid where PG_NODE_OWNED */
    pg_segment *segments;
    uint32_t current;          /* the segment that slots are taken from */
    uint32_t open_head;        /* open segments (with room, not current), index + 1 */
    uint32_t segment_count;    /* segments in use */
    uint32_t segment_capacity; /* segments there is memory for */
    uint32_t idle;             /* empty segments whose pages are still resident */
    pg_id cached_constant;     /* the constant made last, if it lives: x**2 over and over needs one */
    pg_id limbo;
    uint16_t epoch;
    uint8_t locked;
    uint8_t unpinned; /* a pinned node lost a use since the binding last asked */
    uint8_t hooked_leaf; /* some leaf got a hook, ever: PG_LIST_LEAVES says nothing any more */
    uint64_t live;
    uint64_t births; /* leaves made so far, ever */
    uint64_t wide;  /* n-ary nodes alive: each may need a second word of the sweep's stack */
    uint64_t hooks; /* nodes with PG_NODE_HOOK */
    pg_layer *layers;
    uint32_t *words; /* operand lists, see pg_list */
    uint64_t word_count, word_capacity, list_count;
    uint64_t free_words; /* of word_count, those of dead lists */
    pg_list list_free[PG_LIST_CLASSES];
    uint32_t *scratch; /* the last sweep's order, kept for the next */
    uint64_t scratch_capacity;
    pg_mutex mutex;
};

/* realloc of count items, overflow-checked; counts towards pg_fail_allocation. NULL: unchanged. */
void *pg_resize(void *memory, uint64_t count, size_t size);
/* Rare paths of the inline functions below. */
pg_id pg_take_slow(pg_arena *arena);
void pg_segment_emptied(pg_arena *arena, uint32_t segment);
void pg_segment_opened(pg_arena *arena, uint32_t segment);
void pg_reclaim(pg_arena *arena, pg_id id);
/* Lets go of a computed node's operands; data, gradient and flags stay. */
void pg_become_leaf(pg_arena *arena, pg_id id);
/* A list of n ids, each of which gains a count; then, if last is a node, that one too. 0 with *status on error. */
pg_list pg_list_new(pg_arena *arena, const pg_id *ids, size_t n, pg_id last, int *status);
/* Takes back a list just made, whose ids are all still held by the caller. */
void pg_list_undo(pg_arena *arena, pg_list list);
/* Gives back one count of a list, and frees what dies with it. */
void pg_list_drop(pg_arena *arena, pg_list list);
/* A hidden constant node with one count for the caller; PG_NONE if memory is short. */
pg_id pg_constant_node(pg_arena *arena, double k);

static inline uint32_t pg_list_count(const pg_arena *arena, pg_list list) {
    return list ? arena->words[list + 1] & PG_LIST_COUNT : 0;
}

static inline const pg_id *pg_list_ids(const pg_arena *arena, pg_list list) {
    return list ? arena->words + list + PG_LIST_HEADER : NULL;
}

/* Whether every id is a leaf, and has no step to take. */
static inline int pg_list_of_leaves(const pg_arena *arena, pg_list list) {
    return list == 0 || (arena->words[list + 1] & PG_LIST_LEAVES && !arena->hooked_leaf);
}

/* Whether the ids follow one another, so that their nodes do in memory. */
static inline int pg_list_is_run(const pg_arena *arena, pg_list list) {
    return list != 0 && (arena->words[list + 1] & PG_LIST_RUN) != 0;
}

static inline int pg_is_leaf(const pg_node *node) { return node->op <= PG_OP_CONST; }

static inline int pg_is_wide(int op) { return (int)(PG_WIDE_OPS >> op & 1); }

static inline int pg_alive(const pg_arena *arena, pg_id id) {
    return id != PG_NONE && id >> PG_SEGMENT_BITS < arena->segment_count && arena->nodes[id].op != PG_OP_FREE;
}

/* A slot, or PG_NONE if memory is short. Its fields are not set. */
PG_INLINE pg_id pg_take(pg_arena *arena) {
    uint32_t current = arena->current;
    pg_segment *segment = &arena->segments[current];
    pg_id id = segment->free_head;
    if (id != PG_NONE) {
        segment->free_head = arena->nodes[id].a;
    } else if (PG_LIKELY(segment->bump < PG_SEGMENT)) {
        id = (current << PG_SEGMENT_BITS) | segment->bump++;
    } else {
        return pg_take_slow(arena);
    }
    segment->live++;
    arena->live++;
    return id;
}

/* Returns a slot that nothing refers to. */
static inline void pg_give_back(pg_arena *arena, pg_id id) {
    uint32_t index = id >> PG_SEGMENT_BITS;
    pg_segment *segment = &arena->segments[index];
    arena->nodes[id].op = PG_OP_FREE;
    arena->nodes[id].a = segment->free_head;
    segment->free_head = id;
    arena->live--;
    if (PG_UNLIKELY(!segment->listed)) pg_segment_opened(arena, index);
    if (PG_UNLIKELY(--segment->live == 0)) pg_segment_emptied(arena, index);
}

PG_INLINE void pg_fill(pg_arena *arena, pg_id id, int op, double data, uint32_t a, uint32_t b, int flags) {
    pg_node *node = &arena->nodes[id];
    node->data = data;
    node->grad = 0.0;
    node->a = a;
    node->b = b;
    node->refs = 1;
    node->op = (uint8_t)op;
    node->flags = (uint8_t)flags;
    node->mark = 0;
}

/* Gives back one count. Safe for a node of any depth. */
static inline void pg_unref(pg_arena *arena, pg_id id) {
    if (--arena->nodes[id].refs == 0) pg_reclaim(arena, id);
}

/* Why pg_take gave nothing. */
static inline int pg_take_error(const pg_arena *arena) {
    return arena->segment_count >= PG_MAX_NODES >> PG_SEGMENT_BITS ? PG_ERR_FULL : PG_ERR_NOMEM;
}

static inline pg_id pg_leaf_node(pg_arena *arena, double data) {
    pg_id id = pg_take(arena);
    if (PG_UNLIKELY(id == PG_NONE)) return id;
    uint64_t birth = ++arena->births;
    pg_fill(arena, id, PG_OP_LEAF, data, (uint32_t)birth, (uint32_t)(birth >> 32), 0);
    return id;
}

static inline uint64_t pg_birth(const pg_node *leaf) { return (uint64_t)leaf->b << 32 | leaf->a; }

/* Of a node that has just become a leaf. */
static inline void pg_set_birth(pg_arena *arena, pg_node *leaf) {
    uint64_t birth = ++arena->births;
    leaf->a = (uint32_t)birth;
    leaf->b = (uint32_t)(birth >> 32);
}

#endif
