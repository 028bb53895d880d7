/* pygrad.h: the whole C API of the graph engine. Knows nothing of Python.
 *
 * An arena owns nodes. A node is named by a 32-bit id and holds its data, its gradient, its op and its
 * operands. A node lives while its reference count is above zero; a handle of the caller counts one, every
 * use as an operand counts one. Functions that make a node give the caller one count, to be returned with
 * pg_release.
 *
 * Errors: functions that return pg_result give an id (>= 0) or a negative pg_status. After any error the
 * arena is as it was before the call. Nothing here prints, exits or aborts. Ids are checked: an id that
 * names no live node is PG_ERR_ID, never a crash. A NULL arena is not allowed, except in pg_arena_free.
 *
 * Threads: an arena made with PG_ARENA_LOCKED may be used from several threads at once. Any other arena
 * is guarded by its caller (the native handle uses it only with the GIL held).
 */
#ifndef PYGRAD_H
#define PYGRAD_H

#include <stddef.h>
#include <stdint.h>

typedef uint32_t pg_id;
typedef int64_t pg_result; /* an id, perhaps with PG_RESULT_TRACED added; or a negative pg_status */
typedef struct pg_arena pg_arena;
typedef struct pg_sweep pg_sweep;
typedef struct pg_layer pg_layer;

typedef enum {
    PG_OK = 0,
    PG_ERR_NOMEM = -1,         /* an allocation failed */
    PG_ERR_FULL = -2,          /* a graph of more than 2**30 nodes, or of 2**31 words of operand lists */
    PG_ERR_ID = -3,            /* an id that names no live node */
    PG_ERR_OP = -4,            /* an op code that is not of the kind asked for, or operands that do not fit it */
    PG_ERR_ZERO_DIVISION = -5, /* division by zero */
    PG_ERR_OVERFLOW = -6,      /* finite operands, infinite result, where Python raises OverflowError */
    PG_ERR_DOMAIN = -7,        /* an operand outside the function's domain */
    PG_ERR_COMPLEX = -8,       /* a negative base with a fractional exponent */
    PG_ERR_ARRAY = -9,         /* an operand or parameter is an array: the binding has the rules for those */
    PG_ERR_PROGRAM = -10,      /* words that are no program, or a damaged one */
    PG_ERR_INDEX = -11,        /* an index of a sample, or into a sample's values, that is out of range */
    PG_ERR_ISA = -12           /* no such instruction set, or not on this processor */
} pg_status;

#define PG_MAX_NODES (UINT32_C(1) << 30)
#define PG_NONE UINT32_C(0)                           /* no node: id 0 is never given out */
#define PG_RESULT_TRACED (INT64_C(1) << 32)           /* the new node stands downstream of a hook */
#define PG_RESULT_ID(r) ((pg_id)((r) & 0xffffffff))

enum { PG_ARENA_LOCKED = 1 };

/* What the binding may note on a node. */
enum {
    PG_NODE_SIDE = 1,   /* the binding keeps something for this node and is told when it dies (pg_limbo) */
    PG_NODE_HOOK = 2,   /* the sweep stops here: the binding takes this node's derivative step */
    PG_NODE_TRACED = 4, /* this node or one upstream has a hook; inherited by what is computed from it */
    PG_NODE_OWNED = 8,  /* owners[] of this node is set */
    PG_NODE_PINNED = 16, /* the binding wants to know when uses of this node end */
    PG_NODE_ARRAY = 32, /* data and gradient are arrays, which the binding keeps: here both are nan */
    PG_NODE_BINDING = 64 /* the binding's own */
};

/* What a release leaves for the binding to do, as bits. */
enum {
    PG_AFTER_LIMBO = 1,   /* nodes wait in pg_limbo */
    PG_AFTER_UNPINNED = 2 /* a pinned node has one use left: see pg_uses */
};

/* The kinds of op, as in ops.h. */
typedef enum { PG_KIND_STRUCTURAL, PG_KIND_UNARY, PG_KIND_CONSTANT, PG_KIND_BINARY, PG_KIND_NARY } pg_kind;

