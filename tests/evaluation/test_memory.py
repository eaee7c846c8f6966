import numpy as np

from fintech_dl.evaluation.memory import peak_memory


def test_a_block_that_is_gone_again_is_seen():
    with peak_memory() as before:
        pass
    with peak_memory() as during:
        block = np.ones(40_000_000)  # 320 MB
        block += 1
        del block
    with peak_memory() as after:
        pass
    assert during[0] > before[0] + 250
    assert after[0] < during[0] - 250
