"""Names of representations on a study's axes: ``statevector`` and ``mps-CHI``."""


def max_bond(name: str) -> int | None:
    """Chi of ``mps-CHI``; ``None`` for any other name.

    >>> max_bond("mps-16"), max_bond("statevector")
    (16, None)
    """
    prefix, _, chi = name.partition("-")
    return int(chi) if prefix == "mps" else None


def representation_label(name: str) -> str:
    """What a legend calls a representation; other names in capitals.

    >>> representation_label("mps-16"), representation_label("gru")
    ('MPS, χ = 16', 'GRU')
    """
    if name == "statevector":
        return "Statevector (exact)"
    chi = max_bond(name)
    return name.upper() if chi is None else f"MPS, χ = {chi}"
