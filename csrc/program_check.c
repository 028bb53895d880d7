/* program_check.c: reads the words of a program, and refuses all that would not be safe to run.
 *
 * Words may come from a file that somebody made up. What is accepted stays inside its own memory, reads no slot and no
 * computed value before it was written, and writes every column of every output. That it computes anything sensible, or
 * ends soon, is not checked. Running is program_run.c's subject.
 *
 * Every number in the words is below 2**32, so sums and products of two are exact in 64 bits.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>

/* The most of anything that memory is reserved for: slots; numbers of V, lanes of a stage, columns. */
#define MOST_SLOTS (UINT32_C(1) << 26)
#define MOST (UINT32_C(1) << 28)

_Static_assert(sizeof(pg_move) == PG_MOVE * sizeof(uint32_t), "a move is laid over its words");
_Static_assert(sizeof(pg_instruction) == PG_INSTRUCTION * sizeof(uint32_t), "an instruction is laid over its words");

/* What is known of a slot. */
enum { UNWRITTEN = 0, WRITTEN = 1, LOADED = 2 /* and not written since */, SHARED = 3 /* by the prologue, for good */ };

typedef struct {
    pg_program *program;
    pg_stage *stage;
    size_t n_words, n_constants, at;
    uint64_t pool_words;   /* of this stage */
    unsigned char *slots;  /* of this stage */
    uint64_t slot_capacity;
    unsigned char *known;   /* of V: whether it holds a number when this stage starts; 2: written by this stage */
    unsigned char *columns; /* of the output groups, one behind the other: whether they are written */
    uint64_t *group_start;
    int in_prologue;
} checker;

static uint64_t v_count(const pg_program *p) { return (uint64_t)p->parameters + p->computed + p->constant_count; }
static uint64_t g_count(const pg_program *p) { return (uint64_t)p->parameters + p->computed; }

/* The next n words; NULL if there are not so many. */
static uint32_t *take(checker *c, uint64_t n) {
    if (n > c->n_words - c->at) return NULL;
    uint32_t *words = c->program->words + c->at;
    c->at += (size_t)n;
    return words;
}

/* ---- places: each function says whether they are all right ---- */

static int fits(uint64_t from, uint64_t count, uint64_t all) { return from <= all && count <= all - from; }

/* Neighbouring slots that are read. */
static int reads(const checker *c, uint32_t from, uint64_t count) {
    if (!fits(from, count, c->stage->slots)) return 0;
    const unsigned char least = c->in_prologue ? SHARED : WRITTEN;
    for (uint64_t i = 0; i < count; i++)
        if (c->slots[from + i] < least) return 0;
    return 1;
}

static int writes(checker *c, uint32_t from, uint64_t count) {
    if (!fits(from, count, c->stage->slots)) return 0;
    for (uint64_t i = 0; i < count; i++)
        if (c->slots[from + i] == SHARED) return 0;
    memset(c->slots + from, c->in_prologue ? SHARED : WRITTEN, (size_t)count);
    return 1;
}

static int disjoint(uint32_t x, uint64_t n, uint32_t y, uint64_t m) { return x + n <= y || y + m <= x; }

/* A number of V that is read. */
static int reads_v(const checker *c, uint64_t at) { return at < v_count(c->program) && c->known[at] == 1; }

static int in_g(const checker *c, uint64_t at) { return at < g_count(c->program); }

/* Words of the stage's pool; NULL if it has not so many. */
static const uint32_t *pool(const checker *c, uint32_t at, uint64_t count) {
    return fits(at, count, c->pool_words) ? c->stage->pool + at : NULL;
}

/* ---- instructions ---- */

static int has_formula(const pg_formulas *formulas, int form, uint32_t op) {
    return form == PG_FORM_VALUE ? formulas->value[op] != NULL
           : form == PG_FORM_DX  ? formulas->dx[op] != NULL
                                 : formulas->dy[op] != NULL;
}

