/* arena.c: memory. Segments and slots, operand lists, growth, and the iterative release.
 *
 * Knows nothing of derivatives or of Python. The layout and its invariants are in arena.h.
 */
#if defined(__linux__) && !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE 1 /* madvise */
#endif
#include "arena.h"

#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

/* Resident empty segments that are kept for the next graph: 40 MB. */
#define PG_KEEP_SEGMENTS 256u
/* Arrays from this size on ask for huge pages: half the time of a graph of 10**7 nodes went into page faults. */
#define PG_HUGE_BYTES (UINT64_C(64) << 20)
/* From as many segments on (64 MB of nodes), an array that must grow grows by this further factor. */
#define PG_HUGE_SEGMENTS 512u
#define PG_AMPLE 16u
/* Words of dead operand lists that are kept: 16 MB, or twice what the living take. */
#define PG_KEEP_WORDS (UINT64_C(4) << 20)

static uint64_t fail_countdown; /* see pg_fail_allocation */

void pg_fail_allocation(uint64_t n) { fail_countdown = n; }

void *pg_resize(void *memory, uint64_t count, size_t size) {
    if (fail_countdown != 0 && --fail_countdown == 0) return NULL;
    if (count > (uint64_t)(SIZE_MAX / 2) / size) return NULL;
    return realloc(memory, (size_t)count * size);
}

/* ---- segments ---- */

void pg_segment_opened(pg_arena *arena, uint32_t index) {
    pg_segment *segment = &arena->segments[index];
    segment->listed = 1;
    segment->next = arena->open_head;
    arena->open_head = index + 1;
}

/* The last node died: the segment starts afresh, in ascending order. */
void pg_segment_emptied(pg_arena *arena, uint32_t index) {
    pg_segment *segment = &arena->segments[index];
    segment->free_head = PG_NONE;
    segment->bump = 0;
    if (index != arena->current) arena->idle++;
}

/* Whole pages inside a range; from > to if there is none. */
static void page_range(void *memory, size_t bytes, uintptr_t *from, uintptr_t *to) {
#if defined(__linux__)
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    *from = ((uintptr_t)memory + page - 1) / page * page;
    *to = ((uintptr_t)memory + bytes) / page * page;
#else
    (void)memory, (void)bytes;
    *from = 1;
    *to = 0;
#endif
}

/* Tells the system that these bytes are not needed; they may read as zero or as before from now on. */
static void discard(void *memory, size_t bytes) {
    uintptr_t from, to;
    page_range(memory, bytes, &from, &to);
#if defined(__linux__)
    if (to > from) (void)madvise((void *)from, to - from, MADV_DONTNEED);
#endif
}

static void prefer_huge_pages(void *memory, size_t bytes) {
    uintptr_t from, to;
    page_range(memory, bytes, &from, &to);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes >= PG_HUGE_BYTES && to > from) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#endif
}

/* Memory for so many segments. Each array may have grown when another fails: capacity counts the smallest. */
static int resize_segments(pg_arena *arena, uint32_t capacity) {
    uint64_t nodes = (uint64_t)capacity << PG_SEGMENT_BITS;
    void *memory = pg_resize(arena->nodes, nodes, sizeof *arena->nodes);
    if (!memory) return PG_ERR_NOMEM;
    arena->nodes = memory;
    prefer_huge_pages(memory, (size_t)nodes * sizeof *arena->nodes);
    memory = pg_resize(arena->owners, nodes, sizeof *arena->owners);
    if (!memory) return PG_ERR_NOMEM;
    arena->owners = memory;
    prefer_huge_pages(memory, (size_t)nodes * sizeof *arena->owners);
    memory = pg_resize(arena->segments, capacity, sizeof *arena->segments);
    if (!memory) return PG_ERR_NOMEM;
    arena->segments = memory;
    arena->segment_capacity = capacity;
    return PG_OK;
}

/* Room for one more segment. Small arrays double. A large one asks for much more at once: what is not touched takes
 * no memory, and moving huge pages costs more than they save. */
