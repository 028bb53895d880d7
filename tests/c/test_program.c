/* test_program.c: programs: memory that runs out, words that somebody made up, several threads at once, training.
 *
 * What programs compute is compared with a machine in NumPy (tests/test_program_vm.py); here two runs are compared with
 * each other. The fuzz changes words of good programs at random and runs what is still accepted: the sanitizers judge.
 */
#include "check.h"
#include "pool.h"
#include "program.h"

#include <pthread.h>

enum { MOST_WORDS = 2000, NIN = 3, HIDDEN = 5, LANES = 20 };

/* ---- programs as words ---- */

typedef struct {
    uint32_t words[MOST_WORDS];
    size_t n;
} text;

static void add(text *t, uint32_t word) {
    if (t->n == MOST_WORDS) exit(2);
    t->words[t->n++] = word;
}

#define ADD(t, ...)                                                                        \
    do {                                                                                   \
        const uint32_t listed[] = {__VA_ARGS__};                                           \
        for (size_t k_ = 0; k_ < sizeof listed / sizeof *listed; k_++) add((t), listed[k_]); \
    } while (0)

/* The parts of a stage, each collected by itself. */
typedef struct {
    uint32_t lanes, slots, rows;
    text inputs, prologue, instructions, outputs, pool;
} stage;

static void add_all(text *to, const text *from) {
    for (size_t i = 0; i < from->n; i++) add(to, from->words[i]);
}

static void add_stage(text *t, const stage *s) {
    ADD(t, s->lanes, s->slots, (uint32_t)(s->inputs.n / PG_MOVE), (uint32_t)(s->prologue.n / PG_INSTRUCTION),
        (uint32_t)(s->instructions.n / PG_INSTRUCTION), (uint32_t)(s->outputs.n / PG_MOVE), (uint32_t)s->pool.n, s->rows,
        0);
    add_all(t, &s->inputs);
    add_all(t, &s->prologue);
    add_all(t, &s->instructions);
    add_all(t, &s->outputs);
    add_all(t, &s->pool);
}

#define OP(name, form) ((uint32_t)check_op(name) | (uint32_t)(form) << 8)
#define OTHER(code) ((uint32_t)(code) | (uint32_t)PG_FORM_OTHER << 8)
#define NO PG_NO_SLOT

/* Where the numbers from .. from + count - 1, one `step` apart, now stand in the pool. */
static uint32_t pooled(stage *s, uint32_t from, uint32_t count, uint32_t step) {
    for (uint32_t i = 0; i < count; i++) add(&s->pool, from + i * step);
    return (uint32_t)s->pool.n - count;
}

enum { PARAMETERS = HIDDEN * NIN + HIDDEN, ONE = PARAMETERS };

