/* program_run.c: runs a checked program: its stages, block by block of lanes, and the tasks that threads share.
 *
 * Checks what the call brings along (rows and indices), nothing of the program: program_check.c has. What an
 * instruction computes is in kernels.h and ops.h; only what moves numbers is here.
 *
 * Sums over samples go from the first sample to the last of a task, in a copy of G of the task's own, which starts from
 * zeros; the copies are added to G in the order of the tasks. One task adds to G itself.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* sched_getaffinity */
#endif
#include "program_parts.h"

#include <string.h>

/* Operations (see pg_stage's work) that take much longer than it takes to wake a thread: about 0.1 ms. */
#define WORTH_A_THREAD 5e5

/* A run, as its threads see it. */
typedef struct {
    const pg_program *program;
    const pg_call *call;
    const pg_kernels *kernels;
    const pg_formulas *formulas;
    pg_space *space;
    const int64_t *order; /* checked; NULL: rows from first_row on */
    size_t first_row;
    double *loss;         /* one number a sample, or NULL */
} run;

/* Where instructions work: a block of lanes. */
typedef struct {
    double *slots, *scratch, *g;
    size_t lanes, real;
    size_t first; /* the sample, or lane of the stage, that lane 0 is */
} block;

/* ---- indices ---- */

/* Of index argument `which`, the entry of each sample of the block; padding is as its last sample. */
static inline uint32_t index_of(const run *r, uint32_t which, const block *b, size_t lane) {
    size_t sample = b->first + (lane < b->real ? lane : b->real - 1);
    return r->space->indices[which * r->call->samples + sample];
}

static void pick(const run *r, const block *b, const pg_instruction *i) {
    double *z = b->slots + i->z * b->lanes;
    const double *a = b->slots + i->a * b->lanes;
    for (size_t l = 0; l < b->lanes; l++) z[l] = a[index_of(r, i->b, b, l) * b->lanes + l];
}

static void pick_dx(const run *r, const block *b, const pg_instruction *i) {
    double *z = b->slots + i->z * b->lanes;
    const double *g = b->slots + i->a * b->lanes;
    memset(z, 0, i->width * b->lanes * sizeof *z);
    for (size_t l = 0; l < b->lanes; l++) {
        uint32_t index = index_of(r, i->b, b, l);
        if (index < i->width) z[index * b->lanes + l] = g[l];
    }
}

/* ---- instructions ---- */

static void other(const run *r, const pg_stage *stage, const block *b, const pg_instruction *i) {
    const size_t lanes = b->lanes;
    const double *v = r->space->v.at;
    const uint32_t *pool = stage->pool + i->at;
    double *z = b->slots + i->z * lanes;
    switch (i->code & 0xff) {
    case PG_FILL: r->kernels->fill(z, v + i->a, lanes, i->width); break;
    case PG_COPY: memcpy(z, b->slots + i->a * lanes, i->width * lanes * sizeof *z); break;
    case PG_SUM: r->kernels->sum(z, b->slots, pool, i->c, lanes); break;
    case PG_DOT:
        r->kernels->dot(z, b->slots, i->a == PG_NO_SLOT ? NULL : b->slots + i->a * lanes, pool, i->c, lanes);
        break;
    case PG_LOGSUMEXP: r->formulas->logsumexp(z, b->slots, pool, i->c, lanes); break;
    case PG_PICK: pick(r, b, i); break;
    case PG_PICK_DX: pick_dx(r, b, i); break;
    case PG_DENSE:
    case PG_DENSE_DOWN: {
        const pg_finish finish = pg_finish_of(i);
        ((i->code & 0xff) == PG_DENSE ? r->kernels->dense : r->kernels->dense_down)(
            z, b->slots + i->a * lanes, lanes, v, pool, pool + i->width, pool + i->width + i->c, i->width, i->c,
            finish, finish > PG_FINISH_RELU ? b->slots + i->b * lanes : NULL);
        if (i->d && finish == PG_FINISH_NONE)
            r->formulas->value[i->d](b->slots + i->b * lanes, z, NULL, NULL, NULL, 0.0, i->width * lanes);
        break;
    }
    case PG_OUTER:
        r->kernels->outer(b->g, b->slots + i->a * lanes, b->slots + i->b * lanes, lanes, b->real, pool,
                          pool + i->width, i->width, i->c, i->d, b->scratch);
        break;
    case PG_ACCUMULATE:
        r->kernels->accumulate(b->g, b->slots + i->a * lanes, lanes, b->real, pool, i->width);
        break;
    default: break;
    }
}

