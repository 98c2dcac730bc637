#!/usr/bin/env python3
"""Minimax polynomials of include/vbp/kernels/detail/math.hpp (needs numpy and scipy).

exp:  e^r = 1 + r + r^2 P(r) on |r| <= ln(2) / 2, relative error minimised.
gelu: GELU(x) = max(x, 0) - h(|x|), h(a) = a Phi(-a) = a exp(-a^2 / 2) R(u), u = 2 a / A - 1; the absolute
      error of h is minimised over [0, A], and above A the value at A serves: h is below 1e-6 there.

Each is a linear programme over Chebyshev nodes; the power-basis coefficients are printed, lowest first.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.special import erfcx


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

    limit = 5.25
    a = nodes(0.0, limit)
    weight = a * np.exp(-a * a / 2)
    chebyshev = np.polynomial.chebyshev.chebvander(2 * a / limit - 1, 10) * weight[:, None]
    coefficients, error = minimax(chebyshev * scale, 0.5 * erfcx(a / np.sqrt(2)) * weight * scale)
    show(f"gelu, A = {limit}", np.polynomial.chebyshev.cheb2poly(coefficients), error / scale)


if __name__ == "__main__":
    main()
