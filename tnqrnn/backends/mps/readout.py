"""What is read from a matrix product state: Pauli strings, overlaps, entropies.

The centre of orthogonality is at core 0, so everything right of a site contracts to the
identity and only left environments are built::

    E[a, b] = sum over all qubits to the left of (ket a) (bra b)

Strings on a single core come from one pass, strings on neighbours from a second product
per bond; other strings are carried from their first core to their last one, all strings
of one length at once.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tnqrnn.backends.entropy import von_neumann_entropy
from tnqrnn.backends.mps.state import Layout, MPSState
from tnqrnn.backends.statevector.readout import in_order
from tnqrnn.circuits import PauliString
from tnqrnn.circuits.gates import PAULIS
from tnqrnn.products import einsum, matmul

Strings = tuple[PauliString, ...]

MAX_SPANS = 4
"""Kinds of spans that strings are carried over without rounding their lengths up."""


class LeftPass(NamedTuple):
    """What a pass from left to right over the cores after core 0 gives.

    Attributes:
        environments: of each core, the left environment, (k-1, chi, chi).
        densities: of each core, the density matrix of its physical qubit, (k-1, 2, 2).
    """

    environments: jax.Array
    densities: jax.Array


def pass_over(state: MPSState) -> LeftPass:
    """One pass from core 1 to the last core.

    All that is right of a core contracts to the identity, so its qubit's density matrix
    is ``rho[x, y] = sum_abc E[a, b] core[a, x, c] conj(core[b, y, c])``.
    """

    def step(environment, core):
        ket = einsum("ab,axc->bxc", environment, core)
        density = einsum("bxc,byc->xy", ket, core.conj())
        after = einsum("bxc,bxd->cd", ket, core.conj())
        return after, LeftPass(environment, density)

    start = einsum("axc,axd->cd", state.centre, state.centre.conj())
    return jax.lax.scan(step, start, state.right_cores)[1]


def pauli_expectations(strings: Strings, state: MPSState) -> jax.Array:
    """<P> of each string, real, of shape (M,)."""
    groups: dict[str, list[int]] = {"end": [], "inner": [], "pair": [], "carried": []}
    for i, string in enumerate(strings):
        groups[_kind(string, state.layout)].append(i)
    end, inner, pair, carried = (
        tuple(strings[i] for i in members) for members in groups.values()
    )
    left_pass = pass_over(state)
    values = [_on_one_core(end, inner, state, left_pass)] if end or inner else []
    if pair:
        values.append(_pair(pair, state, left_pass))
    if carried:
        values.append(_carried(carried, state, left_pass))
    return in_order(groups.values(), values)


def _kind(string: PauliString, layout: Layout) -> str:
    low, high = _reach(string, layout)
    if low == high:
        return "end" if low in (0, layout.n_cores - 1) else "inner"
    inside = all(layout.first <= qubit <= layout.last for qubit, _ in string)
    return "pair" if inside and high - low == 1 else "carried"


def _reach(string: PauliString, layout: Layout) -> tuple[int, int]:
    """The first and the last core that a string acts on."""
    sites = [layout.site(qubit) for qubit, _ in string] or [0]
    return min(sites), max(sites)


def _rows(state: MPSState) -> tuple[jax.Array, jax.Array]:
    """Both end cores as (outer bond and physical, inner bond), without padding."""
    end = state.layout.end
    last = state.right_cores[-1].transpose(2, 1, 0)
    return (
        state.centre[:end].reshape(2 * end, -1),
        last[:end].reshape(2 * end, -1),
    )


def _on_one_core(
    end: Strings, inner: Strings, state: MPSState, left_pass: LeftPass
) -> jax.Array:
    """Tr(P rho) of strings that act on one core each, all by one gather.

    Args:
        end: strings on the first or the last core.
        inner: strings on a core between them.
        state: normalised.
        left_pass: of the state.

    Returns:
        real array of shape (M,), those of ``end`` first.
    """
    layout, (head, tail) = state.layout, _rows(state)
    last = layout.n_cores - 1
    densities = jnp.concatenate(
        [
            matmul(head, head.conj().T).ravel(),
            left_pass.densities[:-1].ravel(),
            matmul(matmul(tail, left_pass.environments[-1]), tail.conj().T).ravel(),
        ]
    )
    side = 2 * layout.end
    begins = np.array([0, *(side**2 + 4 * i for i in range(last))])
    places, signs = [], []
    for strings, dim in ((end, side), (inner, 2)):
        flipped, phases = _action(strings, dim, layout)
        sites = np.array([_reach(string, layout)[0] for string in strings], int)
        entry = begins[sites][:, None] + dim * np.arange(dim) + flipped
        # Tr(P rho) = sum_i phase[i] rho[i, flipped[i]] is real, as rho is Hermitian. So
        # of rho a real phase needs the real part, and an imaginary one, i p, minus the
        # imaginary part, which stands behind all real parts.
        places.append(np.where(phases.imag, len(densities), 0) + entry)
        signs.append(phases.real - phases.imag)
    parts = jnp.concatenate([densities.real, densities.imag])
    index = np.concatenate([place.ravel() for place in places])
    factors = np.concatenate([sign.ravel() for sign in signs])
    terms = parts[index] * jnp.asarray(factors, parts.dtype)
    terms_by_kind = jnp.split(terms, [places[0].size])
    sums = [
        jnp.sum(of_kind.reshape(place.shape), 1)
        for of_kind, place in zip(terms_by_kind, places, strict=True)
    ]
    return jnp.concatenate(sums)


@functools.lru_cache(maxsize=256)
def _action(
    strings: Strings, dim: int, layout: Layout
) -> tuple[np.ndarray, np.ndarray]:
    """What strings do at one core: ``P |i> = phase[i] |flipped[i]>``.

    Returns:
        two arrays of shape (M, dim): flipped indices (outer bond, physical), and
        complex phases, of each string all real or all imaginary.
    """
    # Qubit by qubit: Z|b> = (-1)^b |b>, X|b> = |1-b>, Y|b> = i (-1)^b |1-b>.
    index = np.arange(dim)
    flipped = np.broadcast_to(index, (len(strings), dim)).copy()
    phases = np.ones(flipped.shape, complex)
    for i, string in enumerate(strings):
        for qubit, axis in string:
            bit = layout.bit(qubit)
            sign = np.where(index & bit, -1, 1)
            if axis != "X":
                phases[i] *= sign
            if axis != "Z":
                flipped[i] ^= bit
            if axis == "Y":
                phases[i] *= 1j
    return flipped, phases


def _pair(strings: Strings, state: MPSState, left_pass: LeftPass) -> jax.Array:
    """Strings on the qubits of two neighbouring cores, (M,), all bonds in one scan.

    ``rho[xy, zw]`` of each bond is that of one core with two cores in its place.
    """
    cores = jnp.concatenate([state.centre[None], state.right_cores])
    eye = jnp.eye(len(state.centre), dtype=cores.dtype)[None]
    environments = jnp.concatenate([eye, left_pass.environments[:-1]])

    def step(_, inputs):
        environment, left, right = inputs
        theta = einsum("axb,byc->axyc", left, right)
        ket = einsum("ab,axyc->bxyc", environment, theta)
        return None, einsum("bxyc,bzwc->xyzw", ket, theta.conj())

    _, density = jax.lax.scan(step, None, (environments, cores[:-1], cores[1:]))
    sites = [state.layout.site(string[0][0]) for string in strings]
    paulis = np.stack([np.stack([PAULIS[a] for _, a in string]) for string in strings])
    left, right = jnp.asarray(paulis, cores.dtype).swapaxes(0, 1)
    return einsum("mzx,mwy,mxyzw->m", left, right, density[np.array(sites)]).real


@dataclass(frozen=True)
class _Span:
    """The inner cores that a string is carried through, and whether from end to end.

    Strings with equal spans are carried together by one scan, each over cores of its
    own. A program is compiled for each kind of span, so many kinds are made few by
    rounding lengths up: a string is then carried over cores it does not act on.

    Attributes:
        length: how many, from the first core that the string acts on to the last one.
        at_head: whether it starts in the left end.
        at_tail: whether it ends in the right end.
    """

    length: int
    at_head: bool
    at_tail: bool

    @classmethod
    def of(cls, string: PauliString, layout: Layout) -> "_Span":
        """Of a string that acts on two cores or more."""
        (low, high), last = _reach(string, layout), layout.n_cores - 1
        length = min(high, last - 1) - max(low, 1) + 1
        return cls(length, low == 0, high == last)

    def rounded(self, layout: Layout) -> "_Span":
        """One of a few kinds that holds it: its length is a power of two."""
        longest = layout.n_cores - 2
        length = min(1 << max(0, self.length - 1).bit_length(), longest)
        return replace(self, length=length)

    def first(self, string: PauliString, layout: Layout) -> int:
        """The inner core, counted from 0, at which the string's span begins."""
        if self.at_head:
            return 0
        inner = layout.n_cores - 2
        low = _reach(string, layout)[0] - 1
        return inner - self.length if self.at_tail else min(low, inner - self.length)