static int computable(int form, uint32_t op) {
    if (!has_formula(&pg_exact_formulas, form, op)) return 0;
    for (size_t i = 0; pg_kernel_sets[i]; i++)
        if (pg_kernel_sets[i]->usable() && !has_formula(&pg_kernel_sets[i]->fast, form, op)) return 0;
    return 1;
}

/* The op's kind; PG_KIND_STRUCTURAL if there is no such op, or no such form of it. */
static pg_kind kind_of(int form, uint32_t op) {
    if (op >= PG_OP_COUNT) return PG_KIND_STRUCTURAL;
    pg_kind kind = pg_op_describe((int)op)->kind;
    int right = form == PG_FORM_DX   ? kind != PG_KIND_NARY || op == PG_OP_LOGSUMEXP
                : form == PG_FORM_DY ? kind == PG_KIND_BINARY
                                     : kind != PG_KIND_NARY;
    return right && kind != PG_KIND_STRUCTURAL && computable(form, op) ? kind : PG_KIND_STRUCTURAL;
}

/* An operand of `width` slots beside those that are written. One that may be missing, and is, becomes another: its
 * number is not used. */
static int operand(const checker *c, pg_instruction *i, uint32_t *x, int number, int may_miss) {
    const uint32_t repeat = UINT32_C(1) << (16 + number);
    if (may_miss && *x == PG_NO_SLOT) {
        *x = i->a;
        i->code = (i->code & ~repeat) | (i->code & UINT32_C(1) << 16) << number;
    }
    const uint64_t width = i->code & repeat ? 1 : i->width;
    return reads(c, *x, width) && disjoint(i->z, i->width, *x, width);
}

static int check_formula(checker *c, pg_instruction *i, int form, uint32_t op) {
    pg_kind kind = kind_of(form, op);
    if (kind == PG_KIND_STRUCTURAL) return 0;
    if (kind == PG_KIND_CONSTANT && !reads_v(c, i->at)) return 0;
    if (form == PG_FORM_VALUE) {
        if (kind != PG_KIND_BINARY) i->b = PG_NO_SLOT;
        i->c = i->d = PG_NO_SLOT;
    } else if (kind != PG_KIND_BINARY) {
        i->c = PG_NO_SLOT;
    }
    if (kind != PG_KIND_CONSTANT) i->at = 0;
    c->stage->work += (double)i->width * (op <= PG_OP_MUL || op == PG_OP_RELU ? 1.0 : 4.0);
    return operand(c, i, &i->a, 0, 0) && operand(c, i, &i->b, 1, form != PG_FORM_VALUE || kind != PG_KIND_BINARY) &&
           operand(c, i, &i->c, 2, 1) && operand(c, i, &i->d, 3, 1) && writes(c, i->z, i->width);
}

/* One slot from those that the pool lists. */
static int check_list(checker *c, const pg_instruction *i, uint64_t count) {
    const uint32_t *slots = pool(c, i->at, count);
    if (!slots) return 0;
    for (uint64_t k = 0; k < count; k++)
        if (!reads(c, slots[k], 1) || slots[k] == i->z) return 0;
    c->stage->work += (double)count;
    return writes(c, i->z, 1);
}

static uint64_t largest(const uint32_t *x, uint64_t n) {
    uint32_t found = 0;
    for (uint64_t i = 0; i < n; i++)
        if (x[i] > found) found = x[i];
    return found;
}

/* w(r, j) = V[row[r] + col[j]]: whether all are below `all`, and of them the computed ones known. */
static int check_matrix(const checker *c, const uint32_t *row, const uint32_t *col, uint64_t rows, uint64_t cols,
                        uint64_t all) {
    if (largest(row, rows) + largest(col, cols) >= all) return 0;
    /* parameters are always known */
    if (largest(row, rows) + largest(col, cols) < c->program->parameters) return 1;
    for (uint64_t r = 0; r < rows; r++)
        for (uint64_t j = 0; j < cols; j++)
            if (!reads_v(c, (uint64_t)row[r] + col[j])) return 0;
    return 1;
}

