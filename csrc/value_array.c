/* value_array.c: Values that hold arrays: their nodes, data and gradients, and the derivative step of what a rule computed.
 *
 * An array handle is a traced one, which also holds an ndarray; its node says so (PG_NODE_ARRAY). Nothing is computed here:
 * the rules stand in pygrad/array_rules.py and are applied by pygrad/_arrays.py, which is loaded when the first array
 * shows up. No file of the binding knows NumPy's C API.
 */
#include "handle.h"

#include <string.h>

PyObject *arrays;
int suspended;

/* ---- the functions of pygrad/_arrays.py ---- */

static const char *const function_names[FUNCTION_COUNT] = {
    [F_BINARY] = "binary",           [F_COMPARE] = "compare_coded",     [F_CONSTANT] = "with_constant",
    [F_CONTRIBUTIONS] = "contributions", [F_DOT_OF] = "dot_of",         [F_LOGSUMEXP_OF] = "logsumexp_of",
    [F_NDARRAY] = "ndarray",         [F_NO_FLOAT] = "no_float",         [F_ONES] = "ones",
    [F_OWN_GRAD] = "own_grad",
    [F_POWER] = "power",             [F_QUIET] = "quiet",               [F_REPLACEMENT] = "replacement",
    [F_SHOWN] = "shown",             [F_SUM_OF] = "sum_of",             [F_TOWARDS] = "towards",
    [F_UNARY] = "unary"};

/* Borrowed; NULL with an error set. */
PyObject *array_function(enum array_function which) {
    static PyObject *functions[FUNCTION_COUNT];
    if (PG_UNLIKELY(!functions[which])) functions[which] = PyObject_GetAttrString(arrays, function_names[which]);
    return functions[which];
}

PyObject *call_arrays(enum array_function which, PyObject *a, PyObject *b, PyObject *c) {
    PyObject *function = array_function(which);
    return function ? PyObject_CallFunctionObjArgs(function, a, b, c, NULL) : NULL;
}

/* ---- names ---- */

static PyObject *op_names[PG_OP_COUNT]; /* str, by code */
static PyObject *op_codes;              /* {name: code} of those that an elementwise rule shares; leaf and user */
/* Of attributes that are looked up often. With a new str each time, every one would take a place in CPython's cache of
 * methods, and stay there. */
static PyObject *base_name, *enter_name, *exit_name;

static int install_attribute_names(void) {
    if (!base_name) base_name = PyUnicode_InternFromString("base");
    if (!enter_name) enter_name = PyUnicode_InternFromString("__enter__");
    if (!exit_name) exit_name = PyUnicode_InternFromString("__exit__");
    return base_name && enter_name && exit_name ? 0 : -1;
}

int install_names(void) {
    if (op_codes) return 0;
    PyObject *codes = install_attribute_names() == 0 ? PyDict_New() : NULL;
    for (int op = 0; codes && op < PG_OP_COUNT; op++) {
        pg_kind kind = pg_op_describe(op)->kind;
        int shared = op == PG_OP_LEAF || op == PG_OP_USER || kind == PG_KIND_UNARY || kind == PG_KIND_CONSTANT ||
                     kind == PG_KIND_BINARY;
        PyObject *code = PyLong_FromLong(op);
        if (!op_names[op]) op_names[op] = PyUnicode_InternFromString(pg_op_describe(op)->name);
        if (!code || !op_names[op] || (shared && PyDict_SetItem(codes, op_names[op], code) < 0)) Py_CLEAR(codes);
        Py_XDECREF(code);
    }
    op_codes = codes;
    return codes ? 0 : -1;
}

PyObject *op_name(int op) { return op_names[op]; }

/* ---- nodes ---- */

/* What a handle that is traced from its birth holds. */
static traced *hold(handle *self, PyObject *operands) {
    traced *held = PyMem_Malloc(sizeof *held);
    if (!held) {
        (void)PyErr_NoMemory();
        return NULL;
    }
    *held = (traced){.self = self, .operands = operands};
    Py_INCREF(operands);
    self->traced = 1;
    arena->owners[self->id] = held;
    arena->nodes[self->id].flags |= PG_NODE_TRACED | OWNER_IS_TRACED;
    return held;
}

