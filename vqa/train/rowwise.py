"""Products whose every row comes out the same, bit for bit, whatever rows are beside it.

Libraries of linear algebra add up in another order for one row than for many, and at one place among them than at
another. Here each row is multiplied by itself, by the routine for a vector and a matrix; it takes about twice the time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def multiply_rows(rows: Floats, matrix: Floats) -> Floats:
    """Return the product of rows (N, D) with a matrix (D, P) or a vector (D,), each row by itself.

    Returns:
        Shape (N, P), or (N,) for a vector.
    """
    columns = np.ascontiguousarray(matrix[:, None] if matrix.ndim == 1 else matrix)  # another order, another routine
    product: Floats = np.matmul(np.ascontiguousarray(rows)[:, None, :], columns)[:, 0]
    return product[:, 0] if matrix.ndim == 1 else product