static int grow_segments(pg_arena *arena) {
    uint32_t capacity = arena->segment_capacity;
    if (arena->segment_count < capacity) return PG_OK;
    const uint32_t most = PG_MAX_NODES >> PG_SEGMENT_BITS;
    if (capacity >= most) return PG_ERR_FULL;
    uint32_t doubled = capacity < 2 ? 2 : capacity > most / 2 ? most : capacity * 2;
    if (doubled >= PG_HUGE_SEGMENTS) {
        uint32_t ample = doubled > most / PG_AMPLE ? most : doubled * PG_AMPLE;
        if (resize_segments(arena, ample) == PG_OK) return PG_OK;
    }
    return resize_segments(arena, doubled);
}

static void add_segment(pg_arena *arena) {
    uint32_t index = arena->segment_count++;
    arena->segments[index] = (pg_segment){.listed = 1};
    /* pg_alive and pg_bury may be asked about any slot of a segment in use */
    for (uint32_t i = 0; i < PG_SEGMENT; i++) {
        arena->nodes[(index << PG_SEGMENT_BITS) + i].op = PG_OP_FREE;
        arena->nodes[(index << PG_SEGMENT_BITS) + i].flags = 0;
    }
    arena->current = index;
}

/* The current segment is full: go on in an open one, or in a new one. */
pg_id pg_take_slow(pg_arena *arena) {
    uint32_t full = arena->current;
    if (arena->open_head) {
        uint32_t index = arena->open_head - 1;
        pg_segment *segment = &arena->segments[index];
        arena->open_head = segment->next;
        arena->current = index;
        if (segment->live == 0 && !segment->clean) arena->idle--;
        segment->clean = 0;
    } else {
        if (grow_segments(arena) != PG_OK) return PG_NONE;
        add_segment(arena);
    }
    arena->segments[full].listed = 0;
    return pg_take(arena);
}

static void drop_scratch(pg_arena *arena) {
    free(arena->scratch);
    arena->scratch = NULL;
    arena->scratch_capacity = 0;
}

/* Words are rounded up to a multiple of 4 as far as 256, then to a power of two: one class each. */
static unsigned list_class(uint64_t words) {
    if (words <= 256) return (unsigned)((words + 3) / 4);
    unsigned bits = 9;
    while (UINT64_C(1) << bits < words) bits++;
    return 64 + bits - 8;
}

static uint64_t class_words(unsigned class) {
    return class <= 64 ? (uint64_t)class * 4 : UINT64_C(1) << (class - 64 + 8);
}

static uint64_t list_words(uint32_t count) { return class_words(list_class((uint64_t)count + PG_LIST_HEADER)); }

static void replace_words(pg_arena *arena, uint32_t *words, uint64_t capacity) {
    free(arena->words);
    arena->words = words;
    arena->word_capacity = arena->word_count = capacity;
    arena->free_words = 0;
    memset(arena->list_free, 0, sizeof arena->list_free);
}

/* Where a list went in `words`; it is copied there when it is first asked for. */
static pg_list move_list(pg_arena *arena, pg_list list, uint32_t *words, uint64_t *used) {
    if (list == 0) return 0;
    uint32_t *old = arena->words + list;
    if (old[1] & PG_LIST_MOVED) return old[PG_LIST_HEADER];
    uint32_t count = pg_list_count(arena, list);
    pg_list place = (pg_list)*used;
    memcpy(words + place, old, ((size_t)count + PG_LIST_HEADER) * sizeof *words);
    *used += list_words(count);
    old[1] |= PG_LIST_MOVED;
    old[PG_LIST_HEADER] = place;
    return place;
}