static void keep_array(traced *held, PyObject *data) {
    Py_INCREF(data);
    held->data = data;
    pg_node *node = NODE(held->self);
    node->flags |= PG_NODE_ARRAY;
    node->data = node->grad = NAN;
}

int recorded(void) {
    if (PG_LIKELY(!suspended)) return 1;
    PyObject *answer = PyObject_CallFunctionObjArgs(is_recording, NULL);
    int status = answer ? PyObject_IsTrue(answer) : -1;
    Py_XDECREF(answer);
    return status;
}

static pg_result node_of(PyObject *name, PyObject *operands, double constant, double number) {
    operand_list list;
    PyObject *code = PyDict_GetItemWithError(op_codes, name);
    if (!code && PyErr_Occurred()) return PG_ERR_OP;
    int quick = operands_quick(&list, operands);
    if (quick <= 0) return PG_ERR_OP;
    pg_result made = pg_restore(arena, code ? (int)PyLong_AsLong(code) : PG_OP_ARRAY, list.ids, list.count, constant,
                                number, 0.0);
    operands_drop(&list);
    return made;
}

/* 1 for an ndarray, 0 for anything else, -1 on error. */
static int is_ndarray(PyObject *object) {
    PyObject *type = array_function(F_NDARRAY);
    return type ? (PyObject *)Py_TYPE(object) == type : -1;
}

static int check_record(PyObject *record) {
    if (record == Py_None || (PyTuple_Check(record) && PyTuple_Size(record) == 3)) return 0;
    PyErr_SetString(PyExc_TypeError, "pygrad: a record must be (rule, options, wanted) or None");
    return -1;
}

/* A new handle, traced from its birth, of a new node. data: an ndarray, or what float() takes. */
PyObject *array_node(PyObject *name, PyObject *operands, PyObject *data, PyObject *record, double constant) {
    int is_array = is_ndarray(data);
    PyObject *number = is_array == 0 ? PyNumber_Float(data) : NULL;
    if (is_array < 0 || (!is_array && !number) || check_record(record) < 0) {
        Py_XDECREF(number);
        return NULL;
    }
    handle *self = handle_alloc();
    pg_result made = self ? node_of(name, operands, constant, number ? PyFloat_AsDouble(number) : NAN) : PG_ERR_NOMEM;
    Py_XDECREF(number);
    traced *held = NULL;
    if (made < 0) {
        if (self && !PyErr_Occurred()) (void)raise_status((int)made, PG_OP_ARRAY, 0.0, 0.0);
    } else {
        attach(self, PG_RESULT_ID(made));
        self->initialised = 1;
        held = hold(self, operands);
    }
    if (!held) {
        Py_XDECREF(self);
        return NULL;
    }
    if (is_array) keep_array(held, data);
    if (record != Py_None) {
        Py_INCREF(record);
        held->record = record;
        (void)pg_set_flags(arena, self->id, PG_NODE_HOOK, 0);
    }
    PyObject_GC_Track((PyObject *)self);
    return (PyObject *)self;
}

/* _array_node(name, operands, data, record, constant=nan): see pygrad/_arrays.py */
PyObject *value_array_node(PyObject *unused, PyObject *const *args, Py_ssize_t count) {
    (void)unused;
    if (count < 4 || count > 5 || !PyUnicode_Check(args[0]) || !PyTuple_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "_array_node takes a name, a tuple, data, a record and perhaps a constant");
    double constant = count == 5 ? PyFloat_AsDouble(args[4]) : NAN;
    if (constant == -1.0 && PyErr_Occurred()) return NULL;
    int record_it = recorded();
    if (record_it < 0) return NULL;
    if (record_it) return array_node(args[0], args[1], args[2], args[3], constant);
    PyObject *none = PyTuple_New(0);
    PyObject *leaf = none ? array_node(op_names[PG_OP_LEAF], none, args[2], Py_None, NAN) : NULL;
    Py_XDECREF(none);
    return leaf;
}

