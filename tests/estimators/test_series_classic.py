"""Sub-PCA and the spectral residual: by their definitions, and what they are good at."""

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fintech_dl import SpectralResidual, SubPCA
from fintech_dl.features.series import cut


@parametrize_with_checks([SubPCA(), SpectralResidual()])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_sub_pca_is_what_its_definition_says():
    X = np.random.default_rng(0).normal(size=(50, 4)) @ np.diag([3.0, 2.0, 1.0, 0.5])
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    model = SubPCA().fit(X)
    turned = [np.sign(c @ v) for c, v in zip(model.components_, vectors.T[::-1], strict=True)]
    same = sum(
        np.linalg.norm(z - sign * vector, axis=1) / (value / values.sum())
        for sign, value, vector in zip(turned, values[::-1], vectors.T[::-1], strict=True)
    )
    np.testing.assert_allclose(model.anomaly_score(X), same, rtol=1e-8)


def test_sub_pca_finds_another_shape():
    t = np.arange(600)
    x = np.sin(t * 2 * np.pi / 25) + np.random.default_rng(0).normal(0, 0.02, 600)
    x[300:325] = np.sin(t[300:325] * 4 * np.pi / 25)
    scores = SubPCA().fit(cut(x[:, None], 25)).anomaly_score(cut(x[:, None], 25))
    assert 280 <= scores.argmax() <= 325


@pytest.mark.parametrize("X", [np.ones((5, 3)), np.eye(3), [[1.0, 2.0]]], ids=str)
def test_sub_pca_answers_rows_that_hardly_differ(X):
    assert np.isfinite(SubPCA().fit(X).anomaly_score(X)).all()


def slow_saliency(x, size):
    x = (x - x.min()) / (x.max() - x.min())
    f = np.fft.fft(x)
    log = np.log(np.abs(f))
    mean = [log[max(0, i - size + 1) : i + 1].mean() for i in range(len(x))]
    return np.abs(np.fft.ifft(np.exp(log - mean + 1j * np.angle(f))))


@pytest.mark.parametrize("size", [3, 10])
def test_saliency_is_what_its_definition_says(size):
    x = np.random.default_rng(0).normal(size=64)
    found = SpectralResidual(smooth=size).saliency(np.stack([x, 2 * x + 5]))
    np.testing.assert_allclose(found[0], slow_saliency(x, size), rtol=1e-8)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-8)  # units do not matter


def test_the_last_step_of_a_window_is_scored():
    t = np.arange(400)
    x = np.sin(t / 5) + np.random.default_rng(0).normal(0, 0.05, 400)
    x[300] += 2
    windows = cut(x[:, None], 50)
    scores = SpectralResidual().fit(windows).anomaly_score(windows)
    at = 300 - 49
    assert scores[at] > 1.2 * scores[:at].max()
    assert scores[at] > scores[at + 5 :].max()


def test_the_most_salient_channel_counts():
    t = np.arange(300)
    x = np.column_stack([np.sin(t / 5), np.cos(t / 5)])
    x[200, 1] += 2
    windows = cut(x, 50)
    names = [f"{c}@-{lag}" for lag in range(49, -1, -1) for c in "ab"]
    by_name = SpectralResidual().fit(pd.DataFrame(windows, columns=names))
    assert by_name.n_channels_ == 2
    by_number = SpectralResidual(channels=2).fit(windows)
    one = by_name.anomaly_score(pd.DataFrame(windows, columns=names))
    np.testing.assert_array_equal(one, by_number.anomaly_score(windows))
    at = 200 - 49
    assert one[at] > 1.2 * one[:at].max()


@pytest.mark.parametrize("X", [np.ones((4, 30)), np.zeros((2, 2)), np.ones((1, 1))], ids=str)
def test_flat_windows_have_finite_scores(X):
    assert np.isfinite(SpectralResidual().fit(X).anomaly_score(X)).all()


def test_columns_that_are_no_steps_are_refused():
    with pytest.raises(ValueError, match="channels=3 does not divide the 10 columns"):
        SpectralResidual(channels=3).fit(np.ones((4, 10)))


@pytest.mark.parametrize("estimator", [SubPCA, SpectralResidual])
def test_a_share_out_of_range_is_refused(estimator):
    with pytest.raises(ValueError, match=r"contamination=0.7"):
        estimator(contamination=0.7).fit(np.eye(4))
