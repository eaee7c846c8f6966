"""What the markets' benchmark measured as tables, one per part."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import markets_exchange
import markets_ranking
import markets_state
import markets_variance
import numpy as np
from markets_state import Job, Line
from results import write_result
from scipy.stats import binomtest

from fintech_dl.evaluation.forecast_tests import diebold_mariano
from fintech_dl.evaluation.newey_west import MeanTest, mean_test

GLOBAL = "log-HAR + global"
BOTH = f" and {markets_variance.ROLLING_X}"
Row = dict[str, Any]
Results = Mapping[Job, Line]


def by_method(results: Results, horizon: int) -> dict[str, list[Line]]:
    """Return the lines of each method, seed by seed, the blocks of a seed as one line.

    A seed of which blocks are still to be measured is left out.
    """
    found: dict[str, dict[int, list[Line]]] = {}
    for job, line in sorted(results.items(), key=lambda item: item[0].block):
        if job.horizon == horizon:
            found.setdefault(job.method, {}).setdefault(job.seed, []).append(line)
            if "blend" in line:
                both = f"{job.method}{BOTH}"
                found.setdefault(both, {}).setdefault(job.seed, []).append(line["blend"])
    lines = {
        method: [joined(several[seed]) for seed in sorted(several)]
        for method, several in found.items()
    }
    whole = max((line.get("rows", 0) for own in lines.values() for line in own), default=0)
    kept = {
        method: [line for line in own if line.get("rows", whole) == whole]
        for method, own in lines.items()
    }
    return {method: own for method, own in kept.items() if own}


def joined(blocks: Sequence[Line]) -> Line:
    """Return the lines of consecutive test rows as one: series end to end, means by rows."""
    if len(blocks) == 1:
        return blocks[0]
    rows = [line["rows"] for line in blocks]
    means = {
        name: float(np.average([line[name] for line in blocks], weights=rows))
        for name in ("mse", "mae", "bias")
    }
    years: dict[str, list[float]] = {}
    for line in blocks:
        for year, (mean, n) in line["years"].items():
            before, m = years.get(year, (0.0, 0))
            years[year] = [(before * m + mean * n) / (m + n), m + n]
    series = [value for line in blocks for value in line["qlike"]]
    return means | {"qlike": series, "years": years, "rows": sum(rows)}


def series(lines: Sequence[Line], what: str) -> np.ndarray:
    """Return a series by date, the mean over seeds."""
    return np.asarray(np.mean([line[what] for line in lines], axis=0))


def value(lines: Sequence[Line], what: str) -> float:
    """Return a number, the mean over seeds."""
    return float(np.mean([line[what] for line in lines]))


def without(lines: Sequence[Line], year: str) -> float:
    """Return the mean QLIKE of all other years."""
    years = {key: own for key, own in lines[0]["years"].items() if key != year}
    return float(
        np.average(
            [np.mean([line["years"][key][0] for line in lines]) for key in years],
            weights=[n for _, n in years.values()],
        )
    )


def verdict(test: MeanTest) -> str:
    if test.p_value >= 0.05:
        return "no difference"
    return "beats" if test.value > 0 else "is worse"


def variance_rows(part: str, results: Results) -> Iterator[Row]:
    """Yield what each method lost at each horizon, and ours beside the best simple forecast."""
    for horizon in markets_variance.HORIZONS:
        found = by_method(results, horizon)
        of_baselines = markets_variance.baselines(part, horizon)
        simple = [method for method in found if method.removesuffix(BOTH) in of_baselines]
        rivals = {method: float(series(found[method], "qlike").mean()) for method in simple}
        if not rivals:
            continue
        best = min(rivals, key=rivals.__getitem__)
        for method, lines in found.items():
            losses = series(lines, "qlike")
            row: Row = {"days": horizon, "method": method, "seeds": len(lines)}
            row["QLIKE"] = f"{losses.mean():.4f}"
            if part == "indices":
                row["without 2020"] = f"{without(lines, '2020'):.4f}"
            row["MSE"] = f"{value(lines, 'mse'):.2f}"
            row["MAE of volatility"] = f"{value(lines, 'mae'):.3f}"
            against = dict.fromkeys([best, *([GLOBAL] if part == "indices" else [])])
            for rival in against if method not in simple else ():
                test = diebold_mariano(series(found[rival], "qlike"), losses, horizon=horizon)
                title = (
                    "log-HAR + global" if len(against) > 1 and rival == GLOBAL else "best simple"
                )
                row[f"t to {title}"] = f"{test.t:+.2f} (p {test.p_value:.3f})"
                row[f"{title}"] = f"{verdict(test)}: {rival}"
            if part == "indices" and method not in simple:
                wins = np.mean([line["assets"] for line in lines], axis=0) < np.mean(
                    [line["assets"] for line in found[GLOBAL]], axis=0
                )
                row["indices better than log-HAR + global"] = f"{wins.sum()} of {len(wins)}"
            yield row


def exchange_rows(part: str, results: Results) -> Iterator[Row]:
    """Yield each network's errors at each horizon beside those of the last value."""
    for horizon in markets_exchange.HORIZONS:
        for method, (line, *_) in by_method(results, horizon).items():
            row: Row = {"days": horizon, "method": method}
            row |= {"MSE": f"{line['mse']:.4f}", "MAE": f"{line['mae']:.3f}"}
            if "t" in line:
                row["t to last value"] = f"{line['t']:+.2f} (p {line['p']:.3f})"
            yield row
    for method in markets_exchange.METHODS:
        lines = [line for job, line in results.items() if job.method == method]
        if len(lines) == len(markets_exchange.HORIZONS):
            row = {"days": "mean", "method": method, "MSE": f"{value(lines, 'mse'):.4f}"}
            yield row | {"MAE": f"{value(lines, 'mae'):.3f}"}