/* Of a node just restored: its gradient, as _raw_grad has it. */
int restore_grad(handle *self, PyObject *grad) {
    if (!holds_array((PyObject *)self)) {
        double number = PyFloat_AsDouble(grad);
        if (number == -1.0 && PyErr_Occurred()) return -1;
        NODE(self)->grad = number;
        return 0;
    }
    int is_array = grad == Py_None ? 0 : is_ndarray(grad);
    if (is_array == 0 && grad != Py_None) PyErr_SetString(PyExc_TypeError, "pygrad: a gradient must be an array or None");
    if (PyErr_Occurred()) return -1;
    PyObject *before = traced_of(self)->grad;
    if (is_array) Py_INCREF(grad);
    traced_of(self)->grad = is_array ? grad : NULL;
    Py_XDECREF(before);
    return 0;
}

/* __init__ with an array: of a leaf, or of a user-defined op whose node the handle has already. */
int init_array(handle *self, PyObject *data) {
    if (trace(self) < 0) return -1;
    traced *held = traced_of(self);
    PyObject *before = held->data, *grad = held->grad;
    held->data = held->grad = NULL;
    keep_array(held, data);
    Py_XDECREF(before);
    Py_XDECREF(grad);
    return 0;
}

/* __init__ with a number where an array was. */
void init_number(handle *self) {
    traced *held = traced_of(self);
    PyObject *data = held->data, *grad = held->grad;
    held->data = held->grad = NULL;
    (void)pg_set_flags(arena, self->id, 0, PG_NODE_ARRAY);
    Py_XDECREF(data);
    Py_XDECREF(grad);
}

/* ---- data and gradient ---- */

PyObject *array_data(handle *self) {
    PyObject *data = traced_of(self)->data;
    Py_INCREF(data);
    return data;
}

/* Whether only this node can see the array: it is no view, and nobody else refers to it. */
static int is_fresh(PyObject *array) {
    if (Py_REFCNT(array) != 1) return 0;
    PyObject *base = PyObject_GetAttr(array, base_name);
    int fresh = base == Py_None;
    if (!base) PyErr_Clear();
    Py_XDECREF(base);
    return fresh;
}

PyObject *array_grad(handle *self) {
    traced *held = traced_of(self);
    if (!held->grad || (held->shared && !is_fresh(held->grad))) {
        PyObject *grad = held->grad ? held->grad : Py_None, *data = held->data;
        Py_INCREF(grad);
        Py_INCREF(data);
        PyObject *own = call_arrays(F_OWN_GRAD, grad, data, NULL);
        Py_DECREF(data);
        Py_DECREF(grad);
        if (!own) return NULL;
        PyObject *before = held->grad;
        held->grad = own;
        Py_XDECREF(before);
    }
    held->shared = 0;
    Py_INCREF(held->grad);
    return held->grad;
}

/* As zeros a gradient is not kept at all. */
static int is_zero(PyObject *given) {
    return (PyFloat_CheckExact(given) || PyLong_CheckExact(given)) && PyObject_IsTrue(given) == 0;
}

static int replace_array(handle *self, PyObject *given, int grad) {
    PyObject *what = PyUnicode_FromString(grad ? "grad" : "data"), *data = array_data(self);
    PyObject *array = what ? call_arrays(F_REPLACEMENT, given, data, what) : NULL;
    Py_XDECREF(what);
    Py_DECREF(data);
    if (!array) return -1;
    traced *held = traced_of(self);
    PyObject **place = grad ? &held->grad : &held->data, *before = *place;
    if (array == Py_None) Py_CLEAR(array); /* a gradient of zeros */
    *place = array;
    if (grad) held->shared = 0;
    Py_XDECREF(before);
    return 0;
}

int set_array(handle *self, PyObject *given, int grad) {
    traced *held = traced_of(self);
    if (given == (grad ? held->grad : held->data)) return 0; /* after p.data -= ... */
    if (!grad || !is_zero(given)) return replace_array(self, given, grad);
    PyObject *before = held->grad;
    held->grad = NULL;
    held->shared = 0;
    Py_XDECREF(before);
    return 0;
}

PyObject *get_raw_grad(PyObject *self, void *unused) {
    (void)unused;
    if (!holds_array(self)) return PyFloat_FromDouble(NODE(self)->grad);
    PyObject *grad = traced_of((handle *)self)->grad;
    if (!grad) Py_RETURN_NONE;
    Py_INCREF(grad);
    return grad;
}