static int check_dense(checker *c, const pg_instruction *i, int down) {
    const uint64_t rows = i->width, cols = i->c;
    if (rows == 0 || cols == 0 || (down && cols - 1 > i->a)) return 0;
    const uint32_t x = down ? i->a - (i->c - 1) : i->a; /* the lowest */
    const uint32_t *row = pool(c, i->at, rows + cols + rows);
    if (!row || !check_matrix(c, row, row + rows, rows, cols, v_count(c->program))) return 0;
    for (uint64_t r = 0; r < rows; r++)
        if (!reads_v(c, row[rows + cols + r])) return 0;
    if (!reads(c, x, cols) || !disjoint(i->z, rows, x, cols)) return 0;
    c->stage->work += (double)rows * (double)cols;
    const pg_finish finish = pg_finish_of(i);
    if (finish > PG_FINISH_RELU && (!reads(c, i->b, rows) || !disjoint(i->b, rows, i->z, rows))) return 0;
    if (!writes(c, i->z, rows)) return 0;
    if (i->d == 0 || finish != PG_FINISH_NONE) return 1;
    c->stage->work += 4.0 * (double)rows;
    return kind_of(PG_FORM_VALUE, i->d) == PG_KIND_UNARY && disjoint(i->b, rows, x, cols) &&
           disjoint(i->b, rows, i->z, rows) && writes(c, i->b, rows);
}

static int check_outer(checker *c, const pg_instruction *i) {
    const uint64_t rows = i->width, cols = (uint64_t)i->c + i->d; /* of ones too */
    const uint32_t *row = pool(c, i->at, rows + cols);
    if (!row || rows == 0 || i->c == 0 || i->d > 1) return 0;
    /* the targets are all different, so there are no more than numbers in G */
    if (rows * cols > g_count(c->program)) return 0;
    if (!in_g(c, largest(row, rows) + largest(row + rows, cols))) return 0;
    c->stage->outers = 1;
    c->stage->work += (double)rows * (double)cols;
    c->stage->sinks = 1;
    return reads(c, i->a, rows) && reads(c, i->b, i->c);
}

static int check_accumulate(checker *c, const pg_instruction *i) {
    const uint32_t *places = pool(c, i->at, i->width);
    if (!places || i->width == 0 || !in_g(c, largest(places, i->width))) return 0;
    c->stage->work += (double)i->width;
    c->stage->sinks = 1;
    return reads(c, i->a, i->width);
}

static int check_fill(checker *c, const pg_instruction *i) {
    for (uint64_t k = 0; k < i->width; k++)
        if (!reads_v(c, i->a + k)) return 0;
    c->stage->work += (double)i->width;
    return writes(c, i->z, i->width);
}

/* Those that look at a sample's index: stages over samples only. */
static int check_pick(checker *c, const pg_instruction *i, uint32_t op) {
    const uint64_t read = op == PG_PICK ? i->c : 1, written = op == PG_PICK ? 1 : i->width;
    if (c->stage->lanes || i->b >= c->program->indices) return 0;
    if (op == PG_PICK && c->program->bounds[i->b] > i->c) return 0;
    c->stage->work += (double)written;
    return reads(c, i->a, read) && disjoint(i->z, written, i->a, read) && writes(c, i->z, written);
}

static int check_other(checker *c, const pg_instruction *i, uint32_t op) {
    switch (op) {
    case PG_FILL: return check_fill(c, i);
    case PG_COPY:
        c->stage->work += (double)i->width;
        return reads(c, i->a, i->width) && disjoint(i->z, i->width, i->a, i->width) && writes(c, i->z, i->width);
    case PG_DOT:
        if (i->a != PG_NO_SLOT && (!reads(c, i->a, 1) || i->a == i->z)) return 0;
        return check_list(c, i, 2 * (uint64_t)i->c);
    case PG_SUM: return check_list(c, i, i->c);
    case PG_LOGSUMEXP:
        c->stage->work += 4.0 * (double)i->c;
        return i->c > 0 && check_list(c, i, i->c);
    case PG_DENSE:
    case PG_DENSE_DOWN: return check_dense(c, i, op == PG_DENSE_DOWN);
    default: break;
    }
    if (c->in_prologue) return 0;
    switch (op) {
    case PG_PICK:
    case PG_PICK_DX: return check_pick(c, i, op);
    case PG_OUTER: return check_outer(c, i);
    case PG_ACCUMULATE: return check_accumulate(c, i);
    default: return 0;
    }
}

