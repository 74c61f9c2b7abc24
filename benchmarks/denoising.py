"""Denoising in expectation beside frozen draws: marginal, fresh draws, K-FAC, and 1 or 20 draws that stay.

For each set of the panel and each level of masking with the column's mean: held-out R2 of clean rows and of corrupted
ones (the mean of ten corruptions), over splits into two thirds to train on and a third to test, with the standard
error of the difference to 20 frozen draws, and the seconds of a fit, all methods in turn, as a ratio to one frozen
draw. Frozen draws are what skae did before: at least 4,000 corrupted rows, fitted by variable projection. All methods
have 32 units (or half as many as features, if these are fewer) and default settings otherwise.
"""

import time
import warnings
from collections import defaultdict
from statistics import median

import numpy as np
from common import parser, print_columns, print_header, print_row
from panel_data import SETS, load_set
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer, DenoisingAutoencoder
from skae._objective.noise import Noise, PreparedCorruption
from skae._rows.blocks import rows_of
from skae.corruption import Masking

# Sets with dense rows; the texts are sparse, where mean filling makes no sense.
NAMES = [name for name in SETS if not name.startswith(("docs", "sms"))]
N_CORRUPTIONS = 10


class FrozenDraws(DenoisingAutoencoder):
    """Minimises the loss of corruptions that are made once, before the search."""

    n_draws = 1

    def _noise(self, architecture, rows, weights, rng):
        prepared = PreparedCorruption(self._corruption(), rows, weights)
        n_draws = max(self.n_draws, -(-4000 // len(rows)))
        return Noise([rows_of(prepared.corrupt(rows.X, rng)) for _ in range(n_draws)])


class TwentyDraws(FrozenDraws):
    n_draws = 20


def methods(size, corruption, seed):
    settings = {"n_components": size, "corruption": corruption, "random_state": seed}
    return {
        "1 frozen draw": FrozenDraws(**settings),
        "20 frozen draws": TwentyDraws(**settings),
        "default": DenoisingAutoencoder(**settings),
        "marginal": DenoisingAutoencoder(expectation="marginal", **settings),
        "fresh": DenoisingAutoencoder(expectation="fresh", **settings),
        "fresh, kfac": DenoisingAutoencoder(expectation="fresh", solver="kfac", **settings),
        "plain": AutoencoderTransformer(size, random_state=seed),
    }


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--sets", nargs="+", choices=SETS, default=NAMES, help="(default: the dense ones)")
    arguments.add_argument("--levels", nargs="+", type=float, default=[0.25, 0.5], help="(default: 0.25 0.5)")
    arguments.add_argument("--splits", type=int, default=5, help="(default: 5)")
    arguments.add_argument("--rows", type=int, default=2000, help="of a set, at most (default: 2000)")
    arguments.add_argument("--folder", default="../shared/data", help="with the panel's files (default: %(default)s)")
    arguments = arguments.parse_args()
    warnings.simplefilter("ignore")
    print_header(f"Denoising in expectation: {arguments.splits} splits, at most {arguments.rows} rows")
    print_columns("set", "level", "method", "R2 clean", "less 20 draws", "R2 corrupted", "less 20 draws", "seconds")
    for name in arguments.sets:
        data = load_set(name, arguments.folder, arguments.rows)
        if data is None:
            print_row(name, "-", "its file is missing", *[""] * 5)
            continue
        for level in arguments.levels:
            print_level(name, level, records(data, level, arguments.splits))


def records(data, level, n_splits):
    """Return, by method, one (R2 of clean rows, R2 of corrupted rows, seconds) a split."""
    result = defaultdict(list)
    for seed in range(n_splits):
        raw, raw_test = train_test_split(data.X, test_size=1 / 3, random_state=seed)
        X, X_test = (
            np.asarray(part, dtype=np.float64)
            for part in (data.preparation.fit_transform(raw), data.preparation.transform(raw_test))
        )
        corruption = Masking(level, fill="mean")
        prepared, rng = corruption.prepare(X, np.ones(len(X))), np.random.default_rng(seed)
        corrupted = [prepared.corrupt(X_test, rng) for _ in range(N_CORRUPTIONS)]
        total = np.sum((X_test - X_test.mean(axis=0)) ** 2)
        for name, method in methods(min(32, -(-X.shape[1] // 2)), corruption, seed).items():
            start = time.perf_counter()
            method.fit(X)
            seconds = time.perf_counter() - start
            r2 = [1 - np.sum((method.reconstruct(rows) - X_test) ** 2) / total for rows in (X_test, *corrupted)]
            result[name].append((r2[0], np.mean(r2[1:]), seconds))
    return result


def print_level(name, level, by_method):
    reference = np.array(by_method["20 frozen draws"])
    unit = median(seconds for *_, seconds in by_method["1 frozen draw"])
    for method, values in by_method.items():
        values = np.array(values)
        differences = values[:, :2] - reference[:, :2]
        errors = differences.std(axis=0, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else (np.nan, np.nan)
        cells = []
        for column in range(2):
            cells.append(f"{values[:, column].mean():.3f}")
            cells.append(f"{differences[:, column].mean():+.4f} ± {errors[column]:.4f}")
        seconds = median(values[:, 2])
        print_row(name, f"{level:g}", method, *cells, f"{seconds:.2f} ({seconds / unit:.1f})")


if __name__ == "__main__":
    main()
