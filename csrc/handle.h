/* handle.h: what the files of the native `Value` share: the handle itself, and the functions every operation runs through.
 *
 * Internal to the binding: handle.c (lifetime of handles, errors, numbers), value.c (the type and its operators),
 * value_array.c, value_nary.c, value_network.c, value_parameters.c, value_attributes.c, value_making.c, value_listing.c. They alone include
 * Python.h (limited API, 3.10 on).
 * Together they do what pygrad/_handle.py does in Python, with the same results; what is rare, or the same on every
 * backend, is left to the Python functions that pg_python_install is given. Every function runs with the GIL held,
 * which guards the arena too.
 *
 * Invariants
 *   - A node has at most one handle: owners[id], valid where PG_NODE_OWNED is set; so identity holds.
 *   - A handle holds one count of its node, a leaf of 0.0 until __init__ has run. Only a handle that is being made
 *     or taken apart has none (PG_NONE).
 *   - Handles have a garbage-collector header, but are tracked only if *traced*: their node has a hook (a
 *     Python closure, which may refer to anything), or stands downstream of one. A traced handle holds its
 *     operands' handles, as a Python tuple, and its hook: so every cycle, which must run through a hook, is
 *     made of objects that the collector sees, and all of them can be collected. Handles upstream of every
 *     hook cannot be part of a cycle.
 *   - Array Values are traced, and so is all that stands downstream of them: operands' arrays live as long as their
 *     users. A node that a rule computed has PG_NODE_HOOK and a record.
 *   - A hook that is set when untraced nodes already use its node is *pinned*: the handle stays in `pins`
 *     until those uses end.
 */
#ifndef PG_HANDLE_H
#define PG_HANDLE_H

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030a0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* after Python.h, which must come first */
#include "graph.h"

typedef struct {
    PyObject_HEAD
    PyObject *weakrefs;
    pg_id id;
    uint8_t traced;
    uint8_t initialised; /* __init__ has run */
    uint8_t subtype;     /* made as an instance of a subclass: tracked by the collector from the start */
} handle;

/* What a traced handle holds. In owners[] it takes the handle's place (OWNER_IS_TRACED): few handles are traced,
 * and the others stay small. */
typedef struct {
    handle *self;
    PyObject *operands; /* tuple of Values */
    PyObject *hook;     /* callable, or NULL */
    PyObject *data;     /* ndarray, of a node with PG_NODE_ARRAY; else NULL */
    PyObject *grad;     /* its gradient; NULL: zeros. Never changed in place here */
    PyObject *record;   /* of a node that a rule of pygrad/_arrays.py computed; else NULL */
    uint8_t shared;     /* operands may share the gradient's array: its first reader gets a copy */
    void *next;         /* while its release is under way */
} traced;

#define OWNER_IS_TRACED PG_NODE_BINDING

extern pg_arena *arena;
extern PyTypeObject *value_type;
/* From the Python side, see pygrad/_native.py. */
extern PyObject *as_data, *as_float, *operand_float, *op_error, *op_symbol, *bad_operand, *bad_hook, *as_children, *bad_init,
    *text, *changed, *is_recording, *getitem, *conversion, *looked, *is_tracing;
/* {id: (label, op)} of the nodes that have one: alive as long as the node. */
extern PyObject *notes;
/* {id: handle} of the nodes whose handle must not die before their users. */
extern PyObject *pins;

#define ID(object) (((handle *)(object))->id)
#define NODE(object) (&arena->nodes[ID(object)])

PG_INLINE int is_value(PyObject *object) {
    return PG_LIKELY(Py_TYPE(object) == value_type) || PyType_IsSubtype(Py_TYPE(object), value_type);
}

PG_INLINE int holds_array(PyObject *object) { return (NODE(object)->flags & PG_NODE_ARRAY) != 0; }

/* ---- handles (handle.c) ---- */

#define PG_SPARE_HANDLES 4096
extern handle *spare[PG_SPARE_HANDLES]; /* dead handles of the exact type, untracked */
extern int spare_count;

PG_INLINE handle *handle_alloc(void) {
    handle *self;
    if (PG_LIKELY(spare_count > 0)) {
        self = spare[--spare_count];
        (void)PyObject_Init((PyObject *)self, value_type);
    } else {
        self = PyObject_GC_New(handle, value_type);
        if (!self) return NULL;
    }
    self->weakrefs = NULL;
    self->traced = 0;
    self->id = PG_NONE;
    self->initialised = 0;
    self->subtype = 0;
    return self;
}

PG_INLINE void attach(handle *self, pg_id id) {
    self->id = id;
    arena->owners[id] = self;
    arena->nodes[id].flags |= PG_NODE_OWNED;
}