/* Over samples: a tanh layer, logsumexp minus a picked one, and the gradient. Arguments: NIN numbers; an index. */
static void write_layer(text *t) {
    stage *s = check_memory(1, sizeof *s);
    enum { X = 0, SEED_AT = NIN, K, H, Z = H + HIDDEN, L = Z + HIDDEN, P, LOSS, COPY, D = COPY + HIDDEN,
           DZ = D + HIDDEN, PART = DZ + HIDDEN, MINUS = PART + HIDDEN, PICKED, G = PICKED + HIDDEN, SUM = G + HIDDEN,
           DOT, E, SLOTS = E + HIDDEN };
    s->slots = SLOTS;
    ADD(&s->inputs, PG_MOVE_ARGUMENT, X, NIN, 0, 0, 0, PG_MOVE_SEED, SEED_AT, 1, 0, 0, 0);
    ADD(&s->prologue, OTHER(PG_FILL), K, ONE, 0, 0, 0, 1, 0);
    text *i = &s->instructions;
    uint32_t rows = pooled(s, 0, HIDDEN, NIN), cols = pooled(s, 0, NIN, 1);
    uint32_t starts = pooled(s, HIDDEN * NIN, HIDDEN, 1);
    CHECK_INT(cols, rows + HIDDEN);
    ADD(i, OTHER(PG_DENSE), Z, X, H, NIN, (uint32_t)check_op("tanh"), HIDDEN, rows);
    ADD(i, OTHER(PG_LOGSUMEXP), L, 0, 0, HIDDEN, 0, 1, pooled(s, H, HIDDEN, 1));
    ADD(i, OTHER(PG_PICK), P, H, 0, HIDDEN, 0, 1, 0);
    ADD(i, OP("sub", PG_FORM_VALUE), LOSS, L, P, NO, NO, 1, 0);
    ADD(i, OTHER(PG_COPY), COPY, H, 0, 0, 0, HIDDEN, 0);
    for (uint32_t k = 0; k < HIDDEN; k++)
        ADD(i, OP("logsumexp", PG_FORM_DX), PART + k, SEED_AT, H + k, NO, L, 1, 0);
    ADD(i, OP("neg", PG_FORM_VALUE), MINUS, SEED_AT, NO, NO, NO, 1, 0);
    ADD(i, OTHER(PG_PICK_DX), PICKED, MINUS, 0, 0, 0, HIDDEN, 0);
    ADD(i, OP("add", PG_FORM_VALUE), G, PART, PICKED, NO, NO, HIDDEN, 0);
    ADD(i, OP("tanh", PG_FORM_DX), DZ, G, NO, NO, COPY, HIDDEN, 0);
    ADD(i, OTHER(PG_OUTER), 0, DZ, X, NIN, 0, HIDDEN, rows);
    ADD(i, OTHER(PG_ACCUMULATE), 0, DZ, 0, 0, 0, HIDDEN, starts);
    ADD(i, OTHER(PG_DENSE_DOWN), D, X + NIN - 1, 0, NIN, 0, HIDDEN, rows);
    ADD(i, OTHER(PG_SUM), SUM, 0, 0, HIDDEN, 0, 1, pooled(s, DZ, HIDDEN, 1));
    ADD(i, OTHER(PG_DOT), DOT, SUM, 0, 2, 0, 1, pooled(s, DZ, 4, 1));
    ADD(i, OP("elu", PG_FORM_VALUE), E, D, NO, NO, NO, HIDDEN, ONE);
    ADD(&s->outputs, PG_MOVE_OUTPUT, LOSS, 1, 0, 0, 0, PG_MOVE_OUTPUT, E, HIDDEN, 1, 1, 0);
    ADD(&s->outputs, PG_MOVE_OUTPUT, DOT, 1, 1, 0, 0);
    ADD(t, PG_PROGRAM_MAGIC, PG_PROGRAM_VERSION, PARAMETERS, 0, 1, 1, 1, 2, 1, 1, 0, 0);
    ADD(t, NIN, HIDDEN, 1, 1 + HIDDEN);
    add_stage(t, s);
    free(s);
}

/* Over lanes of its own: exp(p[i] * row[i]) into V, and from there its gradient; then one of them over samples. */
static void write_lanes(text *t) {
    stage *s = check_memory(3, sizeof *s);
    s[0].lanes = LANES;
    s[0].slots = 4;
    s[0].rows = LANES;
    uint32_t places = pooled(&s[0], 0, LANES, 1), computed = pooled(&s[0], LANES, LANES, 1);
    ADD(&s[0].inputs, PG_MOVE_GATHER, 0, 1, 0, places, 0, PG_MOVE_ROWS, 1, 1, 0, 0, 0);
    ADD(&s[0].instructions, OP("mul", PG_FORM_VALUE), 2, 0, 1, NO, NO, 1, 0);
    ADD(&s[0].instructions, OP("exp", PG_FORM_VALUE), 3, 2, NO, NO, NO, 1, 0);
    ADD(&s[0].outputs, PG_MOVE_SCATTER, 3, 1, 0, LANES, 0, PG_MOVE_ADD_G, 1, 1, 0, computed, 0);
    s[1] = s[0];
    s[1].slots = 5;
    s[1].inputs.n = s[1].instructions.n = s[1].outputs.n = 0;
    ADD(&s[1].inputs, PG_MOVE_GATHER, 0, 1, 0, computed, 0, PG_MOVE_GATHER_G, 1, 1, 0, computed, 0);
    ADD(&s[1].inputs, PG_MOVE_ROWS, 2, 1, 0, 0, 0);
    ADD(&s[1].instructions, OP("exp", PG_FORM_DX), 3, 1, NO, NO, 0, 1, 0);
    ADD(&s[1].instructions, OP("mul", PG_FORM_DX), 4, 3, 2, 2, NO, 1, 0);
    ADD(&s[1].outputs, PG_MOVE_ADD_G, 4, 1, 0, places, 0, PG_MOVE_ADD_G, 3, 1, 0, places, 0);
    s[2].slots = 2;
    ADD(&s[2].instructions, OTHER(PG_FILL), 0, 2 * LANES - 2, 0, 0, 0, 2, 0);
    ADD(&s[2].outputs, PG_MOVE_OUTPUT, 1, 1, 0, 0, 0);
    ADD(t, PG_PROGRAM_MAGIC, PG_PROGRAM_VERSION, LANES, LANES, 1, 0, 0, 1, 3, 1, 0, 0, 1);
    for (int i = 0; i < 3; i++) add_stage(t, &s[i]);
    free(s);
}

