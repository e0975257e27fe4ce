"""The geometry of a tensor network: which tensors share which indices of which size.

Networks that differ in the names of their indices alone have the same geometry, and so
the same plans and, for JAX, the same compiled program. Indices get canonical letters:
the symbols of cotengra in the order in which the tensors name them.
"""

import hashlib
import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_TENSORS = 4096
MAX_SIZE = 2**20


@dataclass(frozen=True)
class Geometry:
    """A tensor network in canonical letters.

    Attributes:
        inputs: the letters of each tensor, one an axis.
        output: the letters of the result.
        sizes: the size of each letter, in the order in which they first appear.
    """

    inputs: tuple[str, ...]
    output: str
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.inputs) <= MAX_TENSORS:
            raise ValueError(
                f"inputs must be 1 to {MAX_TENSORS} tensors, got {len(self.inputs)}."
            )
        letters = self.letters
        if letters != symbols(len(letters)):
            raise ValueError(
                "inputs must name their indices by canonical letters in order, got "
                f"{letters!r}."
            )
        for indices in (*self.inputs, self.output):
            if len(set(indices)) < len(indices):
                raise ValueError(
                    f"inputs must not repeat an index within a tensor, got {indices!r}."
                )
        if unknown := set(self.output) - set(letters):
            raise ValueError(
                f"output must name indices of the inputs, got {sorted(unknown)}."
            )
        if len(self.sizes) != len(letters) or not all(
            isinstance(size, int) and 1 <= size <= MAX_SIZE for size in self.sizes
        ):
            raise ValueError(
                f"sizes must be {len(letters)} integers in [1, {MAX_SIZE}], got "
                f"{self.sizes}."
            )

    @classmethod
    def of(
        cls,
        inputs: Sequence[Sequence[Hashable]],
        output: Sequence[Hashable],
        sizes: Mapping[Any, int],
    ) -> "Geometry":
        """The geometry of a network whose indices have any names.

        Args:
            inputs: the names of each tensor's indices, one an axis.
            output: those of the result.
            sizes: of each index.

        Raises:
            ValueError: an index repeated within a tensor, an output that no tensor has,
                or a size that is no integer from 1 to 2**20.

        >>> Geometry.of([["left", "bond"], ["bond", 7]], ["left", 7],
        ...             {"left": 2, "bond": 3, 7: 2}).equation
        'ab,bc->ac'
        """
        names = list(dict.fromkeys(name for tensor in inputs for name in tensor))
        letter = dict(zip(names, symbols(len(names)), strict=True))
        if missing := [name for name in output if name not in letter]:
            raise ValueError(f"output must name indices of the inputs, got {missing}.")
        return cls(
            tuple("".join(letter[name] for name in tensor) for tensor in inputs),
            "".join(letter[name] for name in output),
            tuple(sizes[name] for name in names),
        )

    @property
    def letters(self) -> str:
        """All indices in the order in which they first appear."""
        return "".join(dict.fromkeys("".join(self.inputs)))

    @property
    def equation(self) -> str:
        """The network as one einsum equation."""
        return ",".join(self.inputs) + "->" + self.output

    @property
    def size_of(self) -> dict[str, int]:
        """The size of each letter."""
        return dict(zip(self.letters, self.sizes, strict=True))

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of each tensor."""
        size_of = self.size_of
        return tuple(tuple(size_of[i] for i in indices) for indices in self.inputs)

    def fingerprint(self, objective: str) -> str:
        """A name for the plan that minimises ``objective``: 32 hexadecimal digits."""
        text = json.dumps([self.equation, self.sizes, objective])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def symbols(count: int) -> str:
    """The first canonical letters: a to z, A to Z, then as cotengra goes on."""
    import cotengra

    return "".join(map(cotengra.get_symbol, range(count)))
