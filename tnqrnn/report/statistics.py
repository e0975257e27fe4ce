"""Means over repeated runs and how far to trust them."""

from typing import NamedTuple

import numpy as np
import scipy.special
import xarray as xr


class Interval(NamedTuple):
    """A mean with its 95% confidence interval, elementwise.

    Attributes:
        mean: of the values that are not NaN; geometric if asked for.
        low, high: ends of the interval; NaN where there is one value only.
        n_runs: number of values.
    """

    mean: xr.DataArray
    low: xr.DataArray
    high: xr.DataArray
    n_runs: xr.DataArray


def mean_interval(values: xr.DataArray, over: str, *, log: bool = False) -> Interval:
    """Mean over a dimension and Student's t interval of 95%.

    With k values of standard deviation s (k - 1 in the denominator) the half-width is
    t(0.975, k - 1) s / sqrt(k): 12.7 s / sqrt(2) for two seeds, 2.8 s / sqrt(5) for
    five. The interval is exact for normally distributed values.

    Args:
        values: any dimensions; NaN entries are left out.
        over: the dimension of repetition, usually the seed.
        log: takes mean and interval of the logarithms and gives them back as powers
            (geometric mean), for positive quantities drawn on a logarithmic axis;
            values that are not positive are left out.

    >>> import xarray as xr
    >>> x = xr.DataArray([1.0, 2.0, 3.0], dims="seed")
    >>> [round(float(v), 3) for v in mean_interval(x, "seed")]
    [2.0, -0.484, 4.484, 3.0]
    """
    if log:
        positive = values.where(values > 0)
        logs = mean_interval(xr.apply_ufunc(np.log, positive), over)
        mean, low, high = (xr.apply_ufunc(np.exp, end) for end in logs[:3])
        return Interval(mean, low, high, logs.n_runs)
    count = values.count(over)
    mean = values.mean(over)
    quantile = scipy.special.stdtrit(count.where(count > 1) - 1.0, 0.975)
    half = quantile * values.std(over, ddof=1) / np.sqrt(count)
    return Interval(mean, mean - half, mean + half, count)


def log_slope(x: xr.DataArray, y: xr.DataArray, over: str) -> Interval:
    """Exponent p of ``y ~ x**p`` and its Student's t interval of 95%.

    Each repetition has a least-squares line through the logarithms of its points; mean
    and interval are those of their slopes (`mean_interval`). Points of one repetition
    need not be independent of each other.

    Args:
        x: any dimensions.
        y: of the same dimensions; a point where x or y is not positive is left out, and
            so is a repetition with fewer than two points.
        over: the dimension of repetition.

    >>> import xarray as xr
    >>> x = xr.DataArray([[1.0, 4.0, 9.0]], dims=("seed", "point"))
    >>> round(float(log_slope(x, 3 * x**0.5, "seed").mean), 6)
    0.5
    """
    positive = (x > 0) & (y > 0)
    dims = [dim for dim in positive.dims if dim != over]
    logs = (xr.apply_ufunc(np.log, values.where(positive)) for values in (x, y))
    dx, dy = (log - log.mean(dims) for log in logs)
    slope = (dx * dy).sum(dims) / (dx**2).sum(dims, min_count=2)
    return mean_interval(slope, over)
