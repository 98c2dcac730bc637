#!/usr/bin/env python3
"""Minimax polynomials of math.hpp and activation_backward.hpp in include/vbp/kernels/detail (needs numpy, scipy).

exp:  e^r = 1 + r + r^2 P(r) on |r| <= ln(2) / 2, relative error minimised: a linear programme over Chebyshev nodes.
power: 2^r = 1 + r P(r) on |r| <= 1 / 2, relative error minimised by iteratively reweighted least squares.
gelu: GELU(x) = max(x, 0) - h(|x|), h(a) = a Phi(-a). Eight polynomials of degree 6 serve Phi(-a), one around each
      multiple of LIMIT / 7.5, in r = a 7.5 / LIMIT - n, |r| <= 1 / 2; the absolute error of h is minimised (by
      iteratively reweighted least squares), and above LIMIT the value at LIMIT serves: h is below 6.1e-8 there.
slope: the absolute error of Phi(-a) = exp(-a^2 / 2) R(2 a / A - 1) is minimised over [0, A].

Power-basis coefficients are printed, lowest first; of gelu one row a power, one column a polynomial.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.special import erfc, erfcx


def minimax(basis: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients c minimising max |basis c - target|, and that maximum."""
    rows, terms = basis.shape
    slack = -np.ones((rows, 1))
    result = linprog(
        np.r_[np.zeros(terms), 1.0],
        A_ub=np.block([[basis, slack], [-basis, slack]]),
        b_ub=np.r_[target, -target],
        bounds=[(None, None)] * terms + [(0, None)],
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return result.x[:-1], result.x[-1]


def reweighted(basis: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """The same by Lawson's algorithm, which reaches errors below a linear programme's tolerances."""
    weight = np.ones_like(target)
    for _ in range(100):
        root = np.sqrt(weight)
        coefficients = np.linalg.lstsq(basis * root[:, None], target * root, rcond=None)[0]
        error = np.abs(basis @ coefficients - target)
        weight *= error + 1e-16
        weight /= weight.sum()
    return coefficients, error.max()


def nodes(low: float, high: float, count: int = 4000) -> np.ndarray:
    return low + (high - low) * 0.5 * (1 - np.cos(np.pi * np.arange(count) / (count - 1)))


def show(name: str, coefficients: np.ndarray, error: float) -> None:
    print(name, "maximum error", error)
    for value in coefficients:
        print(f"  {float(value):.9e}F,  // {float(np.float32(value)).hex()}")


def main() -> None:
    scale = 1e6  # keeps the programme's tolerances far below the error that is minimised
    r = nodes(-np.log(2) / 2, np.log(2) / 2)
    weight = r * r / np.exp(r)
    powers = np.vander(r, 5, increasing=True) * weight[:, None]
    coefficients, error = minimax(powers * scale, (np.exp(r) - 1 - r) / np.exp(r) * scale)
    show("exp", coefficients, error / scale)

    r = nodes(-0.5, 0.5)
    weight = r / 2.0**r
    coefficients, error = reweighted(np.vander(r, 5, increasing=True) * weight[:, None], (2.0**r - 1) / 2.0**r)
    show("power", coefficients, error)

    limit, intervals, degree = 5.6, 8, 6
    width = limit / (intervals - 0.5)
    table, worst = np.zeros((degree + 1, intervals)), 0.0
    for n in range(intervals):
        r = nodes(0.0 if n == 0 else -0.5, 0.5, 600)
        a = (n + r) * width
        chebyshev = np.polynomial.chebyshev.chebvander(2 * r, degree) * a[:, None]
        coefficients, error = reweighted(chebyshev, a * 0.5 * erfc(a / np.sqrt(2)))
        worst = max(worst, error)
        table[:, n] = np.polynomial.chebyshev.cheb2poly(coefficients) * 2.0 ** np.arange(degree + 1)
    print(f"gelu, LIMIT = {limit} maximum error {worst}")
    for power in table:
        print("  {" + ", ".join(f"{float(value):.9e}F" for value in power) + "},")

    limit = 5.25
    a = nodes(0.0, limit)
    weight = np.exp(-a * a / 2)
    chebyshev = np.polynomial.chebyshev.chebvander(2 * a / limit - 1, 10) * weight[:, None]
    coefficients, error = minimax(chebyshev * scale, 0.5 * erfcx(a / np.sqrt(2)) * weight * scale)
    show(f"slope, A = {limit}", np.polynomial.chebyshev.cheb2poly(coefficients), error / scale)


if __name__ == "__main__":
    main()
