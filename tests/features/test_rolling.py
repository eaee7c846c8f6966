import numpy as np
import pytest

from fintech_dl.features import rolling
from fintech_dl.features.rolling import by_entity, running_sum


def random_rows(n=500, n_entities=12, last_time=200, seed=0):
    random = np.random.default_rng(seed)
    time = np.sort(random.integers(0, last_time, n))
    entity = random.integers(0, n_entities, n)
    entity[:n_entities] = np.arange(n_entities)
    return entity, time


@pytest.mark.parametrize(
    ("part_rows", "largest_key", "n_parts"),
    [(2**15, 2**62, 1), (1, 2**62, 12), (100, 2**62, 5), (2**15, 1, 12), (2**15, 2_000, 3)],
)
@pytest.mark.parametrize("back", [0, 1, 17, 199, 200, 10**15])
def test_windows_are_those_counted_row_by_row(monkeypatch, part_rows, largest_key, n_parts, back):
    monkeypatch.setattr(rolling, "PART_ROWS", part_rows)
    monkeypatch.setattr(rolling, "LARGEST_KEY", largest_key)
    entity, time = random_rows()
    order = by_entity(entity, time)
    assert len(order.parts) - 1 == n_parts
    in_window = order.to_rows(np.arange(len(time)) + 1 - order.since(back))
    earlier = order.to_rows(np.arange(len(time)) - order.same_time)
    for i in range(len(time)):
        own = np.flatnonzero(entity[: i + 1] == entity[i])
        if back:
            assert in_window[i] == (time[own] > time[i] - back).sum()
        assert earlier[i] == (time[own[:-1]] == time[i]).sum()


def test_looking_back_zero_ends_after_the_rows_of_the_same_time():
    order = by_entity(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 6]))
    assert order.since(0).tolist() == [2, 2, 3, 4]
    assert order.same_time.tolist() == [0, 0, 2, 3]


def test_microseconds_of_many_entities_do_not_overflow():
    years = 30 * 365 * 86_400_000_000
    n = 10_000
    entity = np.repeat(np.arange(n), 2)
    time = np.repeat([0, years], n)
    order = by_entity(np.concatenate([entity[::2], entity[::2]]), time)
    assert len(order.parts) > 2
    second = order.to_rows(np.arange(2 * n) - order.since(years))[n:]
    third = order.to_rows(np.arange(2 * n) - order.since(years + 1))[n:]
    assert not second.any()
    assert (third == 1).all()


@pytest.mark.parametrize("n_entities", [1, 2**16, 2**16 + 1, 100_000])
def test_order_is_the_stable_sort(n_entities):
    entity = np.random.default_rng(0).permutation(np.repeat(np.arange(n_entities), 2))
    order = by_entity(entity, np.arange(len(entity)))
    np.testing.assert_array_equal(order.row, np.argsort(entity, kind="stable"))


def test_to_rows_undoes_the_order():
    entity, time = random_rows()
    order = by_entity(entity, time)
    np.testing.assert_array_equal(order.to_rows(entity[order.row]), entity)


def test_no_rows():
    none = np.zeros(0, dtype=np.int64)
    order = by_entity(none, none)
    assert order.since(5).tolist() == order.same_time.tolist() == []


def test_sums_are_exact_even_after_the_running_sum_has_wrapped_around():
    values = np.full(5, 2**62, dtype=np.int64)
    total = running_sum(values)
    assert (total[5] - total[4]) == 2**62
    assert running_sum(np.array([], dtype=np.int64)).tolist() == [0]
