/* value_making.c: how a Value comes to be other than by an operation: constructed, or put together from what was saved.
 */
#include "handle.h"

#include <string.h>

/* ---- construction ---- */

static handle *subtype_alloc(PyTypeObject *type) {
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    handle *self = (handle *)alloc(type, 0);
    if (self) self->subtype = 1;
    return self;
}

PyObject *value_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    handle *self = PG_LIKELY(type == value_type) ? handle_alloc() : subtype_alloc(type);
    if (!self) return NULL;
    pg_id id = pg_leaf_node(arena, 0.0);
    if (PG_UNLIKELY(id == PG_NONE)) {
        Py_DECREF(self);
        return raise_status(pg_take_error(arena), PG_OP_LEAF, 0.0, 0.0);
    }
    attach(self, id);
    return (PyObject *)self;
}

/* Gives the handle another node, and drops the one it had. */
static void replace_node(handle *self, pg_id id) {
    pg_id before = self->id;
    traced *held = traced_of(self);
    if (held && is_plain(self)) PyObject_GC_UnTrack((PyObject *)self);
    detach(self);
    self->traced = 0;
    attach(self, id);
    drop_node(before);
    if (held) drop_traced(held);
}

/* __init__ of a leaf: the handle's node, which __new__ made one. */
static int init_leaf(handle *self, double data) {
    if (PG_UNLIKELY(self->initialised) && refused(Py_None, "setting .data")) return -1;
    if (PG_UNLIKELY(holds_array((PyObject *)self))) init_number(self);
    pg_node *node = &arena->nodes[self->id];
    node->data = data;
    node->grad = 0.0;
    self->initialised = 1;
    return 0;
}

/* __init__ of a user-defined op, or of a leaf with a name. children: a tuple of Values; the texts exact str objects. */
static int init_named(handle *self, double data, PyObject *children, PyObject *op, PyObject *label) {
    operand_list list;
    int labelled = PyUnicode_GetLength(label) > 0, named = PyUnicode_GetLength(op) > 0;
    if (PyTuple_Size(children) == 0 && !named) {
        int noted = (arena->nodes[self->id].flags & PG_NODE_SIDE) != 0;
        if ((labelled || noted) && set_note(self->id, label, op) < 0) return -1;
        return init_leaf(self, data);
    }
    if (self->initialised) return raise_error(PyObject_CallFunction(bad_init, NULL)) ? 0 : -1;
    if (operands_quick(&list, children) <= 0) return -1;
    pg_result made = pg_apply_user(arena, data, list.ids, list.count);
    operands_drop(&list);
    if (made < 0) return raise_status((int)made, PG_OP_USER, 0.0, 0.0) ? 0 : -1;
    if ((labelled || named) && set_note(PG_RESULT_ID(made), label, op) < 0) {
        drop_node(PG_RESULT_ID(made));
        return -1;
    }
    replace_node(self, PG_RESULT_ID(made));
    self->initialised = 1;
    return made & PG_RESULT_TRACED ? trace(self) : 0;
}

/* An exact str: that of a given one, or "". */
static PyObject *text_or_empty(PyObject *given, const char *what) {
    return given ? PyObject_CallFunction(text, "Os", given, what) : PyUnicode_FromString("");
}

/* Within no_grad(), of a user-defined op: it is a leaf like any other result. Changes both references; -1 on error. */
static int unrecorded_op(PyObject **operands, PyObject **op) {
    if (PyTuple_Size(*operands) == 0 && PyUnicode_GetLength(*op) == 0) return 0;
    int record = recorded();
    if (record != 0) return record < 0 ? -1 : 0;
    Py_DECREF(*operands);
    Py_DECREF(*op);
    *operands = PyTuple_New(0);
    *op = PyUnicode_FromString("");
    return *operands && *op ? 0 : -1;
}