/* Frees the words of dead lists: moves the living together, or, where memory is short, does nothing. */
static void trim_lists(pg_arena *arena) {
    if (arena->list_count == 0) {
        replace_words(arena, NULL, 0);
        return;
    }
    if (arena->free_words == 0) return;
    uint64_t needed = arena->word_count - arena->free_words, used = 1;
    uint32_t *words = pg_resize(NULL, needed, sizeof *words);
    if (!words) return;
    for (uint32_t s = 0; s < arena->segment_count; s++) {
        if (arena->segments[s].live == 0) continue;
        for (uint32_t i = 0; i < PG_SEGMENT; i++) {
            pg_node *node = &arena->nodes[(s << PG_SEGMENT_BITS) + i];
            if (!pg_is_wide(node->op)) continue;
            node->a = move_list(arena, node->a, words, &used);
            node->b = move_list(arena, node->b, words, &used);
        }
    }
    for (pg_layer *layer = arena->layers; layer; layer = layer->next)
        for (uint32_t j = 0; j < layer->nout; j++) layer->rows[j] = move_list(arena, layer->rows[j], words, &used);
    replace_words(arena, words, needed);
}

/* Discards the pages of every empty segment but the current one, a run of neighbours at a time. PG_OP_FREE is 0:
 * a discarded slot still reads as free. */
static void discard_empty_segments(pg_arena *arena) {
    uint32_t run = 0; /* how many empty segments end just before i */
    for (uint32_t i = 0; i <= arena->segment_count; i++) {
        pg_segment *segment = &arena->segments[i];
        if (i < arena->segment_count && i != arena->current && segment->live == 0 && !segment->clean) {
            segment->clean = 1;
            run++;
        } else if (run > 0) {
            pg_id first = (i - run) << PG_SEGMENT_BITS;
            discard(&arena->nodes[first], (size_t)run * PG_SEGMENT * sizeof *arena->nodes);
            discard(&arena->owners[first], (size_t)run * PG_SEGMENT * sizeof *arena->owners);
            run = 0;
        }
    }
    arena->idle = 0;
}

/* Cuts the arrays after the last segment in use; where that fails they just stay as long. */
static void trim_segments(pg_arena *arena) {
    while (arena->segment_count > 1 && arena->segments[arena->segment_count - 1].live == 0) arena->segment_count--;
    uint32_t count = arena->segment_count;
    arena->open_head = 0;
    if (arena->current >= count) {
        arena->current = 0;
        arena->segments[0].listed = 1;
    }
    for (uint32_t i = count; i-- > 0;) {
        pg_segment *segment = &arena->segments[i];
        if (i == arena->current) continue;
        segment->listed = 0;
        if (segment->free_head != PG_NONE || segment->bump < PG_SEGMENT) pg_segment_opened(arena, i);
    }
    discard_empty_segments(arena);
    uint64_t nodes = (uint64_t)count << PG_SEGMENT_BITS;
    void *memory = pg_resize(arena->nodes, nodes, sizeof *arena->nodes);
    if (memory) arena->nodes = memory;
    void *owners = memory ? pg_resize(arena->owners, nodes, sizeof *arena->owners) : NULL;
    if (owners) arena->owners = owners;
    if (memory) arena->segment_capacity = count; /* what was not cut is merely longer than that */
}

static void trim(pg_arena *arena) {
    drop_scratch(arena);
    trim_lists(arena);
    trim_segments(arena);
}

void pg_arena_trim(pg_arena *arena) {
    if (arena->locked) pg_mutex_lock(&arena->mutex);
    trim(arena);
    if (arena->locked) pg_mutex_unlock(&arena->mutex);
}

pg_arena *pg_arena_new(int flags) {
    pg_arena *arena = pg_resize(NULL, 1, sizeof *arena);
    if (!arena) return NULL;
    *arena = (pg_arena){.locked = (flags & PG_ARENA_LOCKED) != 0};
    if (arena->locked && pg_mutex_init(&arena->mutex) != 0) {
        free(arena);
        return NULL;
    }
    if (grow_segments(arena) != PG_OK) {
        pg_arena_free(arena);
        return NULL;
    }
    add_segment(arena);
    pg_fill(arena, pg_take(arena), PG_OP_LEAF, 0.0, PG_NONE, PG_NONE, 0); /* node 0 */
    arena->live = 0;
    return arena;
}

void pg_arena_lock(pg_arena *arena) {
    if (arena->locked) pg_mutex_lock(&arena->mutex);
}