static int check_instruction(checker *c, pg_instruction *i) {
    const uint32_t op = i->code & 0xff, form = i->code >> 8 & 0xff, repeat = i->code >> 16;
    if (form == PG_FORM_OTHER) return repeat == 0 && check_other(c, i, op);
    return form < PG_FORM_OTHER && repeat < 16 && check_formula(c, i, (int)form, op);
}

/* ---- moves ---- */

/* Whether so many places, of each lane one, follow one another. */
static uint32_t is_run(const uint32_t *places, uint32_t lanes) {
    for (uint32_t l = 1; l < lanes; l++)
        if (places[l] != (uint64_t)places[0] + l) return 0;
    return 1;
}

static int check_input(checker *c, pg_move *m) {
    pg_stage *stage = c->stage;
    const pg_program *p = c->program;
    const uint32_t *places;
    int good = 0;
    switch (m->kind) {
    case PG_MOVE_ARGUMENT:
        good = !stage->lanes && m->source < p->arguments && fits(m->at, m->count, p->widths[m->source]);
        break;
    case PG_MOVE_SEED: good = !stage->lanes && m->count == 1; break;
    case PG_MOVE_ROWS: good = stage->lanes && fits(m->at, m->count, stage->row_count); break;
    case PG_MOVE_GATHER:
        if (!stage->lanes || m->count != 1 || !(places = pool(c, m->at, stage->lanes))) return 0;
        for (uint32_t l = 0; l < stage->lanes; l++)
            if (!reads_v(c, places[l])) return 0;
        m->run = is_run(places, stage->lanes);
        good = 1;
        break;
    case PG_MOVE_GATHER_G:
        c->program->uses_gradient = 1;
        if (!stage->lanes || m->count != 1 || !(places = pool(c, m->at, stage->lanes))) return 0;
        m->run = is_run(places, stage->lanes);
        good = in_g(c, largest(places, stage->lanes));
        break;
    default: break;
    }
    stage->work += (double)m->count;
    if (!good || !writes(c, m->slot, m->count)) return 0;
    memset(c->slots + m->slot, LOADED, m->count);
    return 1;
}

static int check_output(checker *c, pg_move *m) {
    const pg_stage *stage = c->stage;
    const pg_program *p = c->program;
    if (!reads(c, m->slot, m->count)) return 0;
    c->stage->work += (double)m->count;
    switch (m->kind) {
    case PG_MOVE_OUTPUT:
        if (stage->lanes || m->source >= p->outputs || !fits(m->at, m->count, p->groups[m->source])) return 0;
        memset(c->columns + c->group_start[m->source] + m->at, 1, m->count);
        return 1;
    case PG_MOVE_SCATTER:
        if (!stage->lanes || m->count != 1 || m->at < p->parameters || !fits(m->at, stage->lanes, g_count(p))) return 0;
        for (uint32_t l = 0; l < stage->lanes; l++) {
            if (c->known[m->at + l]) return 0;
            c->known[m->at + l] = 2;
        }
        return 1;
    case PG_MOVE_ADD_G: {
        const uint32_t *places = stage->lanes && m->count == 1 ? pool(c, m->at, stage->lanes) : NULL;
        c->stage->sinks = 1;
        if (!places) return 0;
        m->run = is_run(places, stage->lanes);
        return in_g(c, largest(places, stage->lanes));
    }
    default: return 0;
    }
}

/* ---- the whole ---- */

/* Room for the marks of so many slots, all unwritten. */
static int clear_slots(checker *c, uint32_t slots) {
    if (slots > c->slot_capacity) {
        void *memory = pg_resize(c->slots, slots, 1);
        if (!memory) return PG_ERR_NOMEM;
        c->slots = memory;
        c->slot_capacity = slots;
    }
    if (slots) memset(c->slots, UNWRITTEN, slots);
    return PG_OK;
}