/* Of a handle that no subclass has touched; __class__ may have been assigned meanwhile, either way. */
PG_INLINE int is_plain(const handle *self) { return Py_TYPE((PyObject *)self) == value_type && !self->subtype; }

/* What a traced handle holds; NULL for any other. */
PG_INLINE traced *traced_of(const handle *self) { return self->traced ? arena->owners[self->id] : NULL; }

/* The handle leaves its node, which may live on. */
PG_INLINE void detach(const handle *self) {
    arena->nodes[self->id].flags &= (uint8_t)~(PG_NODE_OWNED | OWNER_IS_TRACED);
}

/* After a release: buries the dead that had notes, and lets go of pinned handles that nothing uses any more. */
void settle(void);
/* Releases what traced handles held. A chain of them is unwound here, not by recursion. */
void drop_traced(traced *first);
/* The handle of a live node, a new one if it has none. */
PyObject *handle_of(pg_id id);
/* The handles of a node's operands. */
PyObject *operand_tuple(pg_id id);
/* From now on the collector sees this handle. */
int trace(handle *self);
void value_dealloc(PyObject *object);
int value_traverse(PyObject *object, visitproc visit, void *arg);
int value_clear(PyObject *object);

PG_INLINE void drop_node(pg_id id) {
    pg_unref(arena, id);
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
}

/* How many no_grad() blocks are open, in all threads; and, if any, whether this thread's operations are recorded (-1 on
 * error). */
extern int suspended;
int recorded(void);
pg_result unrecorded(pg_result made);

/* How many functions are being recorded for programs, in all threads (pygrad/_tracing.py). */
extern int tracing;
/* Whether this thread's is one of them; -1 on error. */
int traced_here(void);
int refuse(PyObject *value, const char *what);

/* Before a number is looked at, or set: -1 with an error set where this thread records a function and must not. value:
 * None for many at once; what: as said in the error. */
PG_INLINE int refused(PyObject *value, const char *what) { return PG_UNLIKELY(tracing) && refuse(value, what) < 0; }