typedef struct {
    const char *name;   /* "mul" */
    const char *symbol; /* "*" */
    const char *doc;    /* one line */
    const char *parameter; /* what k is called, "negative_slope"; "" where there is no k */
    pg_kind kind;
    double constant; /* default of k for PG_KIND_CONSTANT, else 0 */
} pg_op_info;

/* How an optimiser moves a parameter x along its gradient g. The formulas are those of torch.optim. */
typedef enum {
    PG_RULE_SGD = 0,    /* settings: lr, momentum, nesterov, weight_decay. Slots: momentum_buffer, unless momentum is 0 */
    PG_RULE_ADAM = 1,   /* lr, beta1, beta2, eps, weight_decay, step (1 for the first). exp_avg, exp_avg_sq */
    PG_RULE_ADAMW = 2,  /* as PG_RULE_ADAM */
    PG_RULE_RMSPROP = 3 /* lr, alpha, eps, momentum, centered, weight_decay. square_avg; momentum_buffer, unless
                           momentum is 0; grad_avg, if centered is not 0 */
} pg_rule;

typedef struct {
    const char *name;     /* "adam" */
    const char *settings; /* what its settings are called, in order, with one space between them */
    size_t setting_count;
} pg_rule_info;

typedef struct {
    uint64_t live;     /* nodes alive */
    uint64_t capacity; /* nodes there is room for */
    uint64_t bytes;    /* memory reserved: nodes, owners, operand lists, scratch. Untouched pages included */
} pg_stats;

/* ---- arena ---- */

/* NULL if memory is short. Free with pg_arena_free (which frees every node with it; NULL is ignored). */
pg_arena *pg_arena_new(int flags);
void pg_arena_free(pg_arena *arena);
void pg_arena_stats(pg_arena *arena, pg_stats *stats);
/* Gives unused memory back to the system. Called by itself after large releases. */
void pg_arena_trim(pg_arena *arena);

/* Holds every other thread off a PG_ARENA_LOCKED arena, for a fork; and lets them on again. in_child: in the forked
 * process, whose only thread has another identity than the one that locked. */
void pg_arena_lock(pg_arena *arena);
void pg_arena_unlock(pg_arena *arena, int in_child);

/* ---- nodes: each gives the caller one count ---- */

pg_result pg_leaf(pg_arena *arena, double data);
pg_result pg_unary(pg_arena *arena, int op, pg_id x);
pg_result pg_constant(pg_arena *arena, int op, pg_id x, double k);
pg_result pg_binary(pg_arena *arena, int op, pg_id x, pg_id y);
/* As pg_binary, with a new leaf for the number on the right, or on the left. */
pg_result pg_binary_right(pg_arena *arena, int op, pg_id x, double y);
pg_result pg_binary_left(pg_arena *arena, int op, double x, pg_id y);
/* x[0] + x[1] + ...; n = 0 gives 0.0. */
pg_result pg_sum(pg_arena *arena, const pg_id *x, size_t n);
/* log(e ** x[0] + e ** x[1] + ...); n = 0 gives -inf. */
pg_result pg_logsumexp(pg_arena *arena, const pg_id *x, size_t n);
/* bias + w[0]*x[0] + ...; bias PG_NONE: starts from the first product; n = 0: the bias, or 0.0. */
pg_result pg_dot(pg_arena *arena, const pg_id *w, const pg_id *x, size_t n, pg_id bias);
/* A user-defined op: the operands and the result's data are the caller's. */
pg_result pg_user(pg_arena *arena, double data, const pg_id *operands, size_t n);
/* A node as it was saved: the value is data, not computed. operands as pg_operands gives them. */
pg_result pg_restore(pg_arena *arena, int op, const pg_id *operands, size_t n, double k, double data, double grad);

/* ---- layers: many neurons on the same inputs, many layers in one call ---- */