def ranking_rows(part: str, results: Results) -> Iterator[Row]:
    """Yield rank IC and money of each method, and its difference from the ridge."""
    found = by_method(results, markets_ranking.HORIZON)
    for method, lines in found.items():
        ics = series(lines, "rank_ic")
        each = [float(np.mean(line["rank_ic"])) for line in lines]
        row: Row = {"method": method, "seeds": len(lines), "rank IC": f"{ics.mean():.4f}"}
        if len(lines) > 1:
            row["rank IC"] += f" ({min(each):.4f} to {max(each):.4f})"
        icir = np.mean([np.mean(line["rank_ic"]) / np.std(line["rank_ic"]) for line in lines])
        row |= {"ICIR": f"{icir:.3f}", "IC": f"{value(lines, 'ic'):.4f}"}
        if method != "ridge" and "ridge" in found:
            gain = ics - series(found["ridge"], "rank_ic")
            test = mean_test(gain, horizon=markets_ranking.HORIZON)
            row["less the ridge's"] = f"{test.value:+.4f} [{test.low:+.4f}, {test.high:+.4f}]"
        row["gross Sharpe"] = f"{value(lines, 'sharpe_gross'):.2f}"
        row["net, 5 bp"] = f"{value(lines, 'sharpe_net'):.2f}"
        row["turnover"] = f"{value(lines, 'turnover'):.0%}"
        row["break-even bp"] = f"{1e4 * value(lines, 'break_even'):.1f}"
        yield row


def noise_rows(part: str, results: Results) -> Iterator[Row]:
    """Yield the share of seeds whose verdict is *beats*, with Wilson's interval of 95 %."""
    counts: dict[str, list[Line]] = {}
    for job, line in results.items():
        counts.setdefault(job.method, []).append({**line, "days": job.horizon})
    for method, lines in counts.items():
        n, beats, worse = (sum(line[k] for line in lines) for k in ("seeds", "beats", "worse"))
        low, high = binomtest(beats, n).proportion_ci(method="wilson")
        yield {
            "noise and model": method,
            "days ahead": lines[0]["days"],
            "seeds": n,
            "beats": f"{beats / n:.1%} [{low:.1%}, {high:.1%}]",
            "is worse": f"{worse / n:.1%}",
        }


COMMAND = "FINTECH_DL_DATA=/my/data python tests/benchmarks/markets.py"
SERIES = (
    "QLIKE: mean of y/f - ln(y/f) - 1, of variances in %^2; lower is better. t is that of Diebold "
    "and Mariano, with the correction of Harvey, Leybourne and Newbold; above 0 ours is better. "
    "Losses are averaged over seeds, and over the assets of a date, first."
)
Rows = Callable[[str, Results], Iterator[Row]]
PARTS: dict[str, tuple[Rows, list[str]]] = {
    "sp500-rv": (
        variance_rows,
        [
            "S&P 500 realised variance with VIX; test 2008-01 to 2018-04. Simple forecasts are "
            "fitted again every 22 days on the whole past (630 days: every day on the last 630), "
            "networks every 252 days.",
            "Settings of networks, and what is averaged with what, were chosen on 2006 and 2007.",
            SERIES,
        ],
    ),
    "indices": (
        variance_rows,
        [
            "24 indices on their 3,421 common days, taken as consecutive; fitted once on the first "
            "70 %, tested on the rest (2016-03-15 to 2022-06-24), except where it says every 22 "
            "days. Settings were chosen on the last fifth of the first 70 %. There more lags were "
            "best at 1 and at 22 days, and both MLPs better than log-HAR + global at all three. "
            "The one stopped early is the published recipe.",
            "Not chosen blindly: the MLP on own lags and the one stopped early were added after "
            "the test figures of the one with more lags were seen, the market network and the mean "
            "of the logarithms of MLP and GRU after those of both.",
            SERIES,
        ],
    ),
    "exchange": (
        exchange_rows,
        [
            "Eight exchange rates in standard deviations of the training days; 70 % to learn, 10 % "
            "to stop early, every window of the last 20 % to test. Networks are small, see the "
            "last 96 days of one currency, and are one seed each; nothing is claimed.",
        ],
    ),
    "ranking": (
        ranking_rows,
        [
            "505 stocks that were in the S&P 500 in February 2018 (survivors), 158 features as "
            "ranks of the date, the return from the next open to that five days later; labels "
            "known before 2016 to learn from, test 2016-07 to 2018-01.",
            "Difference: mean of the daily differences of rank IC, Newey-West interval of 95 %. "
            "Portfolios: best tenth less worst tenth, traded every five days.",
        ],
    ),
    "noise": (
        noise_rows,
        [
            "Prices without anything to be found (geometric Brownian motion; GARCH returns); half "
            "of the dates to learn, half to test; the verdict is that of a run, against the best "
            "of two simple forecasts. Brackets: Wilson's interval of 95 %.",
        ],
    ),
}


def write(parts: Sequence[str], folder: Path) -> Iterator[Path]:
    """Write the dated result of each part that has one."""
    for part in parts:
        done = markets_state.done(part, folder)
        make, notes = PARTS[part]
        if rows := list(make(part, done)):
            name = f"markets_{part.replace('-', '_')}"
            took = sum(line["seconds"] for line in done.values())
            yield write_result(name, rows, notes, f"{COMMAND} {part}", seconds=took)