def _carried(strings: Strings, state: MPSState, left_pass: LeftPass) -> jax.Array:
    """Strings over several cores, those with spans alike in one pass."""
    layout = state.layout
    spans = [_Span.of(string, layout) for string in strings]
    if len(set(spans)) > MAX_SPANS:
        spans = [span.rounded(layout) for span in spans]
    kinds: dict[_Span, list[int]] = {}
    for i, span in enumerate(spans):
        kinds.setdefault(span, []).append(i)
    values = [
        _carry(span, tuple(strings[i] for i in members), state, left_pass.environments)
        for span, members in kinds.items()
    ]
    return in_order(kinds.values(), values).real


def _carry(
    span: _Span, strings: Strings, state: MPSState, environments: jax.Array
) -> jax.Array:
    """Strings of one kind of span: their operators inserted from its first core on.

    Left of the span stands an environment that all strings share, right of it the
    identity.
    """
    layout = state.layout
    head, tail = _rows(state)
    firsts = np.array([span.first(string, layout) for string in strings])
    if span.at_head:
        applied = _applied(_at(strings, 0, layout), layout, head)
        environment = einsum("mic,id->mcd", applied, head.conj())
    else:
        environment = environments[firsts]
    rows = np.arange(span.length)[:, None] + firsts  # of inner cores, (length, M)
    axes = [
        [
            dict(string).get(layout.first + 1 + at, "I")
            for string, at in zip(strings, row, strict=True)
        ]
        for row in rows
    ]
    # Neighbouring rows on which no string acts are passed without operators.
    for acting, run in itertools.groupby(
        range(span.length), lambda k: set(axes[k]) != {"I"}
    ):
        members = list(run)
        paulis = [[PAULIS[a] for a in axes[k]] for k in members] if acting else None
        environment = _pass(environment, state.right_cores, rows[members], paulis)
    if not span.at_tail:
        return jnp.trace(environment, axis1=1, axis2=2)
    applied = _applied(_at(strings, layout.n_cores - 1, layout), layout, tail)
    return einsum("mab,mia,ib->m", environment, applied, tail.conj())


