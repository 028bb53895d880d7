/* value.c: the native `Value`: the type, its operators and methods, backward(), and how it is installed.
 *
 * What a handle is stands in handle.h. One operator call makes one node; all formulas come from ops.h.
 */
#include "handle.h"
/* after Python.h */
#include <structmember.h>

#include "native.h"

/* ---- operations ---- */

/* An op on an array: of two operands if there is a y. */
static PyObject *of_array(int op, PyObject *x, PyObject *y) {
    if (op == PG_OP_POW) return call_arrays(F_POWER, x, y, NULL);
    return y ? call_arrays(F_BINARY, op_name(op), x, y) : call_arrays(F_UNARY, op_name(op), x, NULL);
}

static PyObject *of_array_and_number(int op, PyObject *x, double number, int left) {
    PyObject *y = PyFloat_FromDouble(number), *result = NULL;
    if (y && pg_op_describe(op)->kind == PG_KIND_CONSTANT) result = call_arrays(F_CONSTANT, op_name(op), x, y);
    else if (y) result = left ? of_array(op, y, x) : of_array(op, x, y);
    Py_XDECREF(y);
    return result;
}

/* While a function is recorded, of operands for which the op has no value: inf or nan. Arguments as failed's. */
static PyObject *without_error(int op, PyObject *x, PyObject *y, double number, int left) {
    pg_id known = ID(x), other = y ? ID(y) : PG_NONE;
    pg_result made = left ? pg_ieee(arena, op, other, known, number) : pg_ieee(arena, op, known, other, number);
    return made >= 0 ? wrap(made) : raise_status((int)made, op, 0.0, 0.0);
}

/* y NULL: a number, or for a unary op (given) nothing. */
static PyObject *failed(pg_result status, int op, PyObject *x, PyObject *y, double number, int left) {
    if (status == PG_ERR_ARRAY) {
        int alone = pg_op_describe(op)->kind == PG_KIND_UNARY;
        return y || alone ? of_array(op, x, y) : of_array_and_number(op, x, number, left);
    }
    if (PG_UNLIKELY(tracing) && status <= PG_ERR_ZERO_DIVISION && status >= PG_ERR_COMPLEX) {
        int here = traced_here();
        if (here < 0) return NULL;
        if (here) return without_error(op, x, y, number, left);
    }
    double dx = x ? NODE(x)->data : 0.0, dy = y ? NODE(y)->data : number;
    return left ? raise_status((int)status, op, dy, dx) : raise_status((int)status, op, dx, dy);
}

PG_INLINE PyObject *unary(int op, PyObject *x) {
    pg_result made = pg_apply_unary(arena, op, ID(x));
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, 0.0, 0);
}

PG_INLINE PyObject *with_constant(int op, PyObject *x, double k) {
    pg_result made = pg_apply_number(arena, op, ID(x), k, 0, 1);
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, k, 0);
}

PG_INLINE PyObject *with_number(int op, PyObject *x, double number, int left) {
    pg_result made = pg_apply_number(arena, op, ID(x), number, left, 0);
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, NULL, number, left);
}

PG_INLINE PyObject *of_values(int op, PyObject *x, PyObject *y) {
    pg_result made = pg_apply_binary(arena, op, ID(x), ID(y));
    return PG_LIKELY(made >= 0) ? wrap(made) : failed(made, op, x, y, 0.0, 0);
}

/* Whether an operand, no Value, is for the rules of arrays to convert: it stands beside an array, and is no plain number. */
PG_INLINE int is_for_array(PyObject *value, PyObject *operand) {
    return !PyFloat_CheckExact(operand) && holds_array(value) && !PyLong_CheckExact(operand);
}