/* Slot by slot: an operand that is repeated stays where it is. */
static void run_repeated(pg_elementwise *formula, double *slots, size_t lanes, const pg_instruction *i, double k) {
    const size_t a = i->code >> 16 & 1 ? 0 : lanes, b = i->code >> 17 & 1 ? 0 : lanes;
    const size_t c = i->code >> 18 & 1 ? 0 : lanes, d = i->code >> 19 & 1 ? 0 : lanes;
    for (size_t j = 0; j < i->width; j++)
        formula(slots + (i->z + j) * lanes, slots + i->a * lanes + j * a, slots + i->b * lanes + j * b,
                slots + i->c * lanes + j * c, slots + i->d * lanes + j * d, k, lanes);
}

static void run_instructions(const run *r, const pg_stage *stage, const block *b, const pg_instruction *i, size_t n) {
    const pg_formulas *formulas = r->formulas;
    const double *v = r->space->v.at;
    double *slots = b->slots;
    const size_t lanes = b->lanes;
    for (const pg_instruction *end = i + n; i < end; i++) {
        const uint32_t op = i->code & 0xff, form = i->code >> 8 & 0xff;
        if (form == PG_FORM_OTHER) {
            other(r, stage, b, i);
            continue;
        }
        pg_elementwise *formula = form == PG_FORM_VALUE ? formulas->value[op]
                                  : form == PG_FORM_DX  ? formulas->dx[op]
                                                        : formulas->dy[op];
        if (i->code >> 16) {
            run_repeated(formula, slots, lanes, i, v[i->at]);
            continue;
        }
        /* ops without a constant have at = 0: some number, or none */
        formula(slots + i->z * lanes, slots + i->a * lanes, slots + i->b * lanes, slots + i->c * lanes,
                slots + i->d * lanes, v[i->at], i->width * lanes);
    }
}

/* ---- moves ---- */

static void seed(const run *r, const block *b, double *z) {
    const double *seeds = r->call->seeds;
    if (!seeds) {
        r->kernels->fill(z, &r->call->seed, b->lanes, 1);
        return;
    }
    for (size_t l = 0; l < b->lanes; l++) z[l] = seeds[b->first + (l < b->real ? l : b->real - 1)];
}

static void gather(const pg_stage *stage, const block *b, const pg_move *m, const double *from) {
    double *z = b->slots + m->slot * b->lanes;
    const uint32_t *places = stage->pool + m->at + b->first;
    if (m->run)
        memcpy(z, from + places[0], b->real * sizeof *z);
    else
        for (size_t l = 0; l < b->real; l++) z[l] = from[places[l]];
    for (size_t l = b->real; l < b->lanes; l++) z[l] = z[b->real - 1];
}

static void load_inputs(const run *r, const pg_stage *stage, const block *b) {
    const pg_move *m = stage->inputs, *end = m + stage->input_count;
    if (r->space->loaded) m += stage->kept_inputs;
    for (; m < end; m++) {
        double *z = b->slots + m->slot * b->lanes;
        switch (m->kind) {
        case PG_MOVE_ARGUMENT: {
            const size_t width = r->program->widths[m->source];
            const double *from = r->call->arguments[m->source] + m->at;
            if (m->count == 0) break;
            if (!r->order) from += (r->first_row + b->first) * width;
            r->kernels->load(z, from, width, r->order ? r->order + b->first : NULL, b->lanes, b->real, m->count);
            break;
        }
        case PG_MOVE_SEED: seed(r, b, z); break;
        case PG_MOVE_ROWS:
            for (size_t k = 0; k < m->count; k++) {
                double *zk = z + k * b->lanes;
                memcpy(zk, stage->rows + (m->at + k) * stage->lanes + b->first, b->real * sizeof *zk);
                for (size_t l = b->real; l < b->lanes; l++) zk[l] = zk[b->real - 1];
            }
            break;
        case PG_MOVE_GATHER: gather(stage, b, m, r->space->v.at); break;
        case PG_MOVE_GATHER_G: gather(stage, b, m, b->g); break;
        default: break;
        }
    }
}

/* Whether moves to G, each to neighbouring places, may be done one after the other: not if a place that a move adds to
 * comes in a later lane of it than of a move behind. */
static int one_by_one(const pg_stage *stage, const pg_move *from, const pg_move *behind) {
    for (const pg_move *m = from; m < behind; m++)
        if (!m->run || (m > from && stage->pool[m->at] > stage->pool[m[-1].at])) return 0;
    return 1;
}

/* Neighbouring PG_MOVE_ADD_Gs, lane by lane: so that the order in which numbers are added to a place of G, which may
 * occur in several, does not depend on where blocks end. Gives the move behind them. */