/* __init__; payload: a float or an ndarray. */
static int init_payload(handle *self, PyObject *payload, PyObject *children, PyObject *op, PyObject *label) {
    int is_array = !PyFloat_CheckExact(payload), was_array = holds_array((PyObject *)self);
    double number = is_array ? NAN : PyFloat_AsDouble(payload);
    /* what was computed from a number cannot become an array under its users, nor the other way round */
    if (NODE(self)->op != PG_OP_LEAF || ((is_array || was_array) && NODE(self)->refs > 1))
        return raise_error(PyObject_CallFunction(bad_init, NULL)) ? 0 : -1;
    if (PG_LIKELY(!children && !op && !label && !(NODE(self)->flags & PG_NODE_SIDE))) {
        if (PG_UNLIKELY(is_array) && init_array(self, payload) < 0) return -1;
        return is_array ? (self->initialised = 1, 0) : init_leaf(self, number);
    }
    PyObject *operands = children ? PyObject_CallFunction(as_children, "OO", children, (PyObject *)value_type)
                                  : PyTuple_New(0);
    PyObject *op_text = operands ? text_or_empty(op, "_op") : NULL;
    PyObject *label_text = op_text ? text_or_empty(label, "label") : NULL;
    int status = label_text ? 0 : -1;
    if (status == 0 && !self->initialised) status = unrecorded_op(&operands, &op_text);
    if (status == 0) status = init_named(self, number, operands, op_text, label_text);
    if (status == 0 && is_array) status = init_array(self, payload);
    Py_XDECREF(label_text);
    Py_XDECREF(op_text);
    Py_XDECREF(operands);
    return status;
}

int value_init(PyObject *object, PyObject *args, PyObject *kwargs) {
    static char *keywords[] = {"data", "_children", "_op", "label", NULL};
    PyObject *data, *children = NULL, *op = NULL, *label = NULL;
    handle *self = (handle *)object;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|OOO:Value", keywords, &data, &children, &op, &label)) return -1;
    if (PG_UNLIKELY(!PyFloat_CheckExact(data))) {
        PyObject *payload = PyObject_CallFunctionObjArgs(as_data, data, NULL);
        if (!payload) return -1;
        int status = init_payload(self, payload, children, op, label);
        Py_DECREF(payload);
        return status;
    }
    return init_payload(self, data, children, op, label);
}

/* ---- saving and restoring, for copies and pickles (pygrad/_copying.py) ---- */

PyObject *value_state(PyObject *self, PyObject *unused) {
    (void)unused;
    int op = NODE(self)->op;
    const traced *held = traced_of((handle *)self);
    PyObject *name = op == PG_OP_ARRAY ? rule_attribute((handle *)self, "name") : PyUnicode_FromString(pg_op_describe(op)->name);
    if (!name) return NULL;
    return Py_BuildValue("NdN", name, pg_node_constant(arena, ID(self)), PyBool_FromLong(held && held->hook));
}

int find_op(const char *name) {
    for (int op = 0; op < (int)pg_op_count(); op++)
        if (strcmp(pg_op_describe(op)->name, name) == 0) return op;
    return -1;
}

/* A node whose value and gradient are numbers, and which no rule of arrays computed. */
static PyObject *restore_scalar(PyObject *name, PyObject *operands, double constant, PyObject *data, PyObject *grad) {
    operand_list list;
    double number = PyFloat_AsDouble(data), gradient = PyFloat_AsDouble(grad);
    if (gradient == -1.0 && PyErr_Occurred()) return NULL;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (!text) return NULL;
    int quick = operands_quick(&list, operands);
    if (quick < 0) return NULL;
    if (quick == 0) return PyErr_Format(PyExc_TypeError, "_restore: operands must be Values");
    pg_result made = pg_restore(arena, find_op(text), list.ids, list.count, constant, number, gradient);
    operands_drop(&list);
    return made < 0 ? raise_status((int)made, PG_OP_LEAF, 0.0, 0.0) : wrap_recorded(made);
}

/* _restore(name, operands, constant, data, grad, symbol, label, record=None), as _state and the attributes describe a node;
 * grad as _raw_grad has it. Keeps the arrays themselves. */
PyObject *value_restore(PyObject *unused, PyObject *args) {
    (void)unused;
    double constant;
    PyObject *name, *operands, *data, *grad, *op_text, *label, *record = Py_None;
    if (!PyArg_ParseTuple(args, "UO!dOOUU|O:_restore", &name, &PyTuple_Type, &operands, &constant, &data, &grad, &op_text,
                          &label, &record))
        return NULL;
    int is_scalar = PyFloat_CheckExact(data) && record == Py_None;
    PyObject *result = is_scalar ? restore_scalar(name, operands, constant, data, grad)
                                 : array_node(name, operands, data, record, constant);
    int noted = PyUnicode_GetLength(op_text) > 0 || PyUnicode_GetLength(label) > 0;
    if (result && !is_scalar && restore_grad((handle *)result, grad) < 0) Py_CLEAR(result);
    if (result && noted && set_note(ID(result), label, op_text) < 0) Py_CLEAR(result);
    return result;
}
