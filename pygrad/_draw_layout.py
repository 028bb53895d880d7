"""A layered layout of a directed acyclic graph (Sugiyama, Tagawa, Toda 1981): places for boxes, routes for edges.

Longest-path layers counted from the sinks; one trunk for all edges of a vertex that span several layers; crossings
reduced by barycentres; coordinates across the layers by isotonic regression. Coordinates are abstract: `along` grows
from tails to heads, `across` from first to last operand; the caller turns them. Knows no text, colour or format.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from typing import NamedTuple

_BOX_GAP = 16.0  # between boxes of one layer
_TRUNK_GAP = 9.0  # beside an edge that passes through a layer
_PORT_GAP = 8.0  # between the ends of edges at one head
_SPINE = 1000.0  # how much more the way from the roots along main operands resists than what is beside it
_SWEEPS = 12  # of crossing reduction and of placing, down and up each
_LARGE = 20_000  # segments from which fewer sweeps must do


class Size(NamedTuple):
    """The extent of a vertex."""

    along: float
    across: float
    round: bool = False  # an ellipse


class Point(NamedTuple):
    """A place."""

    along: float
    across: float


class Layout(NamedTuple):
    """Where everything is; all coordinates are at least 0."""

    centres: list[Point]  # of each vertex
    routes: list[list[Point]]  # of each edge; a step between points that differ across is to be drawn as an S
    size: Point


def layout(sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> Layout:
    """Places vertices of the given sizes. edges: (tail, head) pairs without a cycle, parallel ones allowed."""
    net = _Network(sizes, edges)
    net.order()
    net.place()
    return net.result()


class _Network:
    """The graph with a vertex in every layer that an edge passes: first the real vertices, then the trunks' ones."""

    def __init__(self, sizes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> None:
        self.sizes = list(sizes)
        self.edges = edges
        self.real = len(sizes)
        self.level = _levels(len(sizes), edges)
        self.trunks: list[list[int]] = [[] for _ in sizes]  # of each tail: its vertices in the layers it passes
        self.heads: list[list[int]] = [[] for _ in sizes]  # neighbours one layer nearer to the sinks
        self.tails: list[list[int]] = [[] for _ in sizes]  # neighbours one layer further from them, in order
        for tail, head in edges:
            self._connect(tail, head)
        self.layers: list[list[int]] = [[] for _ in range(max(self.level, default=-1) + 1)]
        self.across: list[float] = []
        for v, level in enumerate(self.level):
            self.layers[level].append(v)
        self.main = self._main_operands()
        self.spine = self._spine()
        self.beside = [self._is_beside(v) for v in range(len(self.sizes))]

    def _connect(self, tail: int, head: int) -> None:
        at = tail
        for step in range(self.level[tail] - self.level[head] - 1):
            trunk = self.trunks[tail]
            if step == len(trunk):
                trunk.append(len(self.sizes))
                self.sizes.append(Size(0.0, 0.0))
                self.level.append(self.level[tail] - step - 1)
                self.heads.append([])
                self.tails.append([at])
                self.heads[at].append(trunk[step])
            at = trunk[step]
        self.heads[at].append(head)
        self.tails[head].append(at)

    def _main_operands(self) -> list[int]:
        """Of each vertex the neighbour on the longest way to a source, if that is one alone, otherwise -1."""
        depth = [0] * len(self.sizes)
        main = [-1] * len(self.sizes)
        for layer in reversed(self.layers):
            for v in layer:
                tails = set(self.tails[v])
                deepest = max((depth[x] for x in tails), default=-1)
                depth[v] = deepest + (1 if v < self.real else 0)
                longest = [x for x in tails if depth[x] == deepest]
                if len(longest) == 1 < len(tails):
                    main[v] = longest[0]
        return main

    def _spine(self) -> list[bool]:
        """Of each vertex whether it can be reached from a sink without leaving the main operand for another."""
        spine = [not x for x in self.heads]
        for layer in self.layers:
            for v in layer:
                if spine[v]:
                    for x in self.tails[v] if self.main[v] < 0 else [self.main[v]]:
                        spine[x] = True
        return spine

    def _is_beside(self, v: int) -> bool:
        """Whether v is where a branch meets a chain: it stays near its head, which does not mind it."""
        return v < self.real and len(self.heads[v]) == 1 and self.main[self.heads[v][0]] not in (v, -1)

    # ---- the order within each layer ----

    def order(self) -> None:
        """Fills the layers, with few crossings: the better result of two ways to begin."""
        segments = sum(len(x) for x in self.heads)
        fewest = -1
        for start in (self._from_sinks(), self._from_ends()):
            current, best = start, start
            least = self._crossings(start)
            for sweep in range(_SWEEPS if segments < _LARGE else 2):
                if least == 0:
                    break
                current = self._swept(current, towards_heads=sweep % 2 == 1)
                crossings = self._crossings(current)
                if crossings < least:
                    best, least = current, crossings
            if segments < _LARGE and least:
                self._exchange(best)
                least = self._crossings(best)
            if fewest < 0 or least < fewest:
                self.layers, fewest = best, least
            if fewest == 0:
                break

    def _from_sinks(self) -> list[list[int]]:
        """The order of a depth-first search, first operand first: no crossings in a tree."""
        sinks = [v for v in range(self.real) if not self.heads[v]]
        return self._search(sinks, lambda v: self.tails[v][::-1])

    def _from_ends(self) -> list[list[int]]:
        """The same, but towards heads and tails alike, from the vertices with the fewest of them."""
        starts = sorted(range(self.real), key=lambda v: len(self.heads[v]) + len(self.tails[v]))
        return self._search(starts, lambda v: self.tails[v][::-1] + self.heads[v][::-1])

    def _search(self, starts: list[int], neighbours: Callable[[int], list[int]]) -> list[list[int]]:
        seen = [False] * len(self.sizes)
        layers: list[list[int]] = [[] for _ in self.layers]
        for start in starts:
            stack = [start]
            while stack:
                v = stack.pop()
                if not seen[v]:
                    seen[v] = True
                    layers[self.level[v]].append(v)
                    stack += neighbours(v)
        return layers

    def _swept(self, layers: list[list[int]], *, towards_heads: bool) -> list[list[int]]:
        """The layers, each sorted by the mean place of its neighbours in the layer before."""
        result = list(layers)
        place = [0.0] * len(self.sizes)
        fixed = self.tails if towards_heads else self.heads
        for level in range(len(layers) - 1, -1, -1) if towards_heads else range(len(layers)):
            layer = result[level]
            keys = {}
            for i, v in enumerate(layer):
                neighbours = fixed[v]
                keys[v] = _mean([place[x] for x in neighbours]) if neighbours else (i + 0.5) / len(layer)
            result[level] = layer = sorted(layer, key=keys.__getitem__)
            for i, v in enumerate(layer):
                place[v] = (i + 0.5) / len(layer)
        return result

    def _crossings(self, layers: list[list[int]]) -> int:
        total = 0
        place = [0] * len(self.sizes)
        for layer in layers:
            ends: list[int] = []  # of the segments so far, at the layer before
            for i, v in enumerate(layer):
                place[v] = i
                own = sorted(place[x] for x in self.heads[v])
                for end in own:
                    total += len(ends) - bisect_right(ends, end)
                for end in own:
                    insort(ends, end)
        return total

    def _exchange(self, layers: list[list[int]]) -> None:
        """Exchanges neighbours in a layer as long as that removes crossings."""
        place = [0] * len(self.sizes)
        for layer in layers:
            for i, v in enumerate(layer):
                place[v] = i
        for _ in range(4):
            improved = False
            for layer in layers:
                for i in range(len(layer) - 1):
                    v, w = layer[i], layer[i + 1]
                    gain = 0
                    for side in (self.heads, self.tails):
                        gain += _gain([place[x] for x in side[v]], [place[x] for x in side[w]])
                    if gain > 0:
                        layer[i], layer[i + 1] = w, v
                        place[v], place[w] = i + 1, i
                        improved = True
            if not improved:
                break

    # ---- coordinates across the layers ----

    def place(self) -> None:
        """Gives every vertex its coordinate across: near its neighbours, in the order of its layer."""
        self.across = [0.0] * len(self.sizes)
        for layer in self.layers:
            at = 0.0
            for i, v in enumerate(layer):
                at += self._separation(layer[i - 1], v) if i else 0.0
                self.across[v] = at
        many = sum(len(x) for x in self.heads) >= _LARGE
        for _ in range(3 if many else _SWEEPS):
            for layer in self.layers:
                self._settle(layer, [self.heads])
            for layer in reversed(self.layers):
                self._settle(layer, [self.tails])
            for layer in self.layers:
                self._settle(layer, [self.heads, self.tails])
        for layer in reversed(self.layers):  # last, so that a result stands straight before its operands
            self._settle(layer, [self.tails])
        low = min((self.across[v] - self.sizes[v].across / 2 for v in range(len(self.sizes))), default=0.0)
        self.across = [x - low for x in self.across]

    def _separation(self, v: int, w: int) -> float:
        gap = _BOX_GAP if v < self.real and w < self.real else _TRUNK_GAP
        return (self.sizes[v].across + self.sizes[w].across) / 2 + gap

    def _settle(self, layer: list[int], sides: list[list[list[int]]]) -> None:
        """Moves a layer's vertices towards the mean of their neighbours on these sides; keeps order and separation.

        Minimises the weighted sum of squares by pooling adjacent violators (isotonic regression).
        """
        blocks: list[tuple[float, float, int]] = []  # weighted mean, weight, number of vertices
        offset = 0.0
        offsets = []
        for i, v in enumerate(layer):
            offset += self._separation(layer[i - 1], v) if i else 0.0
            offsets.append(offset)
            wanted, weight = self._wanted(v, sides)
            mean, count = wanted - offset, 1
            while blocks and blocks[-1][0] >= mean:
                other, other_weight, other_count = blocks.pop()
                mean = (mean * weight + other * other_weight) / (weight + other_weight)
                weight += other_weight
                count += other_count
            blocks.append((mean, weight, count))
        i = 0
        for mean, _, count in blocks:
            for _ in range(count):
                self.across[layer[i]] = mean + offsets[i]
                i += 1

    def _wanted(self, v: int, sides: list[list[list[int]]]) -> tuple[float, float]:
        """Where v should be, and how strongly: a long edge is straight before anything else, then a chain."""
        total = weight = 0.0
        for side in [self.heads] if self.beside[v] else sides:
            neighbours = side[v]
            if side is self.tails and self.main[v] >= 0:
                neighbours = [self.main[v]]
            for x in neighbours:
                strength = (1.0, 2.0, 8.0)[(v >= self.real) + (x >= self.real)]
                total += strength * self.across[x]
                weight += strength
        if not weight:
            return self.across[v], 0.1 * (_SPINE if self.spine[v] else 1.0)
        return total / weight, weight * _SPINE if self.spine[v] else weight

    # ---- the result ----

    def result(self) -> Layout:
        along, half = self._along()
        centres = [Point(along[self.level[v]], self.across[v]) for v in range(self.real)]
        ports = self._ports()
        routes = []
        for i, (tail, head) in enumerate(self.edges):
            passed = self.trunks[tail][: self.level[tail] - self.level[head] - 1]
            start = centres[tail]
            route = [Point(start.along + self.sizes[tail].along / 2, start.across)]
            route.append(Point(start.along + half[self.level[tail]], start.across))
            for v in passed:
                middle, reach = along[self.level[v]], half[self.level[v]]
                route += [Point(middle - reach, self.across[v]), Point(middle + reach, self.across[v])]
            end, port = centres[head], ports[i]
            route.append(Point(end.along - half[self.level[head]], end.across + port))
            route.append(Point(end.along - _reach(self.sizes[head], port), end.across + port))
            routes.append([p for k, p in enumerate(route) if k == 0 or p != route[k - 1]])
        extent = max((self.across[v] + self.sizes[v].across / 2 for v in range(len(self.sizes))), default=0.0)
        length = along[0] + half[0] if along else 0.0
        return Layout(centres, routes, Point(length, extent))

    def _along(self) -> tuple[list[float], list[float]]:
        """The middle of each layer, and half its thickness. Steep edges get more room between layers."""
        half = [max(self.sizes[v].along for v in layer) / 2 for layer in self.layers]
        along = [0.0] * len(half)
        for level in range(len(half) - 1, -1, -1):
            if level == len(half) - 1:
                along[level] = half[level]
                continue
            steepest = 0.0
            for v in self.layers[level]:
                for x in self.tails[v]:
                    steepest = max(steepest, abs(self.across[x] - self.across[v]))
            gap = 26.0 + min(0.16 * steepest, 90.0)
            along[level] = along[level + 1] + half[level + 1] + gap + half[level]
        return along, half

    def _ports(self) -> list[float]:
        """Where each edge ends, relative to the middle of its head: in the order in which the edges arrive."""
        arriving: list[list[int]] = [[] for _ in range(self.real)]
        for i, (_, head) in enumerate(self.edges):
            arriving[head].append(i)
        ports = [0.0] * len(self.edges)
        for head, own in enumerate(arriving):
            if len(own) < 2:
                continue
            room = self.sizes[head].across * (0.55 if self.sizes[head].round else 0.7)
            gap = min(_PORT_GAP, room / (len(own) - 1))
            own.sort(key=lambda i: self.across[self._last(i)])
            straight = [k for k, i in enumerate(own) if abs(self.across[self._last(i)] - self.across[head]) < 2.0]
            middle = (len(own) - 1) / 2
            if len(straight) == 1 and (abs(straight[0] - middle) + middle) * gap <= 0.45 * self.sizes[head].across:
                middle = straight[0]  # a straight edge stays straight
            for k, i in enumerate(own):
                ports[i] = (k - middle) * gap
        return ports

    def _last(self, edge: int) -> int:
        """The vertex before the edge's head."""
        tail, head = self.edges[edge]
        steps = self.level[tail] - self.level[head] - 1
        return self.trunks[tail][steps - 1] if steps else tail


def _levels(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The layer of each vertex: the longest way to a sink, in edges."""
    tails: list[list[int]] = [[] for _ in range(count)]
    open_heads = [0] * count
    for tail, head in edges:
        tails[head].append(tail)
        open_heads[tail] += 1
    levels = [0] * count
    ready = [v for v in range(count) if not open_heads[v]]
    for v in ready:  # grows while it is walked
        for tail in tails[v]:
            levels[tail] = max(levels[tail], levels[v] + 1)
            open_heads[tail] -= 1
            if not open_heads[tail]:
                ready.append(tail)
    return levels


def _mean(numbers: list[float]) -> float:
    total = 0.0
    for x in numbers:
        total += x
    return total / len(numbers)


def _gain(first: list[int], second: list[int]) -> int:
    """How many crossings fewer there are if the second's segments come before the first's."""
    if len(first) == 1 == len(second):
        return (first[0] > second[0]) - (first[0] < second[0])
    ends = sorted(second)
    gain = 0
    for a in first:
        gain += bisect_left(ends, a) - (len(ends) - bisect_right(ends, a))
    return gain


def _reach(size: Size, port: float) -> float:
    """From the middle of a vertex to its edge, where a line arrives beside the middle."""
    if not size.round:
        return size.along / 2
    part: float = max(0.0, 1.0 - (2 * port / size.across) ** 2) ** 0.5
    return size.along / 2 * part
