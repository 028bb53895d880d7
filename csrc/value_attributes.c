/* value_attributes.c: what can be read and set on a Value: data, grad, label, operands, and the closure of a user-defined
 * op.
 */
#include "handle.h"

static PyObject *note_of(pg_id id, Py_ssize_t which) {
    if (arena->nodes[id].flags & PG_NODE_SIDE) {
        PyObject *key = PyLong_FromUnsignedLong(id);
        PyObject *note = key ? PyDict_GetItemWithError(notes, key) : NULL;
        PyObject *found = note ? PyTuple_GetItem(note, which) : NULL;
        Py_XDECREF(key);
        if (found) {
            Py_INCREF(found);
            return found;
        }
        if (PyErr_Occurred()) return NULL;
    }
    return PyUnicode_FromString("");
}

int set_note(pg_id id, PyObject *label, PyObject *op) {
    PyObject *key = PyLong_FromUnsignedLong(id);
    PyObject *note = key ? PyTuple_Pack(2, label, op) : NULL;
    int status = note ? PyDict_SetItem(notes, key, note) : -1;
    if (status == 0) arena->nodes[id].flags |= PG_NODE_SIDE;
    Py_XDECREF(note);
    Py_XDECREF(key);
    return status;
}

static int no_delete(PyObject *given, const char *what) {
    if (given) return 0;
    PyErr_Format(PyExc_AttributeError, "%s of a Value cannot be deleted", what);
    return -1;
}

static PyObject *get_data(PyObject *self, void *unused) {
    (void)unused;
    if (refused(self, ".data")) return NULL;
    if (PG_UNLIKELY(holds_array(self))) return array_data((handle *)self);
    return PyFloat_FromDouble(NODE(self)->data);
}

static PyObject *get_grad(PyObject *self, void *unused) {
    (void)unused;
    if (refused(self, ".grad")) return NULL;
    if (PG_UNLIKELY(holds_array(self))) return array_grad((handle *)self);
    return PyFloat_FromDouble(NODE(self)->grad);
}

static int set_data(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    double number;
    if (no_delete(given, "data") < 0 || refused(Py_None, "setting .data")) return -1;
    if (PG_UNLIKELY(holds_array(self))) return set_array((handle *)self, given, 0);
    if (to_double(given, "data", &number) < 0) return -1;
    NODE(self)->data = number;
    return 0;
}

static int set_grad(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    double number;
    if (no_delete(given, "grad") < 0 || refused(Py_None, "setting .grad")) return -1;
    if (PG_UNLIKELY(holds_array(self))) return set_array((handle *)self, given, 1);
    if (to_double(given, "grad", &number) < 0) return -1;
    NODE(self)->grad = number;
    return 0;
}

static PyObject *get_label(PyObject *self, void *unused) {
    (void)unused;
    return note_of(ID(self), 0);
}

static int set_label(PyObject *self, PyObject *given, void *unused) {
    (void)unused;
    if (no_delete(given, "label") < 0) return -1;
    PyObject *label = PyObject_CallFunction(text, "Os", given, "label");
    PyObject *op = label ? note_of(ID(self), 1) : NULL;
    int status = op ? set_note(ID(self), label, op) : -1;
    Py_XDECREF(op);
    Py_XDECREF(label);
    return status;
}

/* Of the rule that computed a node: the first of its record. */
PyObject *rule_attribute(handle *self, const char *which) {
    const traced *held = traced_of(self);
    PyObject *rule = held && held->record ? PyTuple_GetItem(held->record, 0) : NULL;
    if (!rule && !PyErr_Occurred()) PyErr_SetString(PyExc_RuntimeError, "pygrad: an array node without a rule");
    return rule ? PyObject_GetAttrString(rule, which) : NULL;
}

static PyObject *get_op(PyObject *self, void *unused) {
    (void)unused;
    int op = NODE(self)->op;
    if (op <= PG_OP_USER) return note_of(ID(self), 1);
    if (op == PG_OP_ARRAY) return rule_attribute((handle *)self, "symbol");
    const pg_op_info *info = pg_op_describe(op);
    if (op != PG_OP_POW_CONST) return PyUnicode_FromString(info->symbol);
    return PyObject_CallFunction(op_symbol, "sd", info->symbol, pg_node_constant(arena, ID(self)));
}