/* The handle of a node just computed, which owns the count that came with it. */
PG_INLINE PyObject *wrap_recorded(pg_result made) {
    pg_id id = PG_RESULT_ID(made);
    handle *self = handle_alloc();
    if (PG_UNLIKELY(!self)) {
        pg_unref(arena, id);
        return NULL;
    }
    attach(self, id);
    if (PG_UNLIKELY(made & PG_RESULT_TRACED) && trace(self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

/* The same; within no_grad() the node forgets what it was computed from. */
PG_INLINE PyObject *wrap(pg_result made) {
    if (PG_UNLIKELY(suspended) && (made = unrecorded(made)) < 0) return NULL;
    return wrap_recorded(made);
}

/* ---- arrays (value_array.c) ---- */

/* The module pygrad._arrays, loaded at its first use; and its functions. */
extern PyObject *arrays;
enum array_function {
    F_BINARY, F_COMPARE, F_CONSTANT, F_CONTRIBUTIONS, F_DOT_OF, F_LOGSUMEXP_OF, F_NDARRAY, F_NO_FLOAT, F_ONES, F_OWN_GRAD,
    F_POWER, F_QUIET, F_REPLACEMENT, F_SHOWN, F_SUM_OF, F_TOWARDS, F_UNARY, FUNCTION_COUNT
};
PyObject *array_function(enum array_function which);
/* The arguments end at the first NULL. */
PyObject *call_arrays(enum array_function which, PyObject *a, PyObject *b, PyObject *c);
int install_names(void);
PyObject *op_name(int op); /* borrowed */
PyObject *array_node(PyObject *name, PyObject *operands, PyObject *data, PyObject *record, double constant);
int restore_grad(handle *self, PyObject *grad);
int init_array(handle *self, PyObject *data);
void init_number(handle *self);
PyObject *array_data(handle *self);
PyObject *array_grad(handle *self);
int set_array(handle *self, PyObject *given, int grad);
PyObject *get_raw_grad(PyObject *self, void *unused);
PyObject *get_record(PyObject *self, void *unused);
Py_ssize_t value_length(PyObject *self);
PyObject *value_subscript(PyObject *self, PyObject *key);
PyObject *get_conversion(PyObject *self, void *unused);
PyObject *rule_attribute(handle *self, const char *which);

/* Gradients of arrays that a sweep has changed, as they were; the context in which NumPy does not warn, once entered; and
 * the sweep, if it is one towards some nodes only. */
typedef struct {
    handle *self;
    PyObject *grad;
    uint8_t shared;
} logged_grad;

typedef struct {
    logged_grad *entries;
    size_t count, capacity;
    PyObject *quiet;
    uint8_t everything; /* every array of the graph is in it */
    pg_sweep *towards;
} sweep_log;

/* Sets the gradient of an array to seed; to ones for NULL. */
int start_root(sweep_log *log, handle *root, PyObject *seed);
/* The gradients of arrays in the reach of log->towards, into the log. */
int set_grads_aside(sweep_log *log);
int log_everything(sweep_log *log, pg_sweep *sweep);
int rule_step(sweep_log *log, handle *self);
/* Leaves that context. -1 with an error set if that failed; an error that was set before is kept. */
int be_loud(sweep_log *log);
/* Ends a sweep: puts the gradients of arrays back if it failed (-1, an error is set), and frees the log. Its status. */
int end_log(sweep_log *log, int status);
int own_rule_step(handle *self);

/* ---- errors and numbers (handle.c) ---- */

/* Raises an exception that the Python side made; NULL, as what is returned on error. */
PyObject *raise_error(PyObject *error);
PyObject *raise_status(int status, int op, double x, double y);
/* A named method's operand must be a Value or a number: there is no other operand to ask. */
PyObject *checked(PyObject *result, const char *name, PyObject *operand);
/* A plain number: 1, or -1 with an error set. `what` names it in the error. */
int to_double(PyObject *object, const char *what, double *number);
int operand_number_of_any(PyObject *object, double *number);

/* An operand that is not a Value: 1 if it is a number, 0 if Python should ask the other operand, -1 on error. */
PG_INLINE int operand_number(PyObject *object, double *number) {
    if (PG_LIKELY(PyFloat_CheckExact(object))) {
        *number = PyFloat_AsDouble(object);
        return 1;
    }
    return operand_number_of_any(object, number);
}

/* ---- lists of operands (value_nary.c) ---- */

typedef struct {
    PyObject *values; /* holds the Values alive; NULL where nothing can run that might drop them */
    pg_id *ids;
    size_t count;
    pg_id few[64];
} operand_list;

/* A list, also of a subclass that does not change how it is read. */
PG_INLINE int iterates_as_list(PyObject *sequence) {
    if (PG_LIKELY(PyList_CheckExact(sequence))) return 1;
    return PyList_Check(sequence) &&
           PyType_GetSlot(Py_TYPE(sequence), Py_tp_iter) == PyType_GetSlot(&PyList_Type, Py_tp_iter);
}

/* The usual case: a list or tuple of Values only, whose ids are read without running any Python code. 1 if it was
 * that and the list is filled, 0 if not, -1 on error. Valid until Python code runs. */
int operands_quick(operand_list *list, PyObject *sequence);
int operands_reserve(operand_list *list, Py_ssize_t count);
void operands_drop(operand_list *list);

/* ---- what the type consists of ---- */

extern PyGetSetDef value_getset[];
PyObject *value_new(PyTypeObject *type, PyObject *args, PyObject *kwargs);
int value_init(PyObject *object, PyObject *args, PyObject *kwargs);
/* Sets the label and the op of a node; both exact str. */
int set_note(pg_id id, PyObject *label, PyObject *op);
/* The code of a name; -1 if there is none. */
int find_op(const char *name);
PyObject *value_state(PyObject *self, PyObject *unused);
PyObject *value_restore(PyObject *unused, PyObject *args);
PyObject *value_array_node(PyObject *unused, PyObject *const *args, Py_ssize_t count);
PyObject *value_suspend(PyObject *unused, PyObject *count);
PyObject *value_trace(PyObject *unused, PyObject *count);
PyObject *value_births(PyObject *unused, PyObject *unused2);
PyObject *value_depends(PyObject *self, PyObject *birth);
PyObject *value_listing(PyObject *unused, PyObject *args);
PyObject *get_holds_array(PyObject *self, void *unused);
PyObject *value_accumulate(PyObject *self, PyObject *c);
PyObject *value_sum(PyObject *unused, PyObject *values);
PyObject *value_logsumexp(PyObject *unused, PyObject *values);
PyObject *value_dot(PyObject *unused, PyObject *const *args, Py_ssize_t count, PyObject *names);
PyObject *value_operands(PyObject *unused, PyObject *args);
PyObject *value_layers(PyObject *unused, PyObject *descriptions);
PyObject *value_ids(PyObject *unused, PyObject *values);
PyObject *value_get(PyObject *unused, PyObject *args);
PyObject *value_put(PyObject *unused, PyObject *args);
PyObject *value_zero_grads(PyObject *unused, PyObject *token);
PyObject *value_grad_norm(PyObject *unused, PyObject *token);
PyObject *value_scale_grads(PyObject *unused, PyObject *args);
PyObject *value_clamp_grads(PyObject *unused, PyObject *args);
PyObject *value_optimise(PyObject *unused, PyObject *args);
PyObject *value_optimise_arrays(PyObject *unused, PyObject *args);

#endif