/* nout neurons, each activation(bias + w[0]*x[0] + ...). parameters: nout rows of nin weights and the bias; each use holds
 * its node. activation: a unary or constant op (k is its constant), or 0 for none. NULL with *status PG_ERR_ID, PG_ERR_OP
 * (also for a parameter downstream of a hook), PG_ERR_NOMEM or PG_ERR_FULL. To be freed before its arena. */
pg_layer *pg_layer_new(pg_arena *arena, const pg_id *parameters, size_t nin, size_t nout, int activation, double k,
                       int *status);
/* Gives the parameters back; NULL is ignored. Result as pg_release. */
pg_result pg_layer_free(pg_layer *layer);
/* The layers of one arena one after the other; each neuron becomes a dot node and one of its activation. x: the n inputs
 * of the first, where PG_NONE stands for a new leaf of the number at that place in numbers. out: gets the last one's
 * nodes, each with a count for the caller. PG_ERR_OP if counts do not fit, or if an operand stands downstream of a hook:
 * then the binding must see every node made. */
pg_result pg_layers_apply(pg_layer *const *layers, size_t count, const pg_id *x, const double *numbers, size_t n,
                          pg_id *out);

/* ---- lifetime ---- */

/* Adds a count. PG_ERR_ID. */
pg_result pg_retain(pg_arena *arena, pg_id id);
/* Gives a count back; frees what nothing needs any more, without recursion. The bits of PG_AFTER_. */
pg_result pg_release(pg_arena *arena, pg_id id);
/* The node's reference count. */
pg_result pg_uses(pg_arena *arena, pg_id id);
/* A dead node with PG_NODE_SIDE, which keeps its id until pg_bury; PG_NONE if there is none. */
pg_id pg_limbo(pg_arena *arena);
/* Frees an id that pg_limbo gave. Any other is left alone. */
void pg_bury(pg_arena *arena, pg_id id);

/* ---- looking at a node ---- */

/* data and grad of a dead id are nan; setting them does nothing. */
double pg_data(pg_arena *arena, pg_id id);
double pg_grad(pg_arena *arena, pg_id id);
void pg_set_data(pg_arena *arena, pg_id id, double data);
void pg_set_grad(pg_arena *arena, pg_id id, double grad);
pg_result pg_op(pg_arena *arena, pg_id id);
pg_result pg_flags(pg_arena *arena, pg_id id);
/* Sets and clears PG_NODE_SIDE, _HOOK, _TRACED, _PINNED, _ARRAY. A leaf with a hook becomes a user-defined op without operands. */
pg_result pg_set_flags(pg_arena *arena, pg_id id, int set, int clear);
/* Makes the node a leaf: it lets go of its operands, and keeps data, gradient and PG_NODE_SIDE. Result as pg_release. */
pg_result pg_forget(pg_arena *arena, pg_id id);
/* The constant k of a PG_KIND_CONSTANT node; nan for any other. */
double pg_node_constant(pg_arena *arena, pg_id id);
/* Writes at most capacity operand ids, left to right (dot: weights, bias, inputs); gives how many there are. */
pg_result pg_operands(pg_arena *arena, pg_id id, pg_id *ids, size_t capacity);

/* ---- reverse mode ---- */

/* One node's own derivative step: adds to the gradients of its operands. Looks at no hook. PG_ERR_ID. */
pg_result pg_step(pg_arena *arena, pg_id id);
/* Adds numbers[i] to the gradient of the node's i-th operand; for the binding's own derivative steps. PG_ERR_ID; PG_ERR_OP
 * unless it is a node of array or user kind with n operands. */
pg_result pg_add_to_operands(pg_arena *arena, pg_id id, const double *numbers, size_t n);
/* Orders the graph under root and sets root's gradient to 1. NULL with *status PG_ERR_NOMEM or PG_ERR_ID. */
pg_sweep *pg_sweep_new(pg_arena *arena, pg_id root, int *status);
/* Goes on until the end (PG_NONE) or the next node with a hook, whose step the caller takes before calling again. */
pg_id pg_sweep_run(pg_sweep *sweep);
/* The next node with PG_NODE_ARRAY among those whose gradients a failing sweep puts back. *position: 0 at first, moved on;
 * PG_NONE after the last. One may come up several times. */