PyObject *get_record(PyObject *self, void *unused) {
    (void)unused;
    const traced *held = traced_of((handle *)self);
    PyObject *record = held && held->record ? held->record : Py_None;
    Py_INCREF(record);
    return record;
}

PyObject *value_suspend(PyObject *unused, PyObject *count) {
    (void)unused;
    long number = PyLong_AsLong(count);
    if (number == -1 && PyErr_Occurred()) return NULL;
    suspended = number > 0;
    Py_RETURN_NONE;
}

/* ---- entries ----
 *
 * A mapping's slots, not a sequence's: so to NumPy a scalar Value is an object like any other, and an array of many of them
 * is made without asking each for its length.
 */

Py_ssize_t value_length(PyObject *self) {
    if (holds_array(self)) return PyObject_Size(traced_of((handle *)self)->data);
    PyErr_SetString(PyExc_TypeError, "len() of a scalar Value: it has no axes");
    return -1;
}

PyObject *value_subscript(PyObject *self, PyObject *key) { return PyObject_CallFunctionObjArgs(getitem, self, key, NULL); }

/* __array__, which only array Values have. */
PyObject *get_conversion(PyObject *self, void *unused) {
    (void)unused;
    if (holds_array(self)) return PyObject_CallFunctionObjArgs(conversion, self, NULL);
    PyErr_SetString(PyExc_AttributeError, "a scalar Value has no __array__");
    return NULL;
}

/* ---- the reverse sweep ---- */

static int log_grad(sweep_log *log, handle *self) {
    if (log->count == log->capacity) {
        size_t capacity = log->capacity ? 2 * log->capacity : 64;
        logged_grad *entries = PyMem_Realloc(log->entries, capacity * sizeof *entries);
        if (!entries) {
            (void)PyErr_NoMemory();
            return -1;
        }
        log->entries = entries;
        log->capacity = capacity;
    }
    traced *held = traced_of(self);
    Py_INCREF(self);
    log->entries[log->count++] = (logged_grad){self, held->grad, held->shared};
    held->grad = NULL; /* the log has it now */
    return 0;
}

/* Before the first closure of a sweep: it may change any gradient, and then fail. Who reads one gets a copy. */
int log_everything(sweep_log *log, pg_sweep *sweep) {
    uint64_t position = 0;
    for (pg_id id; !log->everything && (id = pg_sweep_array(sweep, &position)) != PG_NONE;) {
        PyObject *owner = handle_of(id);
        traced *held = owner ? traced_of((handle *)owner) : NULL;
        PyObject *grad = held ? held->grad : NULL;
        int status = held ? log_grad(log, (handle *)owner) : owner ? 0 : -1;
        if (held && status == 0) {
            Py_XINCREF(grad);
            held->grad = grad;
            held->shared = grad != NULL;
        }
        Py_XDECREF(owner);
        if (status < 0) return -1;
    }
    log->everything = 1;
    return 0;
}

/* grad: a new reference, which becomes the gradient. */
static int put_grad(sweep_log *log, handle *self, PyObject *grad, int shared) {
    if (!grad || log_grad(log, self) < 0) {
        Py_XDECREF(grad);
        return -1;
    }
    traced *held = traced_of(self);
    held->grad = grad;
    held->shared = (uint8_t)shared;
    return 0;
}

int start_root(sweep_log *log, handle *root, PyObject *seed) {
    if (seed) {
        Py_INCREF(seed);
        return put_grad(log, root, seed, 1);
    }
    PyObject *data = array_data(root);
    PyObject *one = call_arrays(F_ONES, data, NULL, NULL);
    Py_DECREF(data);
    return put_grad(log, root, one, 0);
}

int set_grads_aside(sweep_log *log) {
    int status = 0;
    uint64_t position = 0;
    for (pg_id id; status == 0 && (id = pg_sweep_array(log->towards, &position)) != PG_NONE;) {
        PyObject *owner = handle_of(id);
        status = owner ? log_grad(log, (handle *)owner) : -1;
        Py_XDECREF(owner);
    }
    return status;
}