void pg_arena_unlock(pg_arena *arena, int in_child) {
    if (!arena->locked) return;
    if (in_child)
        (void)pg_mutex_init(&arena->mutex);
    else
        pg_mutex_unlock(&arena->mutex);
}

void pg_arena_free(pg_arena *arena) {
    if (!arena) return;
    if (arena->locked) pg_mutex_destroy(&arena->mutex);
    free(arena->nodes);
    free(arena->owners);
    free(arena->segments);
    free(arena->words);
    free(arena->scratch);
    free(arena);
}

/* ---- operand lists ---- */

static int grow_words(pg_arena *arena, uint64_t needed) {
    if (needed <= arena->word_capacity) return PG_OK;
    if (needed > PG_MAX_WORDS) return PG_ERR_FULL;
    uint64_t capacity = arena->word_capacity < 1024 ? 1024 : arena->word_capacity * 2;
    if (capacity < needed) capacity = needed;
    if (capacity > PG_MAX_WORDS) capacity = PG_MAX_WORDS;
    void *memory = pg_resize(arena->words, capacity, sizeof *arena->words);
    if (!memory) return PG_ERR_NOMEM;
    arena->words = memory;
    arena->word_capacity = capacity;
    return PG_OK;
}

pg_list pg_list_new(pg_arena *arena, const pg_id *ids, size_t n, pg_id last, int *status) {
    uint64_t count = (uint64_t)n + (last != PG_NONE);
    *status = PG_OK;
    if (count == 0) return 0;
    if (count > PG_LIST_COUNT) {
        *status = PG_ERR_FULL;
        return 0;
    }
    unsigned class = list_class(count + PG_LIST_HEADER);
    pg_list list = arena->list_free[class];
    if (list) {
        arena->list_free[class] = arena->words[list];
        arena->free_words -= class_words(class);
    } else {
        if (arena->word_count == 0) arena->word_count = 1; /* offset 0 is the empty list */
        *status = grow_words(arena, arena->word_count + class_words(class));
        if (*status != PG_OK) return 0;
        list = (pg_list)arena->word_count;
        arena->word_count += class_words(class);
    }
    arena->list_count++;
    uint32_t *words = arena->words + list;
    pg_node *nodes = arena->nodes;
    pg_id first = n > 0 ? ids[0] : last;
    int leaves = last == PG_NONE || nodes[last].op == PG_OP_LEAF, run = last == PG_NONE || last == first + n;
    for (size_t i = 0; i < n; i++) {
        pg_node *node = &nodes[ids[i]];
        words[PG_LIST_HEADER + i] = ids[i];
        node->refs++;
        leaves &= node->op == PG_OP_LEAF;
        run &= ids[i] == first + i;
    }
    if (last != PG_NONE) {
        words[PG_LIST_HEADER + n] = last;
        nodes[last].refs++;
    }
    words[0] = 1;
    words[1] = (uint32_t)count | (leaves ? PG_LIST_LEAVES : 0) | (run ? PG_LIST_RUN : 0);
    words[2] = 0;
    return list;
}

static void list_give_back(pg_arena *arena, pg_list list) {
    unsigned class = list_class((uint64_t)pg_list_count(arena, list) + PG_LIST_HEADER);
    arena->words[list] = arena->list_free[class];
    arena->list_free[class] = list;
    arena->list_count--;
    arena->free_words += class_words(class);
    if (arena->list_count == 0) {
        /* nothing is left to keep apart: start afresh, as an empty segment does */
        arena->word_count = arena->free_words = 0;
        memset(arena->list_free, 0, sizeof arena->list_free);
    }
}

void pg_list_undo(pg_arena *arena, pg_list list) {
    if (list == 0) return;
    uint32_t n = pg_list_count(arena, list);
    for (uint32_t i = 0; i < n; i++) arena->nodes[pg_list_ids(arena, list)[i]].refs--;
    list_give_back(arena, list);
}

/* ---- release ---- */