pg_id pg_sweep_array(pg_sweep *sweep, uint64_t *position);
/* Ends and frees it. failed != 0, for a hook that failed: the gradients of the graph under root are put back to
 * what they were before pg_sweep_new. (A sweep that meets no hook cannot fail, and keeps nothing to put back.) Result as pg_release. */
pg_result pg_sweep_end(pg_sweep *sweep, int failed);
/* As pg_sweep_new, for the derivatives of root by n inputs, any nodes: only nodes on a way from root to an input take their
 * step, and all gradients in their reach are 0 at the start, but for root's, which is 1. pg_sweep_end(sweep, 1), and it must
 * be 1, puts back what they were. used[i]: gets 1 if root depends on inputs[i] or is it, else 0. */
pg_sweep *pg_sweep_towards(pg_arena *arena, pg_id root, const pg_id *inputs, size_t n, unsigned char *used, int *status);
/* Of such a sweep: 0 if the node leads to no input, so that its gradient need not be worked out. */
int pg_sweep_needs(pg_sweep *sweep, pg_id id);
/* Writes at most capacity of the nodes that have yet to take their step, operands first; gives how many there are. */
size_t pg_sweep_nodes(const pg_sweep *sweep, pg_id *ids, size_t capacity);

/* ---- recording: a graph as arrays, for programs (pygrad/programs/record.py) ---- */

/* The graph under some roots. Positions: first every leaf in it, in the order in which the search meets them as operands;
 * then the computed nodes, operands first, in the order of pg_sweep_new's search from the first root, then from the second
 * for what is new there, and so on. The operands of the node at position i are operands[starts[i]], ... up to starts[i + 1],
 * as positions; those of a dot product are its bias, if it has one, then weight, input, weight, input, ... */
typedef struct {
    size_t leaves, nodes, roots; /* nodes: leaves and computed ones */
    uint8_t *ops;                /* nodes codes */
    uint8_t *flags;              /* nodes: PG_NODE_HOOK and PG_NODE_ARRAY of each */
    uint64_t *starts;            /* nodes + 1 */
    uint32_t *operands;
    double *numbers;             /* nodes: a leaf's data, the constant k of a PG_KIND_CONSTANT op, else 0 */
    uint64_t *births;            /* leaves: see pg_births */
    pg_id *ids;                  /* nodes */
    uint32_t *root_at;           /* roots */
} pg_listing;

/* NULL with *status PG_ERR_NOMEM or PG_ERR_ID. Holds no counts: the ids in it are those of this moment. */
pg_listing *pg_listing_new(pg_arena *arena, const pg_id *roots, size_t n, int *status);
/* NULL is ignored. */
void pg_listing_free(pg_listing *listing);
/* How many leaves were ever made in this arena. Each has the number it was made as, its birth; a leaf that was a computed
 * node (pg_forget) the number of when it became one. */
uint64_t pg_births(pg_arena *arena);
/* 1 if the node is computed from a leaf born no later than that, or is one, or if a user-defined op without operands is in
 * its graph; else 0. PG_ERR_ID, PG_ERR_NOMEM. */
pg_result pg_depends(pg_arena *arena, pg_id id, uint64_t birth);
/* As pg_unary, pg_constant (number is k), pg_binary, with y PG_NONE pg_binary_right, with x PG_NONE pg_binary_left; but an
 * op that has no finite value, where those fail, has what IEEE 754 says: inf or nan. */
pg_result pg_ieee(pg_arena *arena, int op, pg_id x, pg_id y, double number);

/* ---- parameters: many nodes at once ----
 *
 * ids: n ids, each of them once. All are looked at before anything is done: PG_ERR_ID if one names no live node,
 * PG_ERR_ARRAY if one holds an array, and nothing has changed. n = 0 does nothing, and every pointer may be NULL then. The arrays of numbers are the
 * caller's. Nothing is allocated. The lock is held from the first id to the last. PG_OK if all went well. */