/* How many of the first inputs are arguments in slots that are still as they were loaded. */
static uint32_t kept_inputs(const checker *c) {
    const pg_stage *stage = c->stage;
    for (uint32_t i = 0; i < stage->input_count; i++) {
        const pg_move *m = &stage->inputs[i];
        if (m->kind != PG_MOVE_ARGUMENT) return i;
        for (uint32_t k = 0; k < m->count; k++)
            if (c->slots[m->slot + k] != LOADED) return i;
    }
    return stage->input_count;
}

/* What the stage scattered can be read by those behind it. */
static void end_stage(checker *c) {
    const pg_stage *stage = c->stage;
    for (uint32_t i = 0; i < stage->output_count; i++)
        if (stage->outputs[i].kind == PG_MOVE_SCATTER) memset(c->known + stage->outputs[i].at, 1, stage->lanes);
}

/* constants: those of the stages that have not been given out yet. */
static int read_stage(checker *c, uint64_t *constants) {
    pg_stage *stage = c->stage;
    const uint32_t *head = take(c, PG_STAGE);
    if (!head) return PG_ERR_PROGRAM;
    const uint64_t instructions = (uint64_t)head[3] + head[4];
    if (head[0] > MOST || head[1] > MOST_SLOTS || head[7] > *constants || head[8]) return PG_ERR_PROGRAM;
    if (head[0] ? head[7] % head[0] : head[7]) return PG_ERR_PROGRAM;
    stage->lanes = head[0];
    stage->slots = head[1];
    stage->row_count = head[0] ? head[7] / head[0] : 0;
    stage->input_count = head[2];
    stage->prologue_count = head[3];
    stage->instruction_count = head[4];
    stage->output_count = head[5];
    c->pool_words = head[6];
    /* constants are never moved, so the rows can point into them */
    stage->rows = c->program->constants + (c->n_constants - *constants);
    *constants -= head[7];
    uint32_t *inputs = take(c, (uint64_t)stage->input_count * PG_MOVE);
    uint32_t *code = inputs ? take(c, instructions * PG_INSTRUCTION) : NULL;
    uint32_t *outputs = code ? take(c, (uint64_t)stage->output_count * PG_MOVE) : NULL;
    stage->pool = outputs ? take(c, c->pool_words) : NULL;
    if (!stage->pool) return PG_ERR_PROGRAM;
    pg_move *moves_in = (pg_move *)inputs, *moves_out = (pg_move *)outputs;
    stage->inputs = moves_in;
    stage->prologue = (const pg_instruction *)code;
    stage->instructions = stage->prologue + stage->prologue_count;
    stage->outputs = moves_out;
    if (clear_slots(c, stage->slots) != PG_OK) return PG_ERR_NOMEM;

    pg_instruction *instruction = (pg_instruction *)code;
    c->in_prologue = 1;
    for (uint32_t i = 0; i < stage->prologue_count; i++)
        if (!check_instruction(c, instruction++)) return PG_ERR_PROGRAM;
    c->in_prologue = 0;
    for (uint32_t i = 0; i < stage->input_count; i++)
        if (moves_in[i].run || !check_input(c, &moves_in[i])) return PG_ERR_PROGRAM;
    for (uint32_t i = 0; i < stage->instruction_count; i++)
        if (!check_instruction(c, instruction++)) return PG_ERR_PROGRAM;
    for (uint32_t i = 0; i < stage->output_count; i++)
        if (moves_out[i].run || !check_output(c, &moves_out[i])) return PG_ERR_PROGRAM;
    if (stage->sinks) c->program->uses_gradient = 1;
    stage->kept_inputs = kept_inputs(c);
    end_stage(c);
    return PG_OK;
}