/* A number slot: at least one of x and y is a Value. */
PG_INLINE PyObject *binary(int op, PyObject *x, PyObject *y) {
    double number;
    if (PG_LIKELY(is_value(x))) {
        if (PG_LIKELY(is_value(y))) return of_values(op, x, y);
        if (is_for_array(x, y)) return of_array(op, x, y);
        int known = operand_number(y, &number);
        if (PG_LIKELY(known > 0)) return with_number(op, x, number, 0);
        if (known < 0) return NULL;
    } else {
        if (is_for_array(y, x)) return of_array(op, x, y);
        int known = operand_number(x, &number);
        if (PG_LIKELY(known > 0)) return with_number(op, y, number, 1);
        if (known < 0) return NULL;
    }
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *power(PyObject *x, PyObject *y) {
    double exponent;
    if (!is_value(x) || is_value(y)) return binary(PG_OP_POW, x, y);
    if (is_for_array(x, y)) return of_array(PG_OP_POW, x, y);
    int known = operand_number(y, &exponent);
    if (known > 0) return with_constant(PG_OP_POW_CONST, x, exponent);
    if (known < 0) return NULL;
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *slot_power(PyObject *x, PyObject *y, PyObject *modulus) {
    if (modulus == Py_None) return power(x, y);
    Py_INCREF(Py_NotImplemented);
    return Py_NotImplemented;
}

static PyObject *slot_add(PyObject *x, PyObject *y) { return binary(PG_OP_ADD, x, y); }
static PyObject *slot_sub(PyObject *x, PyObject *y) { return binary(PG_OP_SUB, x, y); }
static PyObject *slot_mul(PyObject *x, PyObject *y) { return binary(PG_OP_MUL, x, y); }
static PyObject *slot_div(PyObject *x, PyObject *y) { return binary(PG_OP_DIV, x, y); }
static PyObject *slot_neg(PyObject *x) { return unary(PG_OP_NEG, x); }
static PyObject *slot_abs(PyObject *x) { return unary(PG_OP_ABS, x); }

static PyObject *slot_float(PyObject *x) {
    if (refused(x, "float()")) return NULL;
    return PG_UNLIKELY(holds_array(x)) ? call_arrays(F_NO_FLOAT, x, NULL, NULL) : PyFloat_FromDouble(NODE(x)->data);
}

/* As in micrograd; without this, len() would decide. */
static int slot_bool(PyObject *x) {
    (void)x;
    return 1;
}

static PyObject *slot_pos(PyObject *x) {
    Py_INCREF(x);
    return x;
}

/* Methods, one a row of the table. ORDER OP: all from ops.h */
#define PG_METHOD_S(code, ID_, name, symbol)
#define PG_METHOD_U(code, ID_, name, symbol, doc, STATUS, VALUE, DX) \
    static PyObject *method_##ID_(PyObject *self, PyObject *unused) { \
        (void)unused;                                                 \
        return unary(PG_OP_##ID_, self);                              \
    }
#define PG_METHOD_K(code, ID_, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)             \
    static PyObject *method_##ID_(PyObject *self, PyObject *args, PyObject *kwargs) {               \
        static char *keywords[] = {constant, NULL};                                                 \
        PyObject *given = NULL;                                                                     \
        double k = DEFAULT;                                                                         \
        if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:" name, keywords, &given)) return NULL;  \
        if (given && to_double(given, constant, &k) < 0) return NULL;                               \
        return with_constant(PG_OP_##ID_, self, k);                                                 \
    }
#define PG_METHOD_B(code, ID_, name, symbol, doc, STATUS, VALUE, DX, DY)    \
    static PyObject *method_##ID_(PyObject *self, PyObject *other) {        \
        PyObject *result = code == PG_OP_POW ? power(self, other) : binary(PG_OP_##ID_, self, other); \
        return checked(result, name, other);                                \
    }
#define PG_METHOD_N(code, ID_, name, symbol, doc, TERM, DX, DY)
#define PG_METHOD_R(code, ID_, name, symbol, doc, TERM, VALUE, DX)
PG_OP_TABLE(PG_METHOD_S, PG_METHOD_U, PG_METHOD_K, PG_METHOD_B, PG_METHOD_N, PG_METHOD_R)

/* ---- reverse mode ---- */

static int call_closure(PyObject *hook, sweep_log *log, pg_sweep *sweep) {
    Py_INCREF(hook);
    int ready = be_loud(log) == 0 && log_everything(log, sweep) == 0;
    PyObject *result = ready ? PyObject_CallFunctionObjArgs(hook, NULL) : NULL;
    Py_DECREF(hook);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static int call_hook(pg_id id, sweep_log *log, pg_sweep *sweep) {
    PyObject *owner = handle_of(id);
    if (!owner) return -1;
    const traced *held = traced_of((handle *)owner);
    int status = 0;
    if (PG_UNLIKELY(held && held->hook)) status = call_closure(held->hook, log, sweep);
    else if (held && held->record) status = rule_step(log, (handle *)owner);
    Py_DECREF(owner);
    return status;
}

static PyObject *value_backward(PyObject *self, PyObject *unused) {
    (void)unused;
    int status;
    if (refused(Py_None, "backward()")) return NULL;
    pg_sweep *sweep = pg_sweep_new(arena, ID(self), &status);
    if (!sweep) return raise_status(status, PG_OP_LEAF, 0.0, 0.0);
    sweep_log log = {.count = 0};
    status = PG_UNLIKELY(holds_array(self)) ? start_root(&log, (handle *)self, NULL) : 0;
    for (pg_id id; status == 0 && (id = pg_sweep_run(sweep)) != PG_NONE;) status = call_hook(id, &log, sweep);
    if (PG_UNLIKELY(log.entries || log.quiet)) status = end_log(&log, status);
    arena->unpinned |= (pg_sweep_end(sweep, status < 0) & PG_AFTER_UNPINNED) != 0;
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
    if (status < 0) return NULL;
    Py_RETURN_NONE;
}

/* The gradient that a sweep gave a Value, a float or an array of its own; None if the root does not depend on it. */
static PyObject *found_grad(PyObject *value, int used) {
    if (used) return holds_array(value) ? array_grad((handle *)value) : PyFloat_FromDouble(NODE(value)->grad);
    Py_RETURN_NONE;
}

static PyObject *found_grads(PyObject *inputs, const unsigned char *used) {
    Py_ssize_t count = PyTuple_Size(inputs);
    PyObject *grads = PyList_New(count);
    for (Py_ssize_t i = 0; grads && i < count; i++) {
        PyObject *grad = found_grad(PyTuple_GetItem(inputs, i), used[i]);
        if (!grad || PyList_SetItem(grads, i, grad) < 0) Py_CLEAR(grads);
    }
    return grads;
}

static pg_sweep *sweep_towards(PyObject *root, PyObject *inputs, unsigned char *used) {
    operand_list list;
    int status, quick = operands_quick(&list, inputs);
    if (quick == 0) PyErr_SetString(PyExc_TypeError, "_gradients: inputs must be Values");
    if (quick <= 0) return NULL;
    pg_sweep *sweep = pg_sweep_towards(arena, ID(root), list.ids, list.count, used, &status);
    operands_drop(&list);
    if (!sweep) (void)raise_status(status, PG_OP_LEAF, 0.0, 0.0);
    return sweep;
}

static void end_towards(pg_sweep *sweep) {
    arena->unpinned |= (pg_sweep_end(sweep, 1) & PG_AFTER_UNPINNED) != 0;
    if (PG_UNLIKELY(arena->limbo != PG_NONE || arena->unpinned)) settle();
}

/* _gradients(root, seed, inputs): see pygrad/derivatives.py */
static PyObject *value_gradients(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *root, *seed, *inputs, *grads = NULL;
    if (!PyArg_ParseTuple(args, "O!OO!:_gradients", value_type, &root, &seed, &PyTuple_Type, &inputs)) return NULL;
    if (refused(Py_None, "a derivative")) return NULL;
    unsigned char *used = PyMem_Malloc((size_t)PyTuple_Size(inputs) + 1);
    if (!used) return PyErr_NoMemory();
    sweep_log log = {.towards = sweep_towards(root, inputs, used)};
    if (log.towards) {
        int status = set_grads_aside(&log);
        if (!holds_array(root)) NODE(root)->grad = PyFloat_AsDouble(seed);
        else if (status == 0) status = start_root(&log, (handle *)root, seed);
        if (PyErr_Occurred()) status = -1;
        for (pg_id id; status == 0 && (id = pg_sweep_run(log.towards)) != PG_NONE;) status = call_hook(id, &log, log.towards);
        if (status == 0) grads = found_grads(inputs, used);
        (void)end_log(&log, -1); /* all is as before, whether it went well or not */
        end_towards(log.towards);
        if (PyErr_Occurred()) Py_CLEAR(grads);
    }
    PyMem_Free(used);
    return grads;
}

static PyObject *handles_of(const pg_id *ids, size_t count) {
    PyObject *values = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; values && i < count; i++) {
        PyObject *value = handle_of(ids[i]);
        if (!value || PyList_SetItem(values, (Py_ssize_t)i, value) < 0) Py_CLEAR(values);
    }
    return values;
}

/* _leading(root, inputs): see pygrad/_gradient_graph.py */
static PyObject *value_leading(PyObject *unused, PyObject *args) {
    (void)unused;
    PyObject *root, *inputs, *result = NULL;
    if (!PyArg_ParseTuple(args, "O!O!:_leading", value_type, &root, &PyTuple_Type, &inputs)) return NULL;
    size_t n = (size_t)PyTuple_Size(inputs), count = 0;
    unsigned char *used = PyMem_Malloc(n + 1);
    pg_sweep *sweep = used ? sweep_towards(root, inputs, used) : NULL;
    pg_id *ids = NULL;
    if (sweep) {
        count = pg_sweep_nodes(sweep, NULL, 0);
        ids = PyMem_Malloc((count + 1) * sizeof *ids);
        if (ids) (void)pg_sweep_nodes(sweep, ids, count);
        end_towards(sweep); /* before handles are made: that may run the collector, and with it other code */
    }
    if (!PyErr_Occurred() && (!used || !ids)) (void)PyErr_NoMemory();
    PyObject *steps = ids ? handles_of(ids, count) : NULL;
    if (steps) result = Py_BuildValue("Ny#", steps, (const char *)used, (Py_ssize_t)n);
    PyMem_Free(ids);
    PyMem_Free(used);
    return result;
}

/* ---- the rest of the object ---- */

static PyObject *value_stats(PyObject *unused, PyObject *unused2) {
    (void)unused, (void)unused2;
    pg_stats stats;
    pg_arena_stats(arena, &stats);
    return Py_BuildValue("KK", (unsigned long long)stats.live, (unsigned long long)stats.bytes);
}

static PyObject *value_trim(PyObject *unused, PyObject *unused2) {
    (void)unused, (void)unused2;
    pg_arena_trim(arena);
    Py_RETURN_NONE;
}

static PyObject *value_repr(PyObject *self) {
    if (PG_UNLIKELY(tracing)) {
        int here = traced_here();
        if (here != 0) return here < 0 ? NULL : PyUnicode_FromString("Value(recorded)");
    }
    if (PG_UNLIKELY(holds_array(self))) return call_arrays(F_SHOWN, self, NULL, NULL);
    PyObject *data = PyFloat_FromDouble(NODE(self)->data), *grad = PyFloat_FromDouble(NODE(self)->grad);
    PyObject *repr = data && grad ? PyUnicode_FromFormat("Value(data=%R, grad=%R)", data, grad) : NULL;
    Py_XDECREF(data);
    Py_XDECREF(grad);
    return repr;
}

static Py_hash_t value_hash(PyObject *self) {
    uintptr_t address = (uintptr_t)self;
    Py_hash_t hash = (Py_hash_t)((address >> 4) | (address << (8 * sizeof address - 4)));
    return hash == -1 ? -2 : hash;
}

/* == and != are identity; the order is that of data. */
static PyObject *value_compare(PyObject *self, PyObject *other, int comparison) {
    double y;
    int known = comparison != Py_EQ && comparison != Py_NE;
    if (known) {
        if (refused(self, "a comparison") || (is_value(other) && refused(other, "a comparison"))) return NULL;
        if (PG_UNLIKELY(holds_array(self) || (is_value(other) && holds_array(other)))) {
            PyObject *code = PyLong_FromLong(comparison);
            PyObject *result = code ? call_arrays(F_COMPARE, self, other, code) : NULL;
            Py_XDECREF(code);
            return result;
        }
        if (is_value(other)) {
            y = NODE(other)->data;
        } else {
            known = operand_number(other, &y);
            if (known < 0) return NULL;
        }
    }
    if (!known) {
        Py_INCREF(Py_NotImplemented);
        return Py_NotImplemented;
    }
    double x = NODE(self)->data; /* now: a conversion may have run Python code */
    int truth = comparison == Py_LT ? x < y : comparison == Py_LE ? x <= y : comparison == Py_GT ? x > y : x >= y;
    return PyBool_FromLong(truth);
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(handle, weakrefs), READONLY, NULL}, {NULL, 0, 0, 0, NULL}};

#define PG_DEF_S(code, ID_, name, symbol)
#define PG_DEF_U(code, ID_, name, symbol, doc, STATUS, VALUE, DX) \
    {name, method_##ID_, METH_NOARGS, name "($self, /)\n--\n\n" doc},
#define PG_DEF_K(code, ID_, name, symbol, doc, constant, DEFAULT, STATUS, VALUE, DX)   \
    {name, (PyCFunction)(void (*)(void))method_##ID_, METH_VARARGS | METH_KEYWORDS, \
     name "($self, " constant "=" #DEFAULT ")\n--\n\n" doc},
#define PG_DEF_B(code, ID_, name, symbol, doc, STATUS, VALUE, DX, DY) \
    {name, method_##ID_, METH_O, name "($self, other, /)\n--\n\n" doc ", x this Value and y the other."},
#define PG_DEF_N(code, ID_, name, symbol, doc, TERM, DX, DY)
#define PG_DEF_R(code, ID_, name, symbol, doc, TERM, VALUE, DX)
static PyMethodDef methods[] = {
    PG_OP_TABLE(PG_DEF_S, PG_DEF_U, PG_DEF_K, PG_DEF_B, PG_DEF_N, PG_DEF_R)
    {"sum", value_sum, METH_O | METH_STATIC, "sum(values, /)\n--\n\nx0 + x1 + ..., left to right, as one node."},
    {"logsumexp", value_logsumexp, METH_O | METH_STATIC,
     "logsumexp(values, /)\n--\n\nlog(e ** x0 + e ** x1 + ...), without overflow, as one node."},
    {"dot", (PyCFunction)(void (*)(void))value_dot, METH_FASTCALL | METH_KEYWORDS | METH_STATIC,
     "dot(weights, inputs, bias=None)\n--\n\nbias + w0 * x0 + w1 * x1 + ..., left to right, as one node."},
    {"backward", value_backward, METH_NOARGS,
     "backward($self, /)\n--\n\n"
     "Sets this node's gradient to 1 and adds to the gradient of every node it depends on.\n\n"
     "Of an array Value every entry's is set: the gradients are those of the sum of its entries."},
    {"_gradients", value_gradients, METH_VARARGS | METH_STATIC, NULL},
    {"_leading", value_leading, METH_VARARGS | METH_STATIC, NULL},
    {"_as_operands", value_operands, METH_VARARGS | METH_STATIC, NULL},
    {"_layers", value_layers, METH_O | METH_STATIC, NULL},
    {"_state", value_state, METH_NOARGS, NULL},
    {"_restore", value_restore, METH_VARARGS | METH_STATIC, NULL},
    {"_stats", value_stats, METH_NOARGS | METH_STATIC, NULL},
    {"_ids", value_ids, METH_O | METH_STATIC, NULL},
    {"_get", value_get, METH_VARARGS | METH_STATIC, NULL},
    {"_put", value_put, METH_VARARGS | METH_STATIC, NULL},
    {"_zero_grads", value_zero_grads, METH_O | METH_STATIC, NULL},
    {"_grad_norm", value_grad_norm, METH_O | METH_STATIC, NULL},
    {"_scale_grads", value_scale_grads, METH_VARARGS | METH_STATIC, NULL},
    {"_clamp_grads", value_clamp_grads, METH_VARARGS | METH_STATIC, NULL},
    {"_optimise", value_optimise, METH_VARARGS | METH_STATIC, NULL},
    {"_optimise_arrays", value_optimise_arrays, METH_VARARGS | METH_STATIC, NULL},
    {"_trim", value_trim, METH_NOARGS | METH_STATIC, NULL},
    {"_array_node", (PyCFunction)(void (*)(void))value_array_node, METH_FASTCALL | METH_STATIC, NULL},
    {"_accumulate", value_accumulate, METH_O, NULL},
    {"_trace", value_trace, METH_O | METH_STATIC, NULL},
    {"_births", value_births, METH_NOARGS | METH_STATIC, NULL},
    {"_depends", value_depends, METH_O, NULL},
    {"_listing", value_listing, METH_VARARGS | METH_STATIC, NULL},
    {"_suspend", value_suspend, METH_O | METH_STATIC, NULL},
    {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Value(data, _children=(), _op='', label='')\n--\n\n"
                "A number, or a whole array, that remembers how it was computed, and its gradient.\n\n"
                "See pygrad.reference.Value, which this type equals to the last bit."},
    {Py_tp_new, (void *)(uintptr_t)value_new},
    {Py_tp_init, (void *)(uintptr_t)value_init},
    {Py_tp_dealloc, (void *)(uintptr_t)value_dealloc},
    {Py_tp_traverse, (void *)(uintptr_t)value_traverse},
    {Py_tp_clear, (void *)(uintptr_t)value_clear},
    {Py_tp_repr, (void *)(uintptr_t)value_repr},
    {Py_tp_hash, (void *)(uintptr_t)value_hash},
    {Py_tp_richcompare, (void *)(uintptr_t)value_compare},
    {Py_nb_add, (void *)(uintptr_t)slot_add},
    {Py_nb_subtract, (void *)(uintptr_t)slot_sub},
    {Py_nb_multiply, (void *)(uintptr_t)slot_mul},
    {Py_nb_true_divide, (void *)(uintptr_t)slot_div},
    {Py_nb_power, (void *)(uintptr_t)slot_power},
    {Py_nb_negative, (void *)(uintptr_t)slot_neg},
    {Py_nb_positive, (void *)(uintptr_t)slot_pos},
    {Py_nb_absolute, (void *)(uintptr_t)slot_abs},
    {Py_nb_float, (void *)(uintptr_t)slot_float},
    {Py_nb_bool, (void *)(uintptr_t)slot_bool},
    {Py_mp_length, (void *)(uintptr_t)value_length},
    {Py_mp_subscript, (void *)(uintptr_t)value_subscript},
    {Py_tp_getset, value_getset},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL}};

static PyType_Spec spec = {"pygrad.engine.Value", (int)sizeof(handle), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

/* Makes the arena and the type, and sets module.Value. */
static int install(PyObject *module) {
    static const struct {
        const char *name;
        PyObject **where;
    } wanted[] = {{"arrays", &arrays},
                  {"as_data", &as_data},
                  {"as_float", &as_float},
                  {"is_recording", &is_recording},
                  {"getitem", &getitem},
                  {"conversion", &conversion},
                  {"operand_float", &operand_float},
                  {"op_error", &op_error},
                  {"op_symbol", &op_symbol},
                  {"bad_operand", &bad_operand},
                  {"bad_hook", &bad_hook},
                  {"as_children", &as_children},
                  {"bad_init", &bad_init},
                  {"text", &text},
                  {"looked", &looked},
                  {"is_tracing", &is_tracing},
                  {"changed", &changed}};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (!*wanted[i].where && !(*wanted[i].where = PyObject_GetAttrString(module, wanted[i].name))) return -1;
    if (install_names() < 0) return -1;
    if (!notes && !(notes = PyDict_New())) return -1;
    if (!pins && !(pins = PyDict_New())) return -1;
    if (!arena && !(arena = pg_arena_new(0))) {
        (void)PyErr_NoMemory();
        return -1;
    }
    if (!value_type && !(value_type = (PyTypeObject *)PyType_FromSpec(&spec))) return -1;
    return PyObject_SetAttrString(module, "Value", (PyObject *)value_type);
}

int pg_python_install(uintptr_t module) {
    PyGILState_STATE gil = PyGILState_Ensure();
    int status = install((PyObject *)module);
    if (status < 0) PyErr_WriteUnraisable((PyObject *)module);
    PyGILState_Release(gil);
    return status;
}
