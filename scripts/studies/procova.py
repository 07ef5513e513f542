"""Type-I error, variance and power of trials adjusted by a prognostic score.

Usage: python scripts/studies/procova.py [trials]
"""

from __future__ import annotations

import sys

import numpy as np

from omics_twin.evaluate.procova import adjusted_effect, power


def main(trials: int, patients: int = 200) -> None:
    """Print every number."""
    rng = np.random.default_rng(0)
    arm = np.zeros((trials, patients))
    arm[:, ::2] = 1.0
    for correlation in (0.0, 0.3, 0.5, 0.7):
        score = rng.standard_normal((trials, patients))
        noise = rng.standard_normal((trials, patients))
        control = correlation * score + np.sqrt(1 - correlation**2) * noise
        plain, adjusted = adjusted_effect(control, arm), adjusted_effect(control, arm, score)
        ratio = adjusted.effect.var() / plain.effect.var()
        treated = adjusted_effect(control + 0.35 * arm, arm, score)
        expected = power(0.35, 1.0, patients, correlation)
        print(
            f"R {correlation:.1f}: type-I error {np.mean(adjusted.p_value < 0.05):.4f} "
            f"(unadjusted {np.mean(plain.p_value < 0.05):.4f}), variance ratio {ratio:.3f} "
            f"(1 - R^2 = {1 - correlation**2:.3f}), power {np.mean(treated.p_value < 0.05):.3f} "
            f"(closed form {expected:.3f})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