/* Writes n numbers. */
pg_result pg_get_data(pg_arena *arena, const pg_id *ids, size_t n, double *numbers);
pg_result pg_get_grads(pg_arena *arena, const pg_id *ids, size_t n, double *numbers);
/* Reads n numbers. */
pg_result pg_put_data(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers);
pg_result pg_put_grads(pg_arena *arena, const pg_id *ids, size_t n, const double *numbers);
pg_result pg_zero_grads(pg_arena *arena, const pg_id *ids, size_t n);
/* The square root of the sum of the squared gradients, added from the first to the last; 0 for n = 0. */
pg_result pg_grad_norm(pg_arena *arena, const pg_id *ids, size_t n, double *norm);
/* Multiplies every gradient by factor. */
pg_result pg_scale_grads(pg_arena *arena, const pg_id *ids, size_t n, double factor);
/* Brings every gradient into [-limit, limit]; a nan stays one. */
pg_result pg_clamp_grads(pg_arena *arena, const pg_id *ids, size_t n, double limit);
/* One step of an optimiser: changes the data, and the state, of every parameter; not the gradients. settings: as
 * many numbers as the rule has, of any value. state: pg_rule_slots arrays of n numbers, one behind the other, all 0
 * before the first step; NULL if there are none. PG_ERR_OP for an unknown rule. */
pg_result pg_optimise(pg_arena *arena, int rule, const pg_id *ids, size_t n, const double *settings, double *state);
/* The same for n numbers and gradients in the caller's memory: no arena, no lock. grads: NULL if all are 0; data itself, or
 * memory that does not overlap it. n = 0 does nothing, and every pointer may be NULL then. */
pg_result pg_optimise_array(int rule, double *data, const double *grads, size_t n, const double *settings,
                            double *state);
/* How many numbers a parameter's state has under these settings: 0 to 3; 0 for an unknown rule. */
size_t pg_rule_slots(int rule, const double *settings);
/* NULL if there is no such rule. Static memory. */
const pg_rule_info *pg_rule_describe(int rule);

/* ---- programs: straight-line code over many samples (program.h says how it is encoded) ----
 *
 * A program knows no arena. It is not changed by running, so any number of threads may run one; each run has a workspace
 * of its own, one of which the program keeps for the next. The same call gives the same bits whatever the instruction set
 * and the number of threads. Arithmetic is IEEE 754: nothing raises. */

typedef struct pg_program pg_program;

typedef struct {
    size_t samples;
    const double *parameters;       /* as many as the program has */
    const double *const *arguments; /* one array a float argument: rows x width */
    const int64_t *const *indices;  /* one array an index argument: one entry a row */
    const int64_t *order;           /* the samples of this run are the rows order[0], order[1], ...; NULL: 0, 1, ... */
    size_t rows;                    /* of arguments and indices */
    double *const *outputs;         /* one array an output group, samples x width; NULL, or one that is NULL: not wanted */
    double *gradient;               /* as many as parameters, overwritten; NULL: not wanted */
    const double *seeds;            /* what the gradient starts from, one a sample; NULL: seed, for all */
    double seed;
    double *loss;                   /* the loss output summed over the samples, first to last; NULL: not wanted */
    size_t *where;                  /* two numbers, written with PG_ERR_INDEX; NULL: not wanted. The row, and the index
                                       argument; or, if there is no such row, the sample, and the number of index arguments */
    int threads;                    /* at most so many; 0: what pays off */
    int exact;                      /* libm, for the bits of the graph engine, where there are faster functions */
} pg_call;

/* words and constants are copied. Any words are safe. NULL with *status PG_ERR_PROGRAM or PG_ERR_NOMEM. */
pg_program *pg_program_new(const uint32_t *words, size_t n_words, const double *constants, size_t n_constants,
                           int *status);