def _pass(
    environment: jax.Array,
    cores: jax.Array,
    rows: np.ndarray,
    paulis: Sequence[Sequence[np.ndarray]] | None,
) -> jax.Array:
    """Environments of M strings, (M, chi, chi), after some more cores.

    Strings at one place share the core, which is then no array of M of them.

    Args:
        environment: before them.
        cores: inner cores.
        rows: which of them each string passes, (length, M).
        paulis: the operators there; ``None`` for none.
    """
    shared = (rows == rows[:, :1]).all()
    ket_axes, bra_axes = ("ayc", "byd") if shared else ("mayc", "mbyd")

    def step(environment, inputs):
        at, operator = inputs
        core = cores[at]
        ket = einsum(f"mab,{ket_axes}->mbyc", environment, core)
        if operator is not None:
            ket = einsum("mxy,mbyc->mbxc", operator, ket)
        return einsum(f"mbyc,{bra_axes}->mcd", ket, core.conj()), None

    at = jnp.asarray(rows[:, 0] if shared else rows)
    operators = None if paulis is None else jnp.asarray(np.array(paulis), cores.dtype)
    if len(rows) == 1:
        return step(environment, jax.tree.map(lambda leaf: leaf[0], (at, operators)))[0]
    return jax.lax.scan(step, environment, (at, operators))[0]


def _at(strings: Strings, site: int, layout: Layout) -> Strings:
    """What the strings do at one core."""
    return tuple(tuple(f for f in s if layout.site(f[0]) == site) for s in strings)


def _applied(strings: Strings, layout: Layout, rows: jax.Array) -> jax.Array:
    """P rows, of shape (M, 2**(h+1), chi), for strings on the qubits of one end."""
    flipped, phases = _action(strings, 2 * layout.end, layout)
    # P |i> = phase[i] |f(i)> and f is its own inverse
    phases = np.take_along_axis(phases, flipped, axis=1)
    return jnp.asarray(phases, rows.dtype)[..., None] * rows[flipped]


def overlap(a: MPSState, b: MPSState) -> jax.Array:
    """<a|b> of two states of one layout, complex, of shape ()."""
    start = einsum("axc,axd->cd", b.centre, a.centre.conj())

    def step(environment, cores):
        ket, bra = cores
        moved = einsum("ab,axc->bxc", environment, ket)
        return einsum("bxc,bxd->cd", moved, bra.conj()), None

    environment, _ = jax.lax.scan(step, start, (b.right_cores, a.right_cores))
    return jnp.trace(environment)


def entropy(state: MPSState, cut: int) -> jax.Array:
    """Von Neumann entropy in bits between qubits 0..cut-1 and the rest."""
    return _entropy_of(_density(state, cut, pass_over(state).environments))


def entropies(state: MPSState) -> jax.Array:
    """The same at every cut 1..n-1, of shape (n-1,)."""
    layout, environments = state.layout, pass_over(state).environments
    head = range(1, layout.first + 1)
    tail = range(layout.last + 1, state.n_qubits)

    def at(cuts: range) -> list[jax.Array]:
        return [_entropy_of(_density(state, c, environments))[None] for c in cuts]

    inner = jax.vmap(_entropy_of)(environments)
    return jnp.concatenate([*at(head), inner, *at(tail)])


def _density(state: MPSState, cut: int, environments: jax.Array) -> jax.Array:
    """A density matrix whose spectrum is that of either side of a cut."""
    layout = state.layout
    head, tail = _rows(state)
    if cut <= layout.first:
        rows = head.reshape(2**cut, -1)
        return matmul(rows, rows.conj().T)
    if cut <= layout.last:
        return environments[cut - layout.first - 1]
    rows = tail.reshape(-1, 2 ** (state.n_qubits - cut), 2, tail.shape[1])
    ket = einsum("utxa,ab->utxb", rows, environments[-1])
    return einsum("utxb,uvxb->tv", ket, rows.conj())


def _entropy_of(density: jax.Array) -> jax.Array:
    return von_neumann_entropy(density / jnp.trace(density))