static int accumulate(sweep_log *log, PyObject *operand, PyObject *c) {
    if (!holds_array(operand)) {
        double number = PyFloat_AsDouble(c);
        if (number == -1.0 && PyErr_Occurred()) return -1;
        NODE(operand)->grad += number;
        return 0;
    }
    PyObject *before = traced_of((handle *)operand)->grad;
    if (!before) {
        Py_INCREF(c);
        return put_grad(log, (handle *)operand, c, 1);
    }
    Py_INCREF(before);
    PyObject *sum = PyNumber_Add(before, c);
    Py_DECREF(before);
    return put_grad(log, (handle *)operand, sum, 0);
}

int be_quiet(sweep_log *log) {
    if (log->quiet) return 0;
    PyObject *quiet = call_arrays(F_QUIET, NULL, NULL, NULL);
    PyObject *entered = quiet ? PyObject_CallMethodObjArgs(quiet, enter_name, NULL) : NULL;
    Py_XDECREF(entered);
    if (!entered) Py_CLEAR(quiet);
    log->quiet = quiet;
    return quiet ? 0 : -1;
}

int be_loud(sweep_log *log) {
    PyObject *type, *value, *traceback, *quiet = log->quiet;
    if (!quiet) return 0;
    log->quiet = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *left = PyObject_CallMethodObjArgs(quiet, exit_name, Py_None, Py_None, Py_None, NULL);
    Py_DECREF(quiet);
    int status = left || type ? 0 : -1;
    Py_XDECREF(left);
    if (status == 0) PyErr_Restore(type, value, traceback);
    return status;
}

static PyObject *number_or(handle *self, PyObject *array, double number) {
    if (!holds_array((PyObject *)self)) return PyFloat_FromDouble(number);
    if (!array) array = Py_None;
    Py_INCREF(array);
    return array;
}

static int add_parts(sweep_log *log, PyObject *operands, PyObject *parts) {
    Py_ssize_t count = PySequence_Size(parts);
    int status = count == PyTuple_Size(operands) ? 0 : -1;
    if (count >= 0 && status < 0) PyErr_SetString(PyExc_RuntimeError, "pygrad: a rule must give one part an operand");
    for (Py_ssize_t i = 0; status == 0 && i < count; i++) {
        PyObject *c = PySequence_GetItem(parts, i);
        status = !c ? -1 : c == Py_None ? 0 : accumulate(log, PyTuple_GetItem(operands, i), c);
        Py_XDECREF(c);
    }
    return status;
}

/* What many numbers were packed into hands its whole gradient on to them, and has none any more: parts holds a double for
 * each (pygrad/_packed.py). */
static int hand_on(sweep_log *log, handle *self, PyObject *parts) {
    size_t n = (size_t)PyBytes_Size(parts) / sizeof(double);
    /* bytes begin where a double may: behind the header of an object that malloc aligned */
    const double *numbers = (const double *)(const void *)PyBytes_AsString(parts);
    if (log_grad(log, self) < 0) return -1;
    pg_result status = pg_add_to_operands(arena, self->id, numbers, n);
    return status < 0 ? (raise_status((int)status, PG_OP_ARRAY, 0.0, 0.0), -1) : 0;
}

/* A new tuple of bools: which operands lead to what the sweep is towards. */
static PyObject *needed(pg_sweep *sweep, PyObject *operands) {
    Py_ssize_t count = PyTuple_Size(operands);
    PyObject *flags = PyTuple_New(count);
    for (Py_ssize_t i = 0; flags && i < count; i++)
        if (PyTuple_SetItem(flags, i, PyBool_FromLong(pg_sweep_needs(sweep, ID(PyTuple_GetItem(operands, i))))) < 0)
            Py_CLEAR(flags);
    return flags;
}

/* The record of a rule's node, for log->towards without the operands that lead nowhere. */
static PyObject *record_of(const sweep_log *log, PyObject *record, PyObject *operands) {
    if (PG_LIKELY(!log->towards)) {
        Py_INCREF(record);
        return record;
    }
    PyObject *flags = needed(log->towards, operands);
    PyObject *narrowed = flags ? call_arrays(F_TOWARDS, record, flags, NULL) : NULL;
    Py_XDECREF(flags);
    return narrowed;
}

