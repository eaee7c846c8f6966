"""FT-Transformer: published counts, attention as it is known, columns in any order."""

import numpy as np
import pandas as pd
import pytest

from fintech_dl import FTTransformer, NeuralClassifier, NeuralDetector
from fintech_dl.networks.backend import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
SMALL = FTTransformer(blocks=2, units=8, heads=2)


def columns(n, sizes=()):
    found = [{"name": f"x{i}", "kind": "number", "categories": [], "has_missing": False}
             for i in range(n)]  # fmt: skip
    return [*found, *({"name": f"c{n}", "kind": "category", "categories": list(range(n))}
                      for n in sizes)]  # fmt: skip


def built(network, columns, n_outputs=1, embed=True):
    """Return a Keras model of a network."""
    k = keras()
    x = k.Input((len(columns),))
    encoding = network.encoding(columns, embed)
    encoding.name = "encoding"
    return k.Model(x, network.head(network(encoding(x)), n_outputs))


@pytest.mark.parametrize("sizes", [(), (2, 30)])
def test_it_has_the_published_number_of_parameters(sizes):
    d, blocks, hidden = 192, 3, 256
    model = built(FTTransformer(units=d), columns(10, sizes), n_outputs=2)
    tokens = 10 * 2 * d + sum(sizes) * d + len(sizes) * d + d  # the last is the summary's
    attention = 4 * (d * d + d)
    dense = d * 2 * hidden + 2 * hidden + hidden * d + d
    norms = (2 * blocks - 1 + 1) * 2 * d  # none before the first block, one before the head
    expected = tokens + blocks * (attention + dense) + norms + 2 * d + 2
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == expected


def attention(first=False):
    from fintech_dl.networks.tokens import Attention

    return Attention(heads=2, dropout=0.0, first=first)


def test_attention_is_that_of_keras():
    k, tokens = keras(), RNG.normal(size=(5, 3, 8)).astype(np.float32)
    ours, theirs = attention(), k.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    own = np.asarray(ours(tokens))
    theirs(tokens, tokens)
    pieces = []
    for name in ("query", "key", "value"):
        kernel, bias = (np.asarray(w) for w in ours.maps[name].weights)
        pieces += [kernel.reshape(8, 2, 4), bias.reshape(2, 4) + 0.1]
        ours.maps[name].bias.assign(bias + 0.1)
    kernel, bias = (np.asarray(w) for w in ours.maps["out"].weights)
    theirs.set_weights([*pieces, kernel.reshape(2, 4, 8), bias])
    assert not np.allclose(np.asarray(ours(tokens)), own)
    np.testing.assert_allclose(np.asarray(ours(tokens)), theirs(tokens, tokens), atol=1e-5)


def test_the_last_block_computes_the_summary_alone():
    tokens = RNG.normal(size=(5, 3, 8)).astype(np.float32)
    one, every = attention(first=True), attention()
    one(tokens), every(tokens)
    one.set_weights(every.get_weights())
    assert one(tokens).shape == (5, 1, 8)
    np.testing.assert_allclose(np.asarray(one(tokens)), np.asarray(every(tokens))[:, :1], atol=1e-6)


def test_columns_in_another_order_score_alike_with_their_vectors_in_that_order():
    model, order = built(SMALL, columns(4)), [2, 0, 3, 1]
    encoding = model.get_layer("encoding")
    encoding.adapt(X, np.ones(len(X)))
    before = np.asarray(model(X))
    encoding.adapt(X[:, order], np.ones(len(X)))
    assert not np.allclose(np.asarray(model(X[:, order])), before, atol=1e-3)
    for w in (encoding.tokens.kernel, encoding.tokens.bias):
        w.assign(np.asarray(w)[order])
    np.testing.assert_allclose(np.asarray(model(X[:, order])), before, atol=1e-5)