/* NULL is ignored. Not while it runs, nor before its trainings are freed. */
void pg_program_free(pg_program *program);
/* PG_OK; PG_ERR_INDEX, PG_ERR_NOMEM or PG_ERR_ISA, before anything is written. */
pg_result pg_program_run(pg_program *program, const pg_call *call);
/* The instruction set that programs run with, by name; at first the one that the environment variable PYGRAD_ISA names, else
 * the largest. NULL if PYGRAD_ISA names none that can be used. */
const char *pg_program_isa(void);
/* Changes it, for all runs from now on; NULL: back to the first. PG_ERR_ISA: nothing has changed. */
int pg_program_use_isa(const char *name);
/* The names that can be asked for, i = 0, 1, ...; NULL behind the last. */
const char *pg_program_isa_usable(size_t i);

/* ---- training: a program's gradient and an optimiser's rule, step after step ---- */

typedef struct pg_training pg_training;

typedef struct {
    size_t samples;                 /* of an epoch, >= 1 */
    size_t epochs;
    size_t batch;                   /* samples of a step, >= 1; the last step of an epoch may have fewer */
    double *parameters;             /* changed by pg_training_run */
    const double *const *arguments; /* as in pg_call */
    const int64_t *const *indices;
    const int64_t *order;           /* epochs x samples: the rows in the order they come in; NULL: 0, 1, ... in each */
    size_t rows;
    int mean;                       /* the loss of a step: its samples' mean, or their sum */
    int rule;                       /* a pg_rule; settings and state as in pg_optimise */
    double *settings;               /* the rule's; its step, if it has one, is that of the next step, and is moved on */
    double *state;
    const double *rates;            /* lr of each epoch; NULL: that of settings */
    double *losses;                 /* epochs: gets the sum over an epoch's samples, batch after batch, divided by their
                                       number if mean; NULL: not wanted */
    size_t *where;                  /* as in pg_call */
    int threads, exact;
} pg_training_call;

/* Everything is the caller's, and stays where it is until pg_training_free; the arguments stay as they are while
 * pg_training_run runs: they may be read once for many steps. NULL with *status PG_ERR_OP for an unknown
 * rule, PG_ERR_INDEX for 0 samples or a batch of 0, PG_ERR_NOMEM. */
pg_training *pg_training_new(pg_program *program, const pg_training_call *call, int *status);
/* Goes on with the next steps, at least one, until `seconds` have passed, `steps` are done, or there are no more. Gives how
 * many steps are done since pg_training_new, of epochs * ceil(samples / batch); or PG_ERR_INDEX, PG_ERR_NOMEM or PG_ERR_ISA:
 * then the step that failed has changed nothing, and those before it stand. From one thread at a time. */
pg_result pg_training_run(pg_training *training, double seconds, uint64_t steps);
/* NULL is ignored. */
void pg_training_free(pg_training *training);

/* ---- the table, and the build ---- */

size_t pg_op_count(void);
/* NULL if there is no such code. Static memory. */
const pg_op_info *pg_op_describe(int op);
/* The value of a unary, constant (y is k) or binary op on plain numbers; *status as a node of it would have. */
double pg_op_value(int op, double x, double y, int *status);
const char *pg_status_text(int status);
/* Compiler and target, and what the processor offers. Static memory. */
const char *pg_build_compiler(void);
const char *pg_build_isa(void);
const char *pg_cpu_isa(void);

/* ---- for tests: the loops of programs ----
 * z[i] = an op's formula for i < n, with the functions of an instruction set ("baseline", ...), or of "libm". form 0: value, of
 * operands x, y; 1, 2: derivative by x, by y, of operands g, x, y, z. operands: four arrays, NULL where the op has none;
 * the value of logsumexp is that of three numbers, operands[0] = the first of all, the second of all, the third.
 * PG_ERR_ISA: this processor has no such set; PG_ERR_OP: no such formula. */
int pg_program_formula(const char *set, int op, int form, double k, size_t n, const double *const *operands, double *z);

/* ---- for tests: the n-th allocation from now fails, once; 0 switches that off ---- */
void pg_fail_allocation(uint64_t n);

#endif