/* ---- calls ---- */

/* What a call of a program with these words reads and writes, whatever it is. */
typedef struct {
    pg_call call;
    size_t parameters, argument_count, index_count, output_count;
    double *numbers, **arguments, **outputs;
    int64_t **indices, *order;
    double loss;
    size_t where[2];
} data;

static double *numbers_of(check_random *random, size_t n) {
    double *x = check_memory(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = check_uniform(random, -1.0, 1.0);
    return x;
}

/* wild: some rows and indices are out of range. */
static data *data_for(const uint32_t *words, size_t samples, int wild, uint64_t seed) {
    check_random random = {seed};
    data *d = check_memory(1, sizeof *d);
    const size_t rows = samples + 3;
    d->parameters = words[2];
    d->argument_count = words[5];
    d->index_count = words[6];
    d->output_count = words[7];
    const uint32_t *widths = words + PG_HEADER, *bounds = widths + words[5], *groups = bounds + words[6];
    d->numbers = numbers_of(&random, 2 * d->parameters + samples);
    d->arguments = check_memory(d->argument_count, sizeof *d->arguments);
    d->indices = check_memory(d->index_count, sizeof *d->indices);
    d->outputs = check_memory(d->output_count, sizeof *d->outputs);
    d->order = check_memory(samples, sizeof *d->order);
    for (size_t i = 0; i < d->argument_count; i++) d->arguments[i] = numbers_of(&random, rows * widths[i]);
    for (size_t i = 0; i < d->output_count; i++) d->outputs[i] = numbers_of(&random, samples * groups[i]);
    for (size_t i = 0; i < d->index_count; i++) {
        d->indices[i] = check_memory(rows, sizeof **d->indices);
        for (size_t k = 0; k < rows; k++)
            d->indices[i][k] =
                (int64_t)check_below(&random, (size_t)bounds[i] + (wild && check_below(&random, 50) == 0) + !bounds[i]);
    }
    for (size_t i = 0; i < samples; i++) d->order[i] = (int64_t)check_below(&random, rows);
    if (wild && samples && check_below(&random, 4) == 0) d->order[check_below(&random, samples)] = (int64_t)rows;
    d->call = (pg_call){.samples = samples,
                        .parameters = d->numbers,
                        .arguments = (const double *const *)d->arguments,
                        .indices = (const int64_t *const *)d->indices,
                        .order = d->order,
                        .rows = rows,
                        .outputs = d->outputs,
                        .gradient = d->numbers + d->parameters,
                        .seeds = d->numbers + 2 * d->parameters,
                        .loss = &d->loss,
                        .where = d->where,
                        .threads = 1};
    return d;
}

static void free_data(data *d) {
    for (size_t i = 0; i < d->argument_count; i++) free(d->arguments[i]);
    for (size_t i = 0; i < d->output_count; i++) free(d->outputs[i]);
    for (size_t i = 0; i < d->index_count; i++) free(d->indices[i]);
    free(d->arguments);
    free(d->outputs);
    free(d->indices);
    free(d->order);
    free(d->numbers);
    free(d);
}

static const double constants_of_lanes[1 + 2 * LANES] = {0.5, 1.0, -1.0, 0.25, 2.0};

typedef struct {
    text words;
    const double *constants;
    size_t n_constants;
} source;

static source *source_of(int which) {
    source *s = check_memory(1, sizeof *s);
    if (which == 0) {
        write_layer(&s->words);
    } else {
        write_lanes(&s->words);
    }
    s->constants = constants_of_lanes;
    s->n_constants = which == 0 ? 1 : 1 + 2 * LANES;
    return s;
}

static pg_program *program_of(const source *s, int *status) {
    return pg_program_new(s->words.words, s->words.n, s->constants, s->n_constants, status);
}

static pg_program *made(const source *s) {
    int status = PG_ERR_PROGRAM;
    pg_program *program = program_of(s, &status);
    CHECK_INT(status, PG_OK);
    if (!program) exit(2);
    return program;
}

static void check_same_results(const data *x, const data *y, size_t columns) {
    size_t wrong = 0;
    for (size_t i = 0; i < x->parameters; i++)
        wrong += !check_same_bits(x->call.gradient[i], y->call.gradient[i]);
    for (size_t i = 0; i < x->call.samples * columns; i++)
        wrong += !check_same_bits(x->outputs[0][i], y->outputs[0][i]);
    CHECK_INT(wrong, 0);
    CHECK_SAME(x->loss, y->loss);
}

/* ---- the tests ---- */

static void test_threads_and_sets(void) {
    for (int which = 0; which < 2; which++) {
        source *s = source_of(which);
        pg_program *program = made(s);
        for (size_t samples = 0; samples < 3000; samples = samples * 3 + 1) {
            data *first = data_for(s->words.words, samples, 0, 5), *again = data_for(s->words.words, samples, 0, 5);
            CHECK_INT(pg_program_run(program, &first->call), PG_OK);
            for (size_t set = 0; pg_program_isa_usable(set); set++) {
                CHECK_INT(pg_program_use_isa(pg_program_isa_usable(set)), PG_OK);
                for (again->call.threads = 0; again->call.threads < 4; again->call.threads++) {
                    CHECK_INT(pg_program_run(program, &again->call), PG_OK);
                    check_same_results(first, again, 1);
                }
            }
            CHECK_INT(pg_program_use_isa(NULL), PG_OK);
            free_data(first);
            free_data(again);
        }
        pg_program_free(program);
        free(s);
    }
    pg_program_free(NULL);
}

/* The n-th allocation fails, n = 1, 2, ..., until all goes well. */
static void test_allocations(void) {
    for (int which = 0; which < 2; which++) {
        source *s = source_of(which);
        pg_program *program = NULL;
        uint64_t n = 0;
        while (!program) {
            int status = PG_OK;
            pg_fail_allocation(++n);
            program = program_of(s, &status);
            pg_fail_allocation(0);
            CHECK_INT(status, program ? PG_OK : PG_ERR_NOMEM);
        }
        CHECK(n > 5);
        data *wanted = data_for(s->words.words, 2000, 0, 6), *d = data_for(s->words.words, 2000, 0, 6);
        CHECK_INT(pg_program_run(program, &wanted->call), PG_OK);
        pg_program_free(program);
        program = made(s);
        d->call.threads = 2;
        for (n = 1;; n++) {
            const double before = d->outputs[0][0];
            pg_fail_allocation(n);
            pg_result status = pg_program_run(program, &d->call);
            pg_fail_allocation(0);
            if (status == PG_OK) break;
            CHECK_INT(status, PG_ERR_NOMEM);
            CHECK_SAME(d->outputs[0][0], before);
        }
        CHECK(n > 3);
        check_same_results(d, wanted, 1);
        pg_fail_allocation(1); /* nothing is allocated the second time */
        CHECK_INT(pg_program_run(program, &d->call), PG_OK);
        pg_fail_allocation(0);
        free_data(wanted);
        free_data(d);
        pg_program_free(program);
        free(s);
    }
}

/* Whether a program with this header and these stages takes little memory and time to run. */
static int is_small(const text *t) {
    const uint32_t *w = t->words;
    for (int i = 2; i <= 8; i++)
        if (w[i] > 100000) return 0;
    for (uint32_t i = 0; i < w[5] + w[6] + w[7]; i++)
        if (w[PG_HEADER + i] > 10000) return 0;
    for (size_t at = PG_HEADER + w[5] + w[6] + w[7], k = 0; k < w[8]; k++) {
        if (w[at] > 10000 || w[at + 1] > 100000) return 0;
        at += PG_STAGE + PG_MOVE * (size_t)(w[at + 2] + w[at + 5]) +
              PG_INSTRUCTION * (size_t)(w[at + 3] + w[at + 4]) + w[at + 6];
    }
    return 1;
}

static void mutate(text *t, check_random *random) {
    uint32_t *word = &t->words[check_below(random, t->n)];
    switch (check_below(random, 7)) {
    case 0: *word = (uint32_t)check_next(random); break;
    case 1: *word = (uint32_t)check_below(random, 64); break;
    case 2: *word = t->words[check_below(random, t->n)]; break;
    case 3: *word += 1; break;
    case 4: *word -= 1; break;
    case 5: *word ^= UINT32_C(1) << check_below(random, 32); break;
    default: *word = NO - (uint32_t)check_below(random, 3); break;
    }
}

static void test_fuzz(void) {
    check_random random = {12345};
    size_t accepted = 0, refused = 0, ran = 0, unlucky = 0;
    source *sources[2] = {source_of(0), source_of(1)}, *s = check_memory(1, sizeof *s);
    const size_t rounds = check_scaled(60000, 2000);
    for (size_t round = 0; round < rounds; round++) {
        *s = *sources[round % 2];
        for (size_t k = 1 + check_below(&random, 3); k > 0; k--) mutate(&s->words, &random);
        int status = PG_OK;
        pg_program *program = program_of(s, &status);
        if (!program) {
            CHECK(status == PG_ERR_PROGRAM || status == PG_ERR_NOMEM);
            refused++;
            continue;
        }
        accepted++;
        CHECK_INT(status, PG_OK);
        if (is_small(&s->words)) {
            data *d = data_for(s->words.words, check_below(&random, 30), 1, round + 1);
            d->call.exact = (int)check_below(&random, 2);
            if (check_below(&random, 3) == 0) d->call.order = NULL;
            pg_result ended = pg_program_run(program, &d->call);
            CHECK(ended == PG_OK || ended == PG_ERR_INDEX);
            ran++;
            unlucky += ended == PG_ERR_INDEX;
            free_data(d);
        }
        pg_program_free(program);
    }
    CHECK(accepted > rounds / 50);
    CHECK(refused > rounds / 50);
    CHECK(ran > rounds / 100);
    CHECK(unlucky > 0);
    for (int i = 0; i < 2; i++) free(sources[i]);
    free(s);
}

/* ---- several threads at once ---- */

typedef struct {
    pg_program *program;
    data *d;
    size_t rounds, wrong;
} job;

static void *run_job(void *context) {
    job *j = context;
    for (size_t i = 0; i < j->rounds; i++) j->wrong += pg_program_run(j->program, &j->d->call) != PG_OK;
    return NULL;
}

static void test_at_once(void) {
    enum { JOBS = 3 };
    source *s = source_of(0);
    pg_program *program = made(s);
    job jobs[JOBS];
    pthread_t threads[JOBS];
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (job){program, data_for(s->words.words, 1100, 0, 7), check_scaled(300, 20), 0};
        jobs[i].d->call.threads = i == 0 ? 2 : 1;
    }
    for (size_t i = 0; i < JOBS; i++)
        if (pthread_create(&threads[i], NULL, run_job, &jobs[i]) != 0) exit(2);
    for (size_t i = 0; i < JOBS; i++) {
        (void)pthread_join(threads[i], NULL);
        CHECK_INT(jobs[i].wrong, 0);
        check_same_results(jobs[i].d, jobs[0].d, 1);
    }
    for (size_t i = 0; i < JOBS; i++) free_data(jobs[i].d);
    pg_program_free(program);
    free(s);
}

