/* training.c: the training loop of a program: batch after batch its gradient, then a step of an optimiser's rule.
 *
 * Calls nobody back: it goes on for a while and returns, so that the caller can look for an interrupt, and call again.
 * Which samples come when, and the rate of each epoch, are decided by the caller. The rules are optim.c's subject.
 */
#include "program_parts.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Steps between two looks at the clock, at most, and how much time may pass then. */
#define MOST_STEPS 64
#define SHORT 20e-6

enum { MOST_SETTINGS = 8, SETTING_LR = 0, SETTING_MOMENTUM = 1, SETTING_SGD_DECAY = 3, SETTING_ADAM_STEP = 5 };

struct pg_training {
    pg_program *program;
    pg_training_call call;
    pg_space *space;
    size_t epoch, at; /* the next step's, and its first sample */
    uint64_t steps;   /* done */
    double loss;      /* of this epoch's samples so far */
};

/* Seconds, from some moment on. */
static double now(void) {
#ifdef _WIN32
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&ticks);
    return (double)ticks.QuadPart / (double)frequency.QuadPart;
#else
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
#endif
}

pg_training *pg_training_new(pg_program *program, const pg_training_call *call, int *status) {
    *status = PG_ERR_OP;
    if (!pg_rule_describe(call->rule)) return NULL;
    *status = PG_ERR_INDEX;
    if (call->samples == 0 || call->batch == 0) return NULL;
    *status = PG_ERR_NOMEM;
    pg_training *training = pg_resize(NULL, 1, sizeof *training);
    if (!training) return NULL;
    memset(training, 0, sizeof *training);
    training->program = program;
    training->call = *call;
    training->space = pg_space_take(program);
    if (!training->space) {
        free(training);
        return NULL;
    }
    *status = PG_OK;
    return training;
}

void pg_training_free(pg_training *training) {
    if (!training) return;
    pg_space_give(training->program, training->space);
    free(training);
}

/* One step; the parameters are in V. */
static int step(pg_training *t, const pg_kernels *kernels, pg_call *run, double *settings) {
    const pg_training_call *call = &t->call;
    const size_t left = call->samples - t->at;
    run->samples = left < call->batch ? left : call->batch;
    run->seed = call->mean ? 1.0 / (double)run->samples : 1.0;
    if (call->order) run->order = call->order + t->epoch * call->samples + t->at;
    int status = pg_run_in(t->program, run, kernels, t->space, t->at);
    if (status != PG_OK) return status;
    pg_space *space = t->space;
    if (call->rule == PG_RULE_SGD && settings[SETTING_MOMENTUM] == 0.0 && settings[SETTING_SGD_DECAY] == 0.0) {
        kernels->descend(space->v.at, space->g.at, settings[SETTING_LR], t->program->parameters);
        memset(space->g.at + t->program->parameters, 0, t->program->computed * sizeof(double));
        space->cleared = 1;
    } else {
        (void)pg_optimise_array(call->rule, space->v.at, space->g.at, t->program->parameters, settings, call->state);
    }
    space->loaded = run->samples == call->samples && !call->order && pg_keeps_inputs(t->program, space);
    if (call->rule == PG_RULE_ADAM || call->rule == PG_RULE_ADAMW) settings[SETTING_ADAM_STEP] += 1.0;
    t->loss = t->at == 0 ? *run->loss : t->loss + *run->loss;
    t->at += run->samples;
    t->steps++;
    return PG_OK;
}

/* The rate is the epoch's. */
static void begin_epoch(const pg_training *t, double *settings) {
    if (t->call.rates && t->epoch < t->call.epochs) settings[SETTING_LR] = t->call.rates[t->epoch];
}

static void end_epoch(pg_training *t) {
    const pg_training_call *call = &t->call;
    if (call->losses) call->losses[t->epoch] = call->mean ? t->loss / (double)call->samples : t->loss;
    t->epoch++;
    t->at = 0;
}

pg_result pg_training_run(pg_training *t, double seconds, uint64_t steps) {
    const pg_training_call *call = &t->call;
    const pg_kernels *kernels = pg_current_kernels();
    if (!kernels) return PG_ERR_ISA;
    const size_t numbers = t->program->parameters * sizeof(double);
    const size_t setting_bytes = pg_rule_describe(call->rule)->setting_count * sizeof(double);
    double settings[MOST_SETTINGS], loss = 0.0;
    pg_call run = {.arguments = call->arguments,
                   .indices = call->indices,
                   .rows = call->rows,
                   .loss = &loss,
                   .where = call->where,
                   .threads = call->threads,
                   .exact = call->exact};
    memcpy(settings, call->settings, setting_bytes);
    if (numbers) memcpy(t->space->v.at, call->parameters, numbers);
    begin_epoch(t, settings);
    t->space->cleared = t->space->loaded = 0;

    const double start = now();
    double looked = start;
    int status = PG_OK;
    uint64_t until_look = 1, stride = 1;
    for (uint64_t done = 0; t->epoch < call->epochs && (done == 0 || done < steps); done++) {
        status = step(t, kernels, &run, settings);
        if (status != PG_OK) break;
        if (t->at == call->samples) {
            end_epoch(t);
            begin_epoch(t, settings);
        }
        if (--until_look > 0) continue;
        const double time = now();
        if (time - start >= seconds) break;
        if (time - looked < SHORT && stride < MOST_STEPS) stride *= 2;
        looked = time;
        until_look = stride;
    }
    if (numbers) memcpy(call->parameters, t->space->v.at, numbers);
    if (call->rule == PG_RULE_ADAM || call->rule == PG_RULE_ADAMW)
        call->settings[SETTING_ADAM_STEP] = settings[SETTING_ADAM_STEP];
    return status == PG_OK ? (pg_result)t->steps : status;
}