static const pg_move *add_to_gradient(const run *r, const pg_stage *stage, const block *b, const pg_move *from,
                                      const pg_move *end) {
    const pg_move *behind = from;
    while (behind < end && behind->kind == PG_MOVE_ADD_G) behind++;
    if (one_by_one(stage, from, behind)) {
        for (const pg_move *m = from; m < behind; m++)
            r->kernels->add(b->g + stage->pool[m->at] + b->first, b->slots + m->slot * b->lanes, b->real);
        return behind;
    }
    for (size_t l = 0; l < b->real; l++)
        for (const pg_move *m = from; m < behind; m++)
            b->g[stage->pool[m->at + b->first + l]] += b->slots[m->slot * b->lanes + l];
    return behind;
}

static void store_outputs(const run *r, const pg_stage *stage, const block *b) {
    const pg_program *program = r->program;
    for (const pg_move *m = stage->outputs, *end = m + stage->output_count; m < end;) {
        const double *x = b->slots + m->slot * b->lanes;
        if (m->kind == PG_MOVE_ADD_G) {
            m = add_to_gradient(r, stage, b, m, end);
            continue;
        }
        if (m->kind == PG_MOVE_SCATTER) {
            memcpy(r->space->v.at + m->at + b->first, x, b->real * sizeof *x);
        } else if (m->kind == PG_MOVE_OUTPUT) {
            const size_t width = program->groups[m->source];
            double *to = r->call->outputs ? r->call->outputs[m->source] : NULL;
            if (to && m->count) r->kernels->store(to + b->first * width + m->at, width, x, b->lanes, b->real, m->count);
            if (r->loss && m->source + 1 == program->loss && m->count)
                memcpy(r->loss + b->first, x, b->real * sizeof *x);
        }
        m++;
    }
}

/* ---- stages ---- */

/* Lanes from `from` to `to` of a stage. g: what sums go into. */
static void run_lanes(const run *r, const pg_stage *stage, size_t from, size_t to, double *g, double *memory) {
    if (from == to) return;
    const size_t lanes = pg_block_lanes(r->program, stage, to - from);
    double *slots = memory + (stage->lanes ? 0 : r->space->before);
    block b = {.slots = slots, .scratch = memory + r->space->block, .g = g, .lanes = lanes, .real = lanes};
    run_instructions(r, stage, &b, stage->prologue, stage->prologue_count);
    for (b.first = from; b.first < to; b.first += lanes) {
        b.real = to - b.first < lanes ? to - b.first : lanes;
        load_inputs(r, stage, &b);
        run_instructions(r, stage, &b, stage->instructions, stage->instruction_count);
        store_outputs(r, stage, &b);
    }
}

static size_t g_count(const run *r) { return r->program->parameters + r->program->computed; }

static void run_task(const run *r, const pg_stage *stage, size_t task, double *g, double *memory) {
    const size_t from = task * r->space->task, samples = r->call->samples;
    if (stage->sinks && g != r->space->g.at) memset(g, 0, g_count(r) * sizeof *g);
    run_lanes(r, stage, from, samples - from < r->space->task ? samples : from + r->space->task, g, memory);
}

static void add_partial(const run *r, const double *partial) {
    r->kernels->add(r->space->g.at, partial, g_count(r));
}

/* What the threads of a stage have in common; the tasks go to whoever asks next. */
typedef struct {
    const run *r;
    const pg_stage *stage;
    pg_atomic_count next, worker;
    size_t copy; /* doubles of a copy of G */
} team;

static void work(void *context) {
    team *t = context;
    const pg_space *space = t->r->space;
    double *memory = space->blocks.at + pg_next(&t->worker) * space->thread_stride;
    for (size_t task; (task = pg_next(&t->next)) < space->tasks;)
        run_task(t->r, t->stage, task, t->stage->sinks ? space->partials.at + task * t->copy : space->g.at, memory);
}

static void run_with_threads(const run *r, const pg_stage *stage, int threads) {
    const pg_space *space = r->space;
    team t = {.r = r, .stage = stage, .copy = (g_count(r) + PG_LANES - 1) / PG_LANES * PG_LANES};
    pg_together(work, &t, threads - 1);
    if (stage->sinks)
        for (size_t task = 0; task < space->tasks; task++) add_partial(r, space->partials.at + task * t.copy);
}

/* How many threads the stage gets, of so many that are allowed (0: what pays off). */
static int threads_for(const pg_stage *stage, size_t samples, size_t tasks, int allowed) {
    if (stage->lanes || tasks == 1 || allowed == 1 || allowed < 0) return 1;
    size_t n = tasks < PG_MOST_THREADS ? tasks : PG_MOST_THREADS;
    if (allowed > 0) return (size_t)allowed < n ? allowed : (int)n;
    double worth = stage->work * (double)samples / WORTH_A_THREAD;
    if (worth < 2.0) return 1;
    size_t cores = (size_t)pg_cores();
    if (cores < n) n = cores;
    return worth < (double)n ? (int)worth : (int)n;
}

