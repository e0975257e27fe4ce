"""Model files as tnqrnn 0.1.0 wrote them: the arrays numbered, not named."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tnqrnn import specs
from tnqrnn.circuits import Ansatz, Gate
from tnqrnn.model.describe import describe, observable_names

FORMAT_1 = "tnqrnn model 1"


def to_description(header: Mapping[str, Any]) -> specs.Model:
    """The description that the header of such a file amounts to.

    Args:
        header: ``model``, ``n_classes``, ``gradient``, ``cell`` and its ``fields``.

    Raises:
        KeyError, TypeError, ValueError: it lacks or misplaces something.
    """
    fields = dict(header["fields"])
    if header["cell"] == "qrnn":
        n_qubits, gates = fields["ansatz"]["n_qubits"], fields["ansatz"]["gates"]
        ansatz = Ansatz(n_qubits, [Gate(**gate) for gate in gates])
        fields["circuit"] = describe(ansatz)
        del fields["ansatz"]
        strings = tuple(
            tuple((qubit, axis) for qubit, axis in string)
            for string in fields["observables"]
        )
        fields["observables"] = observable_names(strings, n_qubits)
        backend = dict(fields["backend"])
        fields["backend"] = backend | {"name": backend["name"].lower()}
    return specs.Model.from_mapping(
        {
            "kind": header["model"],
            "cell": {"kind": header["cell"], **fields},
            "n_outputs": header["n_classes"],
            "gradient": header["gradient"],
        }
    )


def names_of_format_1(
    arrays: Mapping[str, np.ndarray], names: list[str]
) -> dict[str, np.ndarray]:
    """The arrays under the names they have in the model.

    Args:
        arrays: ``leaf_0``, ``leaf_1``, ... in the order of the model's parameters.
        names: of the model's arrays, in order; one that lacks or is left over keeps its
            number, and is refused like any that does not belong.
    """
    numbered = {f"leaf_{i}": name for i, name in enumerate(names)}
    return {numbered.get(name, name): array for name, array in arrays.items()}
