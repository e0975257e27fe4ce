"""Joining sequences: the shortest one that holds several others in order.

Blocks that resemble each other are built by the operations of one template, and light
cones that resemble each other contracted by one plan; what one of them lacks is an
identity there.
"""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Item = TypeVar("Item", bound=Hashable)


def join(a: Sequence[Item], b: Sequence[Item]) -> tuple[Item, ...]:
    """The shortest sequence that has ``a`` and ``b`` as subsequences.

    >>> "".join(join("abd", "bcd"))
    'abcd'
    """
    # length[i][j]: of the answer for a[i:] and b[j:]
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a), -1, -1):
        for j in range(len(b), -1, -1):
            if i == len(a) or j == len(b):
                length[i][j] = len(a) - i + len(b) - j
            elif a[i] == b[j]:
                length[i][j] = 1 + length[i + 1][j + 1]
            else:
                length[i][j] = 1 + min(length[i + 1][j], length[i][j + 1])
    joined = []
    i = j = 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            joined.append(a[i])
            i, j = i + 1, j + 1
        elif length[i + 1][j] <= length[i][j + 1]:
            joined.append(a[i])
            i += 1
        else:
            joined.append(b[j])
            j += 1
    return (*joined, *a[i:], *b[j:])


def locate(joined: Sequence[Item], part: Sequence[Item]) -> tuple[int | None, ...]:
    """For each item of ``joined``, where ``part`` has it, or ``None``.

    >>> locate("abcd", "bd")
    (None, 0, None, 1)
    """
    positions: list[int | None] = []
    following = 0  # the item of ``part`` that comes next
    for item in joined:
        has_item = following < len(part) and part[following] == item
        positions.append(following if has_item else None)
        following += has_item
    assert following == len(part), "a join holds every item of its parts"
    return tuple(positions)