/* ---- training ---- */

static void test_training(void) {
    source *s = source_of(0);
    double losses[3], settings[4] = {0.1, 0.0, 0.0, 0.0};
    data *d = data_for(s->words.words, 50, 0, 8);
    pg_program *program = made(s);
    pg_training_call call = {.samples = 50,
                             .epochs = 3,
                             .batch = 20,
                             .parameters = d->numbers,
                             .arguments = (const double *const *)d->arguments,
                             .indices = (const int64_t *const *)d->indices,
                             .rows = d->call.rows,
                             .mean = 1,
                             .rule = PG_RULE_SGD,
                             .settings = settings,
                             .losses = losses};
    int status = PG_OK;
    pg_training *training = NULL;
    uint64_t n = 0;
    while (!training) {
        pg_fail_allocation(++n);
        training = pg_training_new(program, &call, &status);
        pg_fail_allocation(0);
        CHECK_INT(status, training ? PG_OK : PG_ERR_NOMEM);
    }
    CHECK(n > 2);
    const double before = d->numbers[0];
    pg_fail_allocation(1);
    CHECK_INT(pg_training_run(training, 1e9, 1), PG_ERR_NOMEM);
    pg_fail_allocation(0);
    CHECK_SAME(d->numbers[0], before);
    CHECK_INT(pg_training_run(training, 1e9, 2), 2);
    CHECK(d->numbers[0] != before);
    CHECK_INT(pg_training_run(training, 1e9, 100), 9);
    CHECK(losses[2] < losses[0]);
    pg_training_free(training);
    pg_training_free(NULL);
    pg_program_free(program);
    free_data(d);
    free(s);
}

int main(void) {
    test_threads_and_sets();
    test_allocations();
    test_fuzz();
    test_at_once();
    test_training();
    pg_pool_stop();
    return check_finish();
}