static PyObject *get_operands(PyObject *self, void *unused) {
    (void)unused;
    return operand_tuple(ID(self));
}

static PyObject *get_prev(PyObject *self, void *unused) {
    (void)unused;
    PyObject *operands = operand_tuple(ID(self));
    PyObject *set = operands ? PySet_New(operands) : NULL;
    Py_XDECREF(operands);
    return set;
}

/* One node's own derivative step. */
static PyObject *own_step(PyObject *self, PyObject *unused) {
    (void)unused;
    const traced *held = traced_of((handle *)self);
    if (held && held->record) {
        if (own_rule_step((handle *)self) < 0) return NULL;
        Py_RETURN_NONE;
    }
    (void)pg_step(arena, ID(self));
    Py_RETURN_NONE;
}

static PyMethodDef own_step_def = {"_backward", own_step, METH_NOARGS,
                                   "_backward()\n--\n\nAdds this node's contributions to its operands' gradients."};

static PyObject *get_backward(PyObject *object, void *unused) {
    (void)unused;
    if (refused(Py_None, "_backward")) return NULL;
    const traced *held = traced_of((handle *)object);
    if (held && held->hook) {
        Py_INCREF(held->hook);
        return held->hook;
    }
    return PyCFunction_NewEx(&own_step_def, object, NULL);
}

/* Keeps the handle alive while untraced nodes, which do not hold it, use the node. */
static int pin(handle *self) {
    PyObject *key = PyLong_FromUnsignedLong(self->id);
    int status = key ? PyDict_SetItem(pins, key, (PyObject *)self) : -1;
    if (status == 0) arena->nodes[self->id].flags |= PG_NODE_PINNED;
    Py_XDECREF(key);
    return status;
}

static int set_backward(PyObject *object, PyObject *given, void *unused) {
    (void)unused;
    handle *self = (handle *)object;
    if (refused(object, "setting _backward")) return -1;
    if (given && !PyCallable_Check(given)) return raise_error(PyObject_CallFunction(bad_hook, "O", given)) ? 0 : -1;
    if (!given && !self->traced) return 0; /* no hook to take away */
    if (given && arena->nodes[self->id].op == PG_OP_LEAF) { /* within no_grad() a leaf remains one */
        int record = recorded();
        if (record <= 0) return record;
    }
    int late = !self->traced && arena->nodes[self->id].refs > 1;
    if (late) { /* prepared layers are no reason to pin: they let go, and leave traced parameters alone */
        PyObject *done = PyObject_CallFunctionObjArgs(changed, NULL);
        if (!done) return -1;
        Py_DECREF(done);
        late = !self->traced && arena->nodes[self->id].refs > 1;
    }
    if (trace(self) < 0 || (given && late && pin(self) < 0)) return -1;
    traced *held = traced_of(self);
    if (given || !held->record) (void)pg_set_flags(arena, self->id, given ? PG_NODE_HOOK : 0, given ? 0 : PG_NODE_HOOK);
    PyObject *before = held->hook;
    Py_XINCREF(given);
    held->hook = given;
    Py_XDECREF(before);
    return 0;
}

PyGetSetDef value_getset[] = {
    {"data", get_data, set_data, "The number, a float; or the array. What is assigned to an array Value is kept, not copied.",
     NULL},
    {"grad", get_grad, set_grad,
     "The gradient of the last root, accumulated by backward(): a float, or an array of data's shape and dtype.", NULL},
    {"_raw_grad", get_raw_grad, NULL, NULL, NULL},
    {"_record", get_record, NULL, NULL, NULL},
    {"_holds_array", get_holds_array, NULL, NULL, NULL},
    {"__array__", get_conversion, NULL, NULL, NULL},
    {"label", get_label, set_label, "A name for pictures; kept as long as the node lives.", NULL},
    {"operands", get_operands, NULL, "The operands, left to right.", NULL},
    {"_prev", get_prev, NULL, "The set of operands, as in micrograd.", NULL},
    {"_op", get_op, NULL, "The op's symbol; '' for a leaf.", NULL},
    {"_backward", get_backward, set_backward,
     "Runs this node's derivative step. Assign a function of no arguments for a user-defined op.", NULL},
    {NULL, NULL, NULL, NULL, NULL}};

