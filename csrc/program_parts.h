/* program_parts.h: what a checked program consists of, and the workspace it runs in. Internal to csrc/program*.c and
 * csrc/training.c.
 *
 * A program is not changed after pg_program_new, but for the one workspace it keeps for the next run: a run takes it,
 * and one that finds it taken makes its own. Runs share nothing else, so any number of threads may run one program.
 */
#ifndef PG_PROGRAM_PARTS_H
#define PG_PROGRAM_PARTS_H

#include "arena.h" /* before any header of the system: see lock.h */

#include "kernels.h"
#include "program.h"
#include "pygrad.h"
#include "pool.h"

/* Laid over the words of a program. What an instruction has no use for (an operand its op does not have) was set to
 * something harmless by the check. */
typedef struct {
    uint32_t kind, slot, count, source, at;
    uint32_t run; /* set by the check, in the place of a reserved word: the places in the pool follow one another */
} pg_move;
typedef struct {
    uint32_t code; /* op | form << 8 */
    uint32_t z, a, b, c, d, width, at;
} pg_instruction;

/* What a dense kernel does by itself of the op in field d; else PG_FINISH_NONE. */
static inline pg_finish pg_finish_of(const pg_instruction *i) {
    switch (i->d) {
    case PG_OP_RELU: return i->b == i->z ? PG_FINISH_RELU : PG_FINISH_NONE;
    case PG_OP_RELU | PG_FORM_DX << 8: return PG_FINISH_RELU_DX;
    case PG_OP_TANH | PG_FORM_DX << 8: return PG_FINISH_TANH_DX;
    case PG_OP_SIGMOID | PG_FORM_DX << 8: return PG_FINISH_SIGMOID_DX;
    default: return PG_FINISH_NONE;
    }
}

typedef struct {
    uint32_t lanes; /* 0: the samples */
    uint32_t slots;
    const pg_move *inputs, *outputs;
    const pg_instruction *prologue, *instructions;
    const uint32_t *pool;
    const double *rows; /* row_count of `lanes` numbers each */
    uint32_t row_count;
    uint32_t kept_inputs; /* the first of them, whose slots nothing else writes: they last until the next run */
    uint32_t input_count, output_count, prologue_count, instruction_count;
    int outers; /* whether there is a PG_OUTER, which needs scratch */
    int sinks;  /* whether an instruction adds to G */
    double work;   /* of one lane, about: simple operations on one number */
} pg_stage;

struct pg_program {
    uint32_t *words;
    double *constants;
    pg_stage *stages;
    size_t parameters, computed, constant_count, arguments, indices, outputs, stage_count;
    size_t loss;               /* an output group + 1, or 0 */
    const uint32_t *widths;    /* of the float arguments */
    const uint32_t *bounds;    /* of the index arguments */
    const uint32_t *groups;    /* widths of the outputs */
    int uses_gradient;         /* whether a stage touches G */
    pg_atomic_pointer idle;    /* a pg_space for the next run */
};

/* ---- workspaces (program_space.c) ---- */

/* Doubles at an address that is a multiple of 64. */
typedef struct {
    void *memory;
    double *at;
    uint64_t count;
} pg_doubles;

typedef struct {
    pg_doubles v, g; /* v: its constants are in place, and there is one number more */
    pg_doubles partials; /* G of each task, or one */
    pg_doubles blocks;   /* of each thread: its block, and behind it the scratch of its outer products */
    pg_doubles loss;     /* one a sample */
    int64_t *order;      /* one a sample, checked */
    uint32_t *indices;   /* of each index argument one a sample, checked */
    uint64_t order_count, index_count;
    /* what the run before has left, for one that goes on where it ended (training.c) */
    int cleared; /* G is 0 */
    int loaded;  /* the only block has this run's arguments in it: see pg_keeps_inputs */
    /* what was reserved for */
    size_t samples;
    int threads;
    const pg_kernels *kernels;
    /* the plan for so many samples */
    size_t task;         /* samples of a task but the last; a multiple of PG_LANES, or all */
    size_t tasks;
    size_t before;       /* doubles of the blocks of stages with lanes of their own; those over samples follow */
    size_t block;        /* doubles of both, and, with the scratch, of all that a thread has */
    size_t thread_stride;
} pg_space;

/* Lanes of a block for so many lanes in all, evenly split. 1 for 1. Depends on these numbers alone. */
size_t pg_block_lanes(const pg_program *program, const pg_stage *stage, size_t n);
/* Tasks that so many samples are divided into. */
size_t pg_task_count(size_t samples);
/* Takes the workspace that is idle, or makes one; NULL if memory is short. */
pg_space *pg_space_take(pg_program *program);
/* Leaves it to the next run. */
void pg_space_give(pg_program *program, pg_space *space);
void pg_space_free(pg_space *space);
/* Makes room for so many samples and threads. PG_OK or PG_ERR_NOMEM. */
int pg_space_reserve(const pg_program *program, pg_space *space, const pg_kernels *kernels, size_t samples,
                     int threads);
/* Room for the samples' order and indices (0: not needed). */
int pg_space_reserve_rows(const pg_program *program, pg_space *space, size_t samples, int ordered);

/* ---- running (program_run.c) ---- */

/* As pg_program_run, in a workspace whose parameters are in V already; the gradient is left in G. Without an order the
 * samples are the rows from first_row on. */
int pg_run_in(const pg_program *program, const pg_call *call, const pg_kernels *kernels, pg_space *space,
              size_t first_row);

/* Whether the inputs of a run are still there after it: one stage is over the samples, and they are one block. */
int pg_keeps_inputs(const pg_program *program, const pg_space *space);

/* ---- instruction sets (program_isa.c) ---- */

/* The set in use; NULL if PYGRAD_ISA names none that can be used. */
const pg_kernels *pg_current_kernels(void);

#endif
