/* program_space.c: the memory that a run of a program works in, and how it divides the samples: tasks of neighbouring
 * samples, which threads share out among themselves, and blocks of lanes within them.
 *
 * The division depends on the program and on the number of samples only, so that sums over samples have the same bits
 * whatever the number of threads. What is computed is program_run.c's subject.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>

/* A block has about as many doubles as V, which every block reads, within bounds that leave it in an L2 cache: 256 KB;
 * and up to 1 MB where V itself is too large for that, since every block fetches V anew. */
#define LEAST_BLOCK (UINT32_C(1) << 15)
#define MOST_BLOCK (UINT32_C(1) << 17)
/* At most so many tasks, each of at least so many samples: enough to occupy threads, few copies of G. */
#define MOST_TASKS 16u
#define TASK_SAMPLES 512u

#define ALIGNMENT 64u

static uint64_t rounded_up(uint64_t n, uint64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

size_t pg_block_lanes(const pg_program *program, const pg_stage *stage, size_t n) {
    if (n <= 1) return 1;
    size_t doubles = program->parameters + program->computed + program->constant_count;
    if (doubles < LEAST_BLOCK) doubles = LEAST_BLOCK;
    if (doubles > MOST_BLOCK) doubles = MOST_BLOCK;
    size_t most = doubles / (stage->slots ? stage->slots : 1) / PG_LANES * PG_LANES;
    if (most < PG_LANES) most = PG_LANES;
    size_t blocks = (n - 1) / most + 1;
    return ((n - 1) / blocks / PG_LANES + 1) * PG_LANES;
}

int pg_keeps_inputs(const pg_program *program, const pg_space *space) {
    size_t found = 0;
    for (size_t i = 0; i < program->stage_count; i++) {
        const pg_stage *stage = &program->stages[i];
        if (!stage->lanes && (found++ || pg_block_lanes(program, stage, space->samples) < space->samples)) return 0;
    }
    return space->tasks == 1;
}

/* ---- memory ---- */

/* What was in it is lost. */
static int reserve(pg_doubles *doubles, uint64_t count) {
    if (doubles->at && count <= doubles->count) return PG_OK;
    void *memory = count < UINT64_MAX / 16 ? pg_resize(NULL, count * sizeof(double) + ALIGNMENT, 1) : NULL;
    if (!memory) return PG_ERR_NOMEM;
    free(doubles->memory);
    doubles->memory = memory;
    doubles->at = (double *)(((uintptr_t)memory + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    doubles->count = count;
    return PG_OK;
}

void pg_space_free(pg_space *space) {
    if (!space) return;
    free(space->v.memory);
    free(space->g.memory);
    free(space->partials.memory);
    free(space->blocks.memory);
    free(space->loss.memory);
    free(space->order);
    free(space->indices);
    free(space);
}

static pg_space *new_space(const pg_program *program) {
    pg_space *space = pg_resize(NULL, 1, sizeof *space);
    if (!space) return NULL;
    memset(space, 0, sizeof *space);
    uint64_t g = (uint64_t)program->parameters + program->computed;
    if (reserve(&space->v, g + program->constant_count + 1) != PG_OK || reserve(&space->g, g) != PG_OK) {
        pg_space_free(space);
        return NULL;
    }
    memset(space->g.at, 0, (size_t)g * sizeof(double)); /* for good, if the program adds nothing to it */
    if (program->constant_count)
        memcpy(space->v.at + g, program->constants, program->constant_count * sizeof(double));
    return space;
}

pg_space *pg_space_take(pg_program *program) {
    pg_space *space = pg_exchange(&program->idle, NULL);
    return space ? space : new_space(program);
}

void pg_space_give(pg_program *program, pg_space *space) { pg_space_free(pg_exchange(&program->idle, space)); }

/* ---- the plan ---- */

static size_t task_samples(size_t samples) {
    size_t tasks = samples / TASK_SAMPLES;
    if (tasks > MOST_TASKS) tasks = MOST_TASKS;
    return tasks < 2 ? samples : (size_t)rounded_up((samples - 1) / tasks + 1, PG_LANES);
}

size_t pg_task_count(size_t samples) { return samples ? (samples - 1) / task_samples(samples) + 1 : 1; }

/* Doubles that a thread needs for a stage of n lanes; *block of them for the block. */
static uint64_t needs(const pg_program *program, const pg_stage *stage, size_t n, uint64_t *block) {
    if (n == 0) return 0;
    size_t lanes = pg_block_lanes(program, stage, n);
    uint64_t slots = rounded_up((uint64_t)stage->slots * lanes, PG_LANES);
    if (slots > *block) *block = slots;
    return stage->outers ? pg_outer_scratch(lanes) : 0;
}

static void at_least(uint64_t *x, uint64_t y) {
    if (*x < y) *x = y;
}

int pg_space_reserve(const pg_program *program, pg_space *space, const pg_kernels *kernels, size_t samples,
                     int threads) {
    if (space->kernels == kernels && space->samples == samples && space->threads >= threads) return PG_OK;
    uint64_t before = 0, block = 0, scratch = 0;
    int sums = 0;
    space->kernels = NULL;
    space->task = task_samples(samples);
    space->tasks = pg_task_count(samples);
    for (size_t i = 0; i < program->stage_count; i++) {
        const pg_stage *stage = &program->stages[i];
        if (stage->lanes) {
            at_least(&scratch, needs(program, stage, stage->lanes, &before));
        } else if (samples) {
            at_least(&scratch, needs(program, stage, space->task, &block));
            at_least(&scratch, needs(program, stage, samples - (space->tasks - 1) * space->task, &block));
            if (stage->sinks) sums = 1;
        }
    }
    block += before;
    /* a cache line more, so that threads do not meet */
    uint64_t stride = rounded_up(block + scratch, PG_LANES) + PG_LANES;
    uint64_t g = (uint64_t)program->parameters + program->computed;
    uint64_t copies = !sums || space->tasks == 1 ? 0 : threads > 1 ? space->tasks : 1;
    if (reserve(&space->blocks, stride * (uint64_t)threads) != PG_OK) return PG_ERR_NOMEM;
    if (copies && reserve(&space->partials, rounded_up(g, PG_LANES) * copies) != PG_OK) return PG_ERR_NOMEM;
    if (program->loss && reserve(&space->loss, samples) != PG_OK) return PG_ERR_NOMEM;
    space->before = (size_t)before;
    space->block = (size_t)block;
    space->thread_stride = (size_t)stride;
    space->kernels = kernels;
    space->samples = samples;
    space->threads = threads;
    return PG_OK;
}

int pg_space_reserve_rows(const pg_program *program, pg_space *space, size_t samples, int ordered) {
    if (ordered && samples > space->order_count) {
        void *memory = pg_resize(space->order, samples, sizeof *space->order);
        if (!memory) return PG_ERR_NOMEM;
        space->order = memory;
        space->order_count = samples;
    }
    if (program->indices && samples > space->index_count / program->indices) {
        if (samples > UINT64_MAX / 8 / program->indices) return PG_ERR_NOMEM;
        uint64_t count = (uint64_t)samples * program->indices;
        void *memory = pg_resize(space->indices, count, sizeof *space->indices);
        if (!memory) return PG_ERR_NOMEM;
        space->indices = memory;
        space->index_count = count;
    }
    return PG_OK;
}