/* The header, and the lists behind it. *columns: of all output groups. */
static int read_header(checker *c, uint64_t *columns) {
    pg_program *p = c->program;
    const uint32_t *head = take(c, PG_HEADER);
    if (!head || head[0] != PG_PROGRAM_MAGIC || head[1] != PG_PROGRAM_VERSION || head[10] || head[11])
        return PG_ERR_PROGRAM;
    for (int i = 2; i <= 8; i++)
        if (head[i] > MOST) return PG_ERR_PROGRAM;
    p->parameters = head[2];
    p->computed = head[3];
    p->constant_count = head[4];
    p->arguments = head[5];
    p->indices = head[6];
    p->outputs = head[7];
    p->stage_count = head[8];
    p->loss = head[9];
    p->widths = take(c, p->arguments);
    p->bounds = p->widths ? take(c, p->indices) : NULL;
    p->groups = p->bounds ? take(c, p->outputs) : NULL;
    if (!p->groups || p->loss > p->outputs || (p->loss && p->groups[p->loss - 1] != 1)) return PG_ERR_PROGRAM;
    /* each stage takes some words, so what is reserved for stages is in proportion to the words */
    if (p->stage_count > (c->n_words - c->at) / PG_STAGE || p->constant_count > c->n_constants) return PG_ERR_PROGRAM;
    for (size_t i = 0; i < p->arguments; i++)
        if (p->widths[i] > MOST) return PG_ERR_PROGRAM;
    *columns = 0;
    for (size_t i = 0; i < p->outputs; i++)
        if ((*columns += p->groups[i]) > MOST) return PG_ERR_PROGRAM;
    return PG_OK;
}

static int read_stages(checker *c, uint64_t columns) {
    pg_program *p = c->program;
    uint64_t constants = c->n_constants - p->constant_count;
    const uint64_t known = v_count(p);
    p->stages = pg_resize(NULL, p->stage_count + 1, sizeof *p->stages);
    c->known = pg_resize(NULL, known + 1, 1);
    c->columns = pg_resize(NULL, columns + 1, 1);
    c->group_start = pg_resize(NULL, p->outputs + 1, sizeof *c->group_start);
    if (!p->stages || !c->known || !c->columns || !c->group_start) return PG_ERR_NOMEM;
    memset(p->stages, 0, p->stage_count * sizeof *p->stages);
    memset(c->known, 1, (size_t)known);
    if (p->computed) memset(c->known + p->parameters, 0, p->computed);
    memset(c->columns, 0, (size_t)columns + 1);
    uint64_t start = 0;
    for (size_t i = 0; i < p->outputs; i++) {
        c->group_start[i] = start;
        start += p->groups[i];
    }
    for (size_t i = 0; i < p->stage_count; i++) {
        c->stage = &p->stages[i];
        int status = read_stage(c, &constants);
        if (status != PG_OK) return status;
    }
    if (c->at != c->n_words || constants != 0) return PG_ERR_PROGRAM;
    for (uint64_t i = 0; i < columns; i++)
        if (!c->columns[i]) return PG_ERR_PROGRAM;
    return PG_OK;
}

pg_program *pg_program_new(const uint32_t *words, size_t n_words, const double *constants, size_t n_constants,
                           int *status) {
    checker c = {.n_words = n_words, .n_constants = n_constants};
    *status = PG_ERR_NOMEM;
    pg_program *p = pg_resize(NULL, 1, sizeof *p);
    if (!p) return NULL;
    memset(p, 0, sizeof *p);
    c.program = p;
    p->words = pg_resize(NULL, (uint64_t)n_words + 1, sizeof *words);
    p->constants = pg_resize(NULL, (uint64_t)n_constants + 1, sizeof *constants);
    if (p->words && p->constants) {
        if (n_words) memcpy(p->words, words, n_words * sizeof *words);
        if (n_constants) memcpy(p->constants, constants, n_constants * sizeof *constants);
        uint64_t columns = 0;
        *status = read_header(&c, &columns);
        if (*status == PG_OK) *status = read_stages(&c, columns);
    }
    free(c.slots);
    free(c.known);
    free(c.columns);
    free(c.group_start);
    if (*status == PG_OK) return p;
    pg_program_free(p);
    return NULL;
}

void pg_program_free(pg_program *program) {
    if (!program) return;
    pg_space_free(pg_exchange(&program->idle, NULL));
    free(program->stages);
    free(program->words);
    free(program->constants);
    free(program);
}