pg_id pg_constant_node(pg_arena *arena, double k) {
    pg_id id = arena->cached_constant;
    if (id != PG_NONE && memcmp(&arena->nodes[id].data, &k, sizeof k) == 0) {
        arena->nodes[id].refs++;
        return id;
    }
    id = pg_take(arena);
    if (id == PG_NONE) return id;
    pg_fill(arena, id, PG_OP_CONST, k, PG_NONE, PG_NONE, 0);
    arena->cached_constant = id;
    return id;
}

/* Takes a count off an operand of a dying node; a node that dies of it joins the chain of those to be freed. */
static inline pg_id drop_operand(pg_arena *arena, pg_id id, pg_id chain) {
    if (id == PG_NONE) return chain;
    pg_node *node = &arena->nodes[id];
    if (--node->refs != 0) {
        if (PG_UNLIKELY(node->flags & PG_NODE_PINNED) && node->refs == 1) arena->unpinned = 1;
        return chain;
    }
    node->next = chain;
    return id;
}

static pg_id drop_list(pg_arena *arena, pg_list list, pg_id chain) {
    if (list == 0 || --arena->words[list] != 0) return chain;
    uint32_t n = pg_list_count(arena, list);
    for (uint32_t i = 0; i < n; i++) chain = drop_operand(arena, pg_list_ids(arena, list)[i], chain);
    list_give_back(arena, list);
    return chain;
}

static inline pg_id drop_operands(pg_arena *arena, const pg_node *node, pg_id chain) {
    if (pg_is_leaf(node)) return chain;
    if (PG_UNLIKELY(pg_is_wide(node->op))) {
        arena->wide--;
        chain = drop_list(arena, node->a, chain);
        return drop_list(arena, node->b, chain);
    }
    chain = drop_operand(arena, node->a, chain);
    return drop_operand(arena, node->b, chain);
}

/* What only few nodes need when they die: 1 if the slot must wait in limbo. */
static int bid_farewell(pg_arena *arena, pg_id id) {
    pg_node *node = &arena->nodes[id];
    if (node->flags & PG_NODE_HOOK) arena->hooks--;
    if (id == arena->cached_constant) arena->cached_constant = PG_NONE;
    if (!(node->flags & PG_NODE_SIDE)) return 0;
    node->op = PG_OP_FREE;
    node->a = arena->limbo;
    arena->limbo = id;
    return 1;
}

static inline int too_many_words(const pg_arena *arena) {
    uint64_t spare = arena->word_capacity - (arena->word_count - arena->free_words);
    return spare > PG_KEEP_WORDS && spare > 2 * (arena->word_capacity - spare);
}

/* Frees nodes whose count fell to zero, and all that dies with them. The chain of nodes still to be freed
 * runs through the dead nodes themselves, so it needs no memory and no recursion. */
static void reclaim_chain(pg_arena *arena, pg_id chain) {
    while (chain != PG_NONE) {
        pg_id dead = chain;
        pg_node *node = &arena->nodes[dead];
        int op = node->op;
        chain = drop_operands(arena, node, node->next);
        if (PG_UNLIKELY(node->flags != 0 || op == PG_OP_CONST) && bid_farewell(arena, dead)) continue;
        pg_give_back(arena, dead);
    }
    if (PG_UNLIKELY(arena->idle > PG_KEEP_SEGMENTS)) trim(arena);
    if (PG_UNLIKELY(too_many_words(arena))) trim_lists(arena);
}

void pg_reclaim(pg_arena *arena, pg_id id) {
    arena->nodes[id].next = PG_NONE;
    reclaim_chain(arena, id);
}

void pg_become_leaf(pg_arena *arena, pg_id id) {
    pg_node *node = &arena->nodes[id];
    pg_id chain = drop_operands(arena, node, PG_NONE);
    node->op = PG_OP_LEAF;
    pg_set_birth(arena, node);
    reclaim_chain(arena, chain);
}

void pg_list_drop(pg_arena *arena, pg_list list) { reclaim_chain(arena, drop_list(arena, list, PG_NONE)); }
