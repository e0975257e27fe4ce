"""A contraction plan's profile: what each of its contractions writes and costs."""

from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure

from tnqrnn.study.figures import STYLE, Chart


def plot_profile(sizes: Sequence[float], costs: Sequence[float]) -> Chart:
    """Draws a plan's contractions in their order.

    Args:
        sizes: log2 of the entries that each writes.
        costs: log2 of the multiplications that each takes.

    Returns:
        A chart named ``profile``.
    """
    number = range(1, len(sizes) + 1)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        axes = figure.subplots()
        axes.step(number, costs, where="mid", color="#D55E00", label="multiplications")
        axes.fill_between(number, sizes, step="mid", color="#0072B2", alpha=0.25)
        axes.step(number, sizes, where="mid", color="#0072B2", label="entries written")
        axes.set(xlabel="contraction", ylabel="log2", ylim=(0, None))
        figure.legend(loc="outside upper center", ncols=2)
    caption = "Entries that each contraction writes and multiplications it takes."
    return Chart("profile", "Cost profile of a contraction plan", caption, figure)