def test_a_number_counts_by_its_place_among_the_training_rows():
    encodings = [SMALL.encoding(columns(4), True) for _ in range(2)]
    for encoding, rows in zip(encodings, (X, np.exp(X) * 1e4), strict=True):
        encoding.build(X.shape)
        encoding.adapt(rows, np.ones(len(X)))
    encodings[1].tokens.set_weights(encodings[0].tokens.get_weights())
    at = np.sort(X, axis=0)[[0, 150, 299]]  # the same order, whatever the unit
    one = np.asarray(encodings[0](at))
    other = np.asarray(encodings[1]((np.exp(at) * 1e4).astype(np.float32)))
    assert np.ptp(one, axis=0).max() > 1
    np.testing.assert_allclose(one, other, atol=0.02)


def test_every_column_has_one_token_and_each_kind_of_missing_its_own():
    given = columns(3, (2, 30))
    given[1]["has_missing"] = True
    given[1]["special_codes"] = [-9.0]
    encoding = SMALL.encoding(given, True)
    rows = np.zeros((6, 5), dtype=np.float32)
    rows[:, :3] = X[:6, :3]
    rows[1:4, 1] = [-9, np.nan, np.median(X[:, 1])]
    rows[:, 3:] = [[1, 1], [1, 1], [1, 1], [1, 1], [0, 2], [2, 0]]
    encoding.build(rows.shape)
    encoding.adapt(np.r_[rows, np.c_[X[:, :3], np.ones((300, 2))]].astype(np.float32), np.ones(306))
    tokens = np.array(encoding(rows))
    assert tokens.shape == (6, 5, 8)
    assert len({tuple(t) for t in tokens[:4, 1].round(5)}) == 4
    tokens[:, 3:] -= np.asarray(encoding.bias)
    table = np.asarray(encoding.table)
    np.testing.assert_allclose(tokens[:, 3], [*table[[0] * 4], np.zeros(8), table[1]], atol=1e-6)
    np.testing.assert_allclose(tokens[:, 4], [*table[[2] * 4], table[3], np.zeros(8)], atol=1e-6)


def test_missing_and_unseen_categories_score_alike():
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["home"] = np.where(X[:, 2] > 0, "own", "rent")
    frame["branch"] = RNG.integers(0, 40, 300).astype(str)
    frame.loc[::5, ["a", "home"]] = np.nan
    model = NeuralClassifier(network=SMALL, epochs=3, learning_rate=0.01, random_state=0)
    model.fit(frame, (X[:, 2] > 0).astype(int))
    both = [frame[:20].assign(home=value, branch=value) for value in (None, "other")]
    scores = [model.predict_proba(rows)[:, 1] for rows in both]
    np.testing.assert_array_equal(*scores)
    assert not np.array_equal(scores[0], model.predict_proba(frame[:20])[:, 1])


def test_categories_alone_are_enough():
    frame = pd.DataFrame(
        {"home": np.where(Y, "own", "rent"), "empty": pd.Categorical([None] * 300)}
    )
    model = NeuralClassifier(network=SMALL, epochs=20, learning_rate=0.01, random_state=0)
    assert model.fit(frame, Y).score(frame, Y) == 1


def test_it_learns_a_pairwise_interaction():
    rows = RNG.normal(size=(1500, 4)).astype(np.float32)
    y = (rows[:, 0] * rows[:, 1] > 0).astype(int)
    network = FTTransformer(blocks=2, units=16, heads=2, attention_dropout=0.0)
    model = NeuralClassifier(network=network, epochs=15, learning_rate=5e-3, random_state=0)
    assert model.fit(rows[:1000], y[:1000]).score(rows[1000:], y[1000:]) > 0.93


def test_a_detector_has_a_token_per_encoded_column():
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 0] + 1, "home": np.where(Y, "own", "rent")})
    model = NeuralDetector(network=SMALL, epochs=1).fit(frame)
    assert model._live().model.get_layer("tokens").kernel.shape == (4, 8)


def test_the_size_of_a_vector_is_a_multiple_of_the_heads():
    with pytest.raises(ValueError, match="units=10; allowed: a multiple of heads=4"):
        NeuralClassifier(network=FTTransformer(units=10, heads=4)).fit(X, Y)
