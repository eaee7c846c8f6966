"""Several views of a row: what each sees, how they are added, rows that are few or odd."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors

from fintech_dl import MultiView, NeuralDetector
from fintech_dl.networks.backend import keras
from fintech_dl.networks.multi_view import VIEWS

SHORT = {"epochs": 1, "batch_size": 256, "random_state": 0}
RNG = np.random.default_rng(0)
NORMAL = (RNG.normal(size=(900, 2)) @ RNG.normal(size=(2, 4))).astype(np.float32)
TRAIN, LATE = NORMAL[:600], NORMAL[600:]
ODD = np.column_stack([RNG.permutation(column) for column in LATE.T])


@pytest.fixture(scope="module")
def alone():
    """Return a detector of each view by itself."""
    return {
        view: NeuralDetector(network=MultiView(units=8, views=(view,)), **SHORT).fit(TRAIN)
        for view in VIEWS
    }


def layer(name, *given):
    """Return a view's layer that has learned from the training rows."""
    from fintech_dl.networks import views

    made = getattr(views, name)(*given)
    made.build((None, TRAIN.shape[1]))
    made.learn(TRAIN)
    return made


def amount(made, rows):
    ops = keras().ops
    return ops.convert_to_numpy(made._amount(ops.convert_to_tensor(np.asarray(rows, np.float32))))


@pytest.mark.parametrize("nearest", [1, 3])
def test_a_row_is_compared_with_its_nearest_kept_rows(nearest):
    made = layer("Neighbours", 4096, nearest)
    near = NearestNeighbors(n_neighbors=nearest + 1).fit(TRAIN)
    found = near.kneighbors(LATE, n_neighbors=nearest)[0].mean(axis=1)
    np.testing.assert_allclose(amount(made, LATE), found, rtol=1e-4, atol=1e-5)
    others = near.kneighbors(TRAIN)[0][:, 1:].mean(axis=1)  # a row is not its own neighbour
    np.testing.assert_allclose(amount(made, TRAIN), others, rtol=1e-4, atol=1e-5)


def test_fewer_rows_are_kept_than_there_are():
    made = layer("Neighbours", 100, 1)
    kept = keras().ops.convert_to_numpy(made.rows)
    assert len(np.unique(kept, axis=0)) == 100
    found = NearestNeighbors(n_neighbors=1).fit(kept).kneighbors(LATE)[0][:, 0]
    np.testing.assert_allclose(amount(made, LATE), found, rtol=1e-4, atol=1e-5)


def test_an_ellipsoid_is_not_moved_by_anomalies_among_the_training_rows():
    spread = RNG.normal(size=(600, 3)).astype(np.float32)
    spoilt = np.vstack([spread[:540], RNG.normal(8, 0.1, size=(60, 3)).astype(np.float32)])
    from fintech_dl.networks.views import Ellipsoid

    found = []
    for rows in (spread, spoilt):
        made = Ellipsoid()
        made.build((None, 3))
        made.learn(rows)
        found.append(amount(made, [[8.0, 8.0, 8.0], [0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found[1], found[0], rtol=0.35, atol=0.15)
    assert found[1][0] > 5 * found[1][2] > 20 * found[1][1]


def test_a_histogram_sees_rare_values_and_values_out_of_range():
    made = layer("Histograms")
    usual = np.median(TRAIN, axis=0)
    rare, beyond, far = usual.copy(), usual.copy(), usual.copy()
    rare[0], top, span = TRAIN[:, 0].max(), TRAIN[:, 0].max(), np.ptp(TRAIN[:, 0])
    beyond[0], far[0] = top + 0.1 * span, top + 100 * span
    found = amount(made, [usual, rare, beyond, far])
    assert (np.diff(found) > 0).all()
    assert found[3] - found[1] == pytest.approx(5.0, abs=1e-3)


def test_views_count_in_deviations_of_the_training_rows_and_are_averaged(alone):
    several = ("neighbours", "ellipsoid", "histograms")
    single = [alone[view].anomaly_score(TRAIN) for view in several]
    for scores in single:
        assert scores.mean() == pytest.approx(0, abs=1e-3)
        assert scores.std() == pytest.approx(1, abs=1e-3)
    model = NeuralDetector(network=MultiView(units=8, views=several), **SHORT).fit(TRAIN)
    each = [alone[view].anomaly_score(LATE) for view in several]
    expected = np.average(each, axis=0, weights=[2, 1, 1])
    np.testing.assert_allclose(model.anomaly_score(LATE), expected, atol=1e-4)


def test_what_the_network_says_is_counted_in_deviations_too():
    network = MultiView(units=16, dropout=0.0, views=("noise",))
    given = {"epochs": 80, "batch_size": 64, "learning_rate": 5e-3, "random_state": 0}
    model = NeuralDetector(network=network, **given).fit(TRAIN)
    scores = model.anomaly_score(TRAIN)
    assert scores.mean() == pytest.approx(0, abs=1e-3)
    assert scores.std() == pytest.approx(1, abs=1e-3)
    odd = model.anomaly_score(np.vstack([LATE, ODD]))
    assert roc_auc_score(np.repeat([0, 1], len(LATE)), odd) > 0.75


@pytest.mark.parametrize("view", VIEWS)
def test_scores_are_finite_and_alone_as_in_company(alone, view):
    model = alone[view]
    rows = np.vstack([LATE[:20], np.full((1, 4), 1e30), np.full((1, 4), np.nan)])
    scores = model.anomaly_score(rows)
    assert np.isfinite(scores).all()
    assert np.array_equal(scores[7:8], model.anomaly_score(rows[7:8]))


@pytest.mark.parametrize("rows", [TRAIN[:1], TRAIN[:3], np.repeat(TRAIN[:1], 9, axis=0)])
def test_rows_that_are_few_or_equal_are_learned_from(rows):
    model = NeuralDetector(network=MultiView(units=4, views=VIEWS), **SHORT).fit(rows)
    assert np.isfinite(model.anomaly_score(LATE)).all()


def test_said_to_hold_anomalies_training_rows_are_looked_at_from_further_away():
    cluster = LATE[:60] * 0.05 + [6.0, -6.0, 6.0, -6.0]  # close together: each is near another
    rows = np.vstack([TRAIN, cluster])
    is_odd = np.repeat([0, 1], [len(TRAIN), len(cluster)])
    worth = [
        roc_auc_score(
            is_odd, NeuralDetector(contaminated=said, **SHORT).fit(rows).anomaly_score(rows)
        )
        for said in (False, True)
    ]
    assert worth[1] > 0.95
    assert worth[1] > worth[0] + 0.1
