/* program.h: how a program is encoded, and the C API to check and run one. Knows nothing of Python.
 *
 * A program computes on two vectors of doubles and on blocks of lanes (kernels.h):
 *   V   [parameters | computed | constants]: what all samples share. Parameters are the caller's at every run.
 *   G   gradients of parameters and computed values, as V without its constants.
 * Its stages run in order, each either over the samples of the call or over a number of lanes of its own. A stage loads
 * its inputs into slots, runs its instructions, and stores its outputs, block by block of lanes.
 *
 * The encoding is an array of 32-bit words, so that a program can be stored and sent. pg_program_new checks every index in
 * it: what it accepts cannot read or write outside its own memory, whatever made it. See pygrad/programs/encode.py,
 * which writes it, field by field.
 *
 *   header (PG_HEADER words): PG_PROGRAM_MAGIC, version, parameters, computed, constants, float arguments, index arguments,
 *     outputs, stages, loss (an output group + 1, of width 1, or 0), reserved 0, reserved 0
 *   width of each float argument; for each index argument its bound (indices are 0 <= i < bound); width of each output group
 *   for each stage, PG_STAGE words: lanes (0: the samples), slots, inputs, prologue, instructions, outputs, pool words,
 *     constant rows (doubles), reserved 0; then
 *       inputs * PG_MOVE words, (prologue + instructions) * PG_INSTRUCTION words, outputs * PG_MOVE words, the pool
 *   The constants of V, then the constant rows of the stages in order, are an array of doubles beside the words.
 *
 * An input or output (PG_MOVE words: kind, slot, count, source, at, reserved):
 *   PG_MOVE_ARGUMENT  count slots <- columns at, at + 1, ... of float argument `source`       stages over samples
 *   PG_MOVE_OUTPUT    columns at, at + 1, ... of output group `source` <- count slots         stages over samples
 *   PG_MOVE_SEED      slot <- what the loss's gradient starts from, for each sample           stages over samples
 *   PG_MOVE_ROWS      count slots <- rows of the stage's own constants from `at` on, `lanes` doubles each   own lanes
 *   PG_MOVE_GATHER    slot of lane l <- V[pool[at + l]]                                       own lanes
 *   PG_MOVE_GATHER_G  slot of lane l <- G[pool[at + l]]; then G there is as before            own lanes
 *   PG_MOVE_SCATTER   V[at + l] <- slot of lane l; among the computed values                  own lanes
 *   PG_MOVE_ADD_G     G[pool[at + l]] += slot of lane l, from the first lane to the last      own lanes
 * Neighbouring PG_MOVE_ADD_Gs are done lane by lane: all of them for the first lane, then all for the second, ...
 *
 * An instruction (PG_INSTRUCTION words: op | form << 8 | repeat << 16, z, a, b, c, d, width, at) works on `width`
 * neighbouring slots from each of z, a, b, c, d. repeat, of the first three forms only: bit 0 if a is one slot, the same for
 * all of z; bits 1, 2, 3 likewise for b, c, d. Forms:
 *   PG_FORM_VALUE     z <- the op's value of a (and b); for a constant op, `at` is the place of k in V
 *   PG_FORM_DX, _DY   z <- the op's derivative by its first or second operand: a = g, b = x, c = y, d = z
 *   PG_FORM_OTHER     op is one of pg_other:
 *     PG_FILL         z + i <- V[a + i]
 *     PG_COPY         z + i <- slot a + i
 *     PG_SUM          z <- the sum of slots pool[at], ... `c` of them, from the first on
 *     PG_DOT          z <- slot a (PG_NO_SLOT: nothing, the first product starts) + products of the slots
 *                     pool[at + 2i] and pool[at + 2i + 1], i < c, from the first on
 *     PG_LOGSUMEXP    z <- logsumexp of slots pool[at], ... `c` of them
 *     PG_PICK         z of a sample <- slot a + i, where i < c is the sample's entry of index argument b
 *     PG_PICK_DX      z + i <- slot a where i is the sample's entry of index argument b, else 0; width slots
 *     PG_DENSE        z <- kernels.h's dense: width rows, c columns, x = slot a; pool[at]: row, col, start (width + c + width);
 *                     d: 0, or an op on the sums: any of one operand and no constant, whose value goes to slot b while
 *                     z keeps the sums; or relu with b = z, where its values take the place of the sums; or
 *                     op | PG_FORM_DX << 8 of relu, tanh or sigmoid: z <- the op's derivative with g = the sums, z = b
 *     PG_DENSE_DOWN   the same, but x descends: its columns are slots a, a - 1, ..., a - c + 1
 *     PG_OUTER        G <- kernels.h's outer: width rows from slot a, c columns from slot b and, if d is 1, one of ones;
 *                     pool[at]: row, col (width + c + d)
 *     PG_ACCUMULATE   G[pool[at + i]] += slot a + i over the samples, i < width
 * Slots that an instruction writes overlap none that it reads.
 */
#ifndef PG_PROGRAM_H
#define PG_PROGRAM_H

#include <stddef.h>
#include <stdint.h>

#define PG_PROGRAM_MAGIC UINT32_C(0x50475047)
#define PG_PROGRAM_VERSION 1
#define PG_HEADER 12
#define PG_STAGE 9
#define PG_MOVE 6
#define PG_INSTRUCTION 8
#define PG_NO_SLOT UINT32_C(0xffffffff)

enum {
    PG_MOVE_ARGUMENT = 1,
    PG_MOVE_OUTPUT = 2,
    PG_MOVE_SEED = 3,
    PG_MOVE_ROWS = 4,
    PG_MOVE_GATHER = 5,
    PG_MOVE_GATHER_G = 6,
    PG_MOVE_SCATTER = 7,
    PG_MOVE_ADD_G = 8
};
enum { PG_FORM_VALUE = 0, PG_FORM_DX = 1, PG_FORM_DY = 2, PG_FORM_OTHER = 3 };
enum pg_other {
    PG_FILL = 1,
    PG_COPY = 2,
    PG_SUM = 3,
    PG_DOT = 4,
    PG_LOGSUMEXP = 5,
    PG_PICK = 6,
    PG_PICK_DX = 7,
    PG_DENSE = 8,
    PG_OUTER = 9,
    PG_ACCUMULATE = 10,
    PG_DENSE_DOWN = 11
};

#endif