static void run_stage(const run *r, const pg_stage *stage, int allowed) {
    pg_space *space = r->space;
    if (stage->lanes) {
        run_lanes(r, stage, 0, stage->lanes, space->g.at, space->blocks.at);
        return;
    }
    int threads = threads_for(stage, r->call->samples, space->tasks, allowed);
    if (threads > space->threads) threads = space->threads; /* there are more processors now than when it was planned */
    if (threads > 1) {
        run_with_threads(r, stage, threads);
    } else if (space->tasks == 1 || !stage->sinks) {
        for (size_t task = 0; task < space->tasks; task++) run_task(r, stage, task, space->g.at, space->blocks.at);
    } else {
        for (size_t task = 0; task < space->tasks; task++) {
            run_task(r, stage, task, space->partials.at, space->blocks.at);
            add_partial(r, space->partials.at);
        }
    }
}

/* ---- the call ---- */

static int no_such(const pg_call *call, size_t row, size_t index) {
    if (call->where) {
        call->where[0] = row;
        call->where[1] = index;
    }
    return PG_ERR_INDEX;
}

/* Rows and indices are copied as they are checked: the caller's arrays may change meanwhile. */
static int check_rows(const pg_program *program, const pg_call *call, pg_space *space, size_t first_row) {
    const size_t samples = call->samples;
    if (call->order) {
        for (size_t s = 0; s < samples; s++) {
            const int64_t row = call->order[s];
            if (row < 0 || (uint64_t)row >= call->rows) return no_such(call, s, program->indices);
            space->order[s] = row;
        }
    } else if (program->arguments + program->indices > 0 &&
               (first_row > call->rows || samples > call->rows - first_row)) {
        return no_such(call, call->rows, program->indices);
    }
    for (size_t k = 0; k < program->indices; k++) {
        uint32_t *to = space->indices + k * samples;
        for (size_t s = 0; s < samples; s++) {
            const size_t row = call->order ? (size_t)space->order[s] : first_row + s;
            const int64_t index = call->indices[k][row];
            if (index < 0 || index >= (int64_t)program->bounds[k]) return no_such(call, row, k);
            to[s] = (uint32_t)index;
        }
    }
    return PG_OK;
}

static double summed(const double *x, size_t n) {
    double total = n ? x[0] : 0.0;
    for (size_t i = 1; i < n; i++) total += x[i];
    return total;
}

int pg_run_in(const pg_program *program, const pg_call *call, const pg_kernels *kernels, pg_space *space,
              size_t first_row) {
    const size_t samples = call->samples;
    int threads = 1;
    if (call->threads != 1)
        for (size_t i = 0; i < program->stage_count; i++) {
            int wanted = threads_for(&program->stages[i], samples, pg_task_count(samples), call->threads);
            if (wanted > threads) threads = wanted;
        }
    if (pg_space_reserve(program, space, kernels, samples, threads) != PG_OK) return PG_ERR_NOMEM;
    if (call->order || program->indices) {
        if (pg_space_reserve_rows(program, space, samples, call->order != NULL) != PG_OK) return PG_ERR_NOMEM;
    }
    int status = check_rows(program, call, space, first_row);
    if (status != PG_OK) return status;

    const run r = {.program = program,
                   .call = call,
                   .kernels = kernels,
                   .formulas = call->exact ? &pg_exact_formulas : &kernels->fast,
                   .space = space,
                   .order = call->order ? space->order : NULL,
                   .first_row = first_row,
                   .loss = program->loss && call->loss ? space->loss.at : NULL};
    if (program->uses_gradient && !space->cleared) memset(space->g.at, 0, g_count(&r) * sizeof(double));
    space->cleared = 0;
    for (size_t i = 0; i < program->stage_count; i++) run_stage(&r, &program->stages[i], call->threads);
    if (call->loss) *call->loss = r.loss ? summed(r.loss, samples) : 0.0;
    return PG_OK;
}

pg_result pg_program_run(pg_program *program, const pg_call *call) {
    const pg_kernels *kernels = pg_current_kernels();
    if (!kernels) return PG_ERR_ISA;
    pg_space *space = pg_space_take(program);
    if (!space) return PG_ERR_NOMEM;
    if (program->parameters) memcpy(space->v.at, call->parameters, program->parameters * sizeof(double));
    space->cleared = space->loaded = 0;
    int status = pg_run_in(program, call, kernels, space, 0);
    if (status == PG_OK && call->gradient && program->parameters)
        memcpy(call->gradient, space->g.at, program->parameters * sizeof(double));
    pg_space_give(program, space);
    return status;
}