/* The derivative step of a node that a rule computed. */
int rule_step(sweep_log *log, handle *self) {
    traced *held = traced_of(self);
    PyObject *operands = held->operands, *function = array_function(F_CONTRIBUTIONS);
    if (!function || be_quiet(log) < 0) return -1;
    Py_INCREF(operands);
    PyObject *record = record_of(log, held->record, operands);
    if (!record) {
        Py_DECREF(operands);
        return -1;
    }
    held->shared = 1; /* operands may get the gradient's very array, or views of it */
    PyObject *z = number_or(self, held->data, NODE(self)->data), *g = number_or(self, held->grad, NODE(self)->grad);
    PyObject *parts = z && g ? PyObject_CallFunctionObjArgs(function, record, operands, z, g, NULL) : NULL;
    Py_XDECREF(z);
    Py_XDECREF(g);
    int status = !parts ? -1 : PyBytes_Check(parts) ? hand_on(log, self, parts) : add_parts(log, operands, parts);
    Py_XDECREF(parts);
    Py_DECREF(operands);
    Py_DECREF(record);
    return status;
}

int end_log(sweep_log *log, int status) {
    PyObject *type, *value, *traceback;
    if (be_loud(log) < 0) status = -1;
    PyErr_Fetch(&type, &value, &traceback);
    while (log->count > 0) {
        logged_grad *entry = &log->entries[--log->count];
        PyObject *drop = entry->grad;
        traced *held = traced_of(entry->self);
        if (status < 0 && held && holds_array((PyObject *)entry->self)) {
            drop = held->grad;
            held->grad = entry->grad;
            held->shared = entry->shared;
        }
        handle *self = entry->self;
        Py_XDECREF(drop);
        Py_DECREF(self);
    }
    PyMem_Free(log->entries);
    PyErr_Restore(type, value, traceback);
    return status;
}

/* _backward() of such a node. Others may hold its gradient, and change it later: the operands get a copy. */
int own_rule_step(handle *self) {
    sweep_log log = {.count = 0};
    traced *held = traced_of(self);
    PyObject *operands = held->operands, *kept = held->grad, *copy = NULL;
    uint8_t shared = held->shared;
    if (kept) {
        Py_INCREF(kept);
        copy = call_arrays(F_OWN_GRAD, kept, held->data, NULL);
        if (!copy) {
            Py_DECREF(kept);
            return -1;
        }
    }
    Py_ssize_t n = PyTuple_Size(operands);
    double *before = PyMem_Malloc((size_t)(n + 1) * sizeof *before); /* of scalar operands, which no sweep puts back here */
    if (!before) {
        Py_XDECREF(copy);
        Py_XDECREF(kept);
        return PyErr_NoMemory() ? 0 : -1;
    }
    if (copy) {
        Py_INCREF(copy);
        held->grad = copy;
        Py_DECREF(kept); /* held->grad's; this function's own is left */
    }
    Py_INCREF(operands);
    for (Py_ssize_t i = 0; i < n; i++) before[i] = NODE(PyTuple_GetItem(operands, i))->grad;
    int status = rule_step(&log, self);
    status = end_log(&log, status);
    for (Py_ssize_t i = 0; status < 0 && i < n; i++) NODE(PyTuple_GetItem(operands, i))->grad = before[i];
    PyMem_Free(before);
    Py_DECREF(operands);
    if (copy && held->grad == copy) { /* packed numbers hand all of it on */
        held->grad = kept;
        held->shared = shared;
        kept = copy;
    }
    Py_XDECREF(kept);
    Py_XDECREF(copy);
    return status;
}

PyObject *value_accumulate(PyObject *self, PyObject *c) {
    sweep_log log = {.count = 0};
    int fits = holds_array(self) ? is_ndarray(c) : 1;
    if (fits == 0) PyErr_SetString(PyExc_TypeError, "_accumulate: an array Value takes an array");
    if (fits <= 0) return NULL;
    int status = accumulate(&log, self, c);
    if (end_log(&log, status) < 0) return NULL;
    Py_RETURN_NONE;
}
