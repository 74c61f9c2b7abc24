"""The linear autoencoder of rows with missing entries, by expectation-maximisation.

With weight decay alpha and a code as wide as the rows, the linear autoencoder of rows with covariance C reconstructs x
as x - alpha C^-1 (x - mean), if no eigenvalue of C is below alpha. Where missing entries equal their reconstructions,
(C^-1 (x - mean))_missing = 0: they are the conditional means, given the observed entries, of a Gaussian with covariance
C. Each round of its EM algorithm fills with these means, and adds the mean conditional covariance of the missing
entries to the covariance of the filled rows: without it, the model would take what it filled itself for certain. A
ridge of alpha keeps the eigenvalues of C above alpha. With it the reconstruction is that of a linear denoising
autoencoder with Gaussian noise of variance alpha.

References
----------
M. E. Tipping and C. M. Bishop, "Probabilistic principal component analysis", Journal of the Royal Statistical Society B
61, 1999. T. Schneider, "Analysis of incomplete climate data: estimation of mean values and covariance matrices and
imputation of missing values", Journal of Climate 14, 2001.
"""

from dataclasses import dataclass, replace

import numpy as np

from skae._estimators.autoencoder import AutoencoderTransformer
from skae._imputation.rounds import Rounds

# Entries of the matrices that are inverted, or multiplied with rows, at a time.
_BATCH_ENTRIES = 2**21

# A range of a column that is rounding: those of columns that vary are above 1.
_CONSTANT = 1e-6


def conditional_means(Z, mean, precision, weights=None):
    """Return rows with their missing entries at their conditional means, and the weighted sum of the covariances.

    Parameters
    ----------
    Z : ndarray of shape (n_samples, n_features)
        Rows; NaN where an entry is missing.

    mean : ndarray of shape (n_features,)

    precision : ndarray of shape (n_features, n_features)
        Inverse of the covariance, up to a factor.

    weights : ndarray of shape (n_samples,), default=None
        None: the covariances are not needed.
    """
    missing = np.isnan(Z)
    deviations = np.where(missing, 0.0, Z - mean)
    slopes = deviations @ precision
    filled, total = deviations + mean, np.zeros(precision.size)
    filled[~missing] = Z[~missing]
    patterns, pattern_of = np.unique(missing, axis=0, return_inverse=True)
    pattern_of, counts = pattern_of.ravel(), patterns.sum(axis=1)
    shares = None if weights is None else np.bincount(pattern_of, weights, len(patterns))
    for count in np.unique(counts[counts > 0]):
        of_count = np.flatnonzero(counts == count)
        for batch in _batches(of_count, count):
            where = np.nonzero(patterns[batch])[1].reshape(len(batch), count)
            covariances = np.linalg.inv(precision[where[:, :, None], where[:, None, :]])
            for rows in _batches(np.flatnonzero(np.isin(pattern_of, batch)), count):
                place = np.searchsorted(batch, pattern_of[rows])
                columns = where[place]
                steps = np.einsum("rij,rj->ri", covariances[place], slopes[rows[:, None], columns])
                filled[rows[:, None], columns] = mean[columns] - steps
            if weights is not None:
                entries = where[:, :, None] * len(mean) + where[:, None, :]
                total += np.bincount(entries.ravel(), (shares[batch, None, None] * covariances).ravel(), total.size)
    return filled, total.reshape(precision.shape)


def _batches(indices, count):
    """Split indices into parts for which as many matrices, (count, count), are held at a time."""
    n_parts = -(-len(indices) * count**2 // _BATCH_ENTRIES)
    return np.array_split(indices, min(n_parts, len(indices)))


@dataclass(frozen=True, eq=False)
class GaussianRounds(Rounds):
    """Rounds of the linear autoencoder in closed form.

    Attributes
    ----------
    mean, covariance : ndarray of shape (n_features,) and (n_features, n_features)
        Of the rows; the covariance with the ridge.

    uncertainty : ndarray of shape (n_features, n_features)
        Mean conditional covariance of the missing entries.
    """

    mean: np.ndarray | None = None
    covariance: np.ndarray | None = None
    uncertainty: np.ndarray | float = 0.0

    def next(self, Z, weights, alpha):
        mean = np.average(self.filled, axis=0, weights=weights)
        deviations = self.filled - mean
        covariance = (deviations.T * (weights / weights.sum())) @ deviations + self.uncertainty
        covariance[np.diag_indices_from(covariance)] += alpha
        filled, total = conditional_means(Z, mean, np.linalg.inv(covariance), weights)
        return replace(self, filled=filled, mean=mean, covariance=covariance, uncertainty=total / weights.sum())

    def autoencoder(self, alpha):
        """Return the autoencoder of mean and covariance, all that it depends on, from rows that have these."""
        varies = np.ptp(self.filled, axis=0) > _CONSTANT
        values, axes = np.linalg.eigh(self.covariance * np.outer(varies, varies))
        # Axes without more than the ridge are reconstructed by their mean: rows need not vary along them.
        offsets = (axes * np.sqrt(len(values) * np.where(values > alpha, values, 0.0))) @ axes.T
        linear = AutoencoderTransformer(len(values), activation="identity", alpha=alpha, solver="svd")
        return linear.fit(np.concatenate([self.mean + offsets, self.mean - offsets]))

    @staticmethod
    def fill(autoencoder, Z, fillings, max_iter, tol):
        encoder, decoder = autoencoder.coefs_
        return conditional_means(Z, autoencoder.mean_, np.eye(len(encoder)) - encoder @ decoder)[0], True
