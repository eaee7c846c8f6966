"""Example records of runs that forecast, as the report takes them: seeded numbers, every part.

Run as a script it prints a report: `python tests/evaluation/forecast_record.py price > price.html`.
"""

import sys
from datetime import date, timedelta

import numpy as np

KINDS = ("volatility", "ranking", "direction", "price")
UNITS = {"volatility": "%^2", "ranking": "%", "direction": "%", "price": "EUR"}
TASK_LOSSES = {"volatility": "qlike", "ranking": "rank_ic", "direction": "log_loss", "price": "mae"}
METRICS = {  # value of the model, then of each baseline
    "volatility": {"qlike": (0.2034, 0.2187, 0.2296, 0.311), "mse": (1.92, 1.98, 2.07, 2.88),
                   "mae": (0.611, 0.633, 0.648, 0.702), "bias": (-0.021, 0.034, -0.041, 0.002)},
    "ranking": {"rank_ic": (0.0262, 0.0225, 0.0148, 0.0031), "ic": (0.021, 0.019, 0.011, 0.004),
                "mse": (0.000981, 0.000984, 0.00099, 0.00101)},
    "direction": {"log_loss": (0.6921, 0.6929, 0.6931, 0.6972),
                  "brier": (0.2494, 0.2498, 0.25, 0.2521), "mcc": (0.021, 0.012, 0.0, 0.004)},
    "price": {"mae": (1.128, 1.1266, 1.131, 1.302), "mse": (2.35, 2.34, 2.36, 2.91),
              "bias": (0.01, 0.0, -0.02, 0.12)},
}  # fmt: skip
TITLES = {
    "volatility": ("MLP [32, 16] over log-HAR", "log-HAR + market", "log-HAR", "Last value"),
    "ranking": ("MLP [64, 32]", "Ridge", "HistGradientBoosting", "Momentum, 12 months"),
    "direction": ("LSTM, 32 units", "Logistic regression", "Majority class", "Last direction"),
    "price": ("NHiTS", "Last price", "Drift", "Mean of 20 days"),
}
OUTCOMES = {"volatility": "beats", "ranking": "same", "direction": "same", "price": "same"}


def forecast_record(kind: str) -> dict:
    """Return a complete record of a run that forecasts ``volatility``, ``ranking``, ..."""
    rng = np.random.default_rng(KINDS.index(kind))
    horizon = {"volatility": 1}.get(kind, 5)
    names = ["model", "best", "second", "naive"]
    given, titles = METRICS[kind], TITLES[kind]
    models = [
        {
            "name": name, "title": title, "is_baseline": i > 0, "ran": True, "reason": "",
            "metrics": {k: _metric(v[i], abs(v[0]) * 0.06 + 0.002) for k, v in given.items()},
            "fit_seconds": 31.0 if i == 0 else 0.3, "rows_per_second": 2.1e5,
            "peak_memory_mb": 840.0,
        }
        for i, (name, title) in enumerate(zip(names, titles, strict=True))
    ]  # fmt: skip
    models.append(
        {"name": "boosting", "title": "LightGBM", "is_baseline": True, "ran": False,
         "reason": "the library 'lightgbm' is not installed", "metrics": {}}
    )  # fmt: skip
    task = next(iter(given))
    said = {"beats": "beats", "same": "is no better than"}[OUTCOMES[kind]]
    return {
        "format": 1,
        "title": f"Example: {kind}",
        "question": f"A forecast of {kind} over the bars ahead: what is it worth?",
        "pipeline": f"stock-{kind}", "created": "2026-03-04T09:30:00", "seed": 0,
        "verdict": {
            "text": f"{titles[0]} {said} the best baseline, {titles[1]}, on {task}: "
            f"{given[task][0]:g} against {given[task][1]:g} (Diebold-Mariano t = +1.21, p = 0.23).",
            "outcome": OUTCOMES[kind], "metric": task, "rival": "best",
        },
        "data": {
            "name": "synthetic_garch_panel", "title": "Synthetic panel of prices",
            "origin": "Our own seeded generator.", "licence": "Apache-2.0",
            "rows_read": 61000, "rows_used": 60200, "rows_quarantined": 3,
            "quarantine_reasons": {"high below low": 3},
            "time_from": "2010-01-04", "time_to": "2022-06-30",
            "rows_in_table": 59000, "left_out": {"too_few_bars": 528, "unlabelled": 24},
        },
        "protocol": {
            "kind": "holdout", "text": "The latest rows are the test",
            "folds": [{"name": "test", "train_from": "2010-01-04", "train_to": "2016-03-01",
                       "test_from": "2016-03-15", "test_to": "2022-06-30", "rows_train": 35000,
                       "rows_test": 24648, "removed_known": 0, "purged": 24}],
        },
        "features": [f"rv@-{i}" for i in range(22)],
        "models": models,
        "comparison": [],
        "training": {"history": {"loss": [0.4, 0.3, 0.25], "validation_loss": [0.41, 0.33, 0.31]},
                     "epochs": 3, "best_epoch": 3, "parameters": 1345, "settings": {}},
        "limits": ["Twenty-four indices only."],
        "commands": {"rebuild": f"fintech-dl run stock-{kind}"},
        "environment": {"python": "3.11"},
        "forecast": _forecast(kind, horizon, given, titles, rng),
    }  # fmt: skip


def _metric(value: float, half: float) -> dict:
    return {"value": value, "low": value - half, "high": value + half}


def _forecast(kind, horizon, given, titles, rng) -> dict:
    days = [str(d) for d in np.arange("2016-03-15", "2022-07-01", dtype="datetime64[D]")]
    days = [d for d in days if date.fromisoformat(d).weekday() < 5][::horizon]
    task = next(iter(given))
    saved = [1 - given[task][0] / v for v in given[task]]
    gain = rng.normal(0.006, 0.1, len(days))
    dm, p = (2.46, 0.0142) if OUTCOMES[kind] == "beats" else (0.31, 0.757)
    part = {
        "kind": kind, "horizon": horizon, "unit": UNITS[kind], "lag": 1, "assets": 24,
        "dates": len(days), "task_loss": TASK_LOSSES[kind],
        "losses": [
            {"name": name, "title": title, **{k: v[i] for k, v in given.items()}}
            | ({"skill": saved[1] if i == 0 else 1 - given[task][i] / given[task][1],
                "dm": None if i == 1 else (dm, 0, -1.1, -6.3)[i],
                "p_value": None if i == 1 else (p, 0, 0.27, 0.00001)[i]})
            for i, (name, title) in enumerate(
                zip(("model", "best", "second", "naive"), titles, strict=True))
        ] if kind != "ranking" else [],
        "by_year": [
            {"year": y, "n": 3900 + y, "model": given[task][0] * (1 + 0.1 * rng.normal()),
             "rival": given[task][1] * (1 + 0.1 * rng.normal()), "rival_title": titles[1]}
            for y in range(2016, 2023)
        ],
        "loss_difference": {"date": days, "cumulative": np.cumsum(gain).tolist(),
                            "rival": titles[1]},
        "confidence_set": {"level": 0.9, "titles": list(titles[:2])},
        "leaks": [
            {"name": "future", "passed": True, "number": 0.0,
             "what": "noise in the place of later bars changed no earlier row"},
            {"name": "shuffled labels", "passed": True, "number": 0.00213456,
             "what": "nothing is found in shuffled labels (t = 0.2)"},
            {"name": "follower", "passed": None, "number": None,
             "what": "scores that only order assets have no scale to compare"},
        ],
        "warnings": [],
        "members": {"metric": task, "n": 3, "together": given[task][0],
                    "least": 0.97 * given[task][0], "median": 1.01 * given[task][0],
                    "most": 1.04 * given[task][0]},
    }  # fmt: skip
    if kind in ("ranking", "direction"):
        part |= {"ranking": _ranking(titles, rng), "trading": _trading(days, rng)}
    else:
        line = {"intercept": 0.031, "slope": 0.97, "p_value": 0.21}
        part |= {"calibration_line": line, "intervals": _intervals(), "fan": _fan(kind, rng)}
    if kind == "direction":
        part["direction"] = {"hits": 0.512, "by_chance": 0.5013, "p_value": 0.034}
    if kind == "price":
        text = "The forecast does not beat the last price: MAE 1.128 against 1.127 (p = 0.757)."
        part["naive"] = {"beats": False, "text": text}
        part["nested"] = {"t": 0.49, "p_value": 0.3121}
    return part


def _group(name, share: float, n: int) -> dict:
    half = 1.96 * (share * (1 - share) / n) ** 0.5
    return {"group": name, "n": n, "share": share, "low": share - half, "high": share + half}


def _intervals() -> dict:
    thirds = ("low", "middle", "high")
    return {
        "coverage": 0.9, "share": 0.8973, "n": 24648, "width": 3.41277, "score": 4.60213,
        "method": "split conformal, scaled by volatility",
        "by_volatility": [_group(g, s, 8216) for g, s in zip(thirds, (0.93, 0.901, 0.861),
                                                             strict=True)],
        "by_forecast_volatility": [_group(g, s, 8216) for g, s in zip(
            thirds, (0.903, 0.899, 0.894), strict=True)],
        "by_year": [_group(str(2016 + i), s, 3900) for i, s in enumerate(
            (0.91, 0.903, 0.874, 0.905, 0.868, 0.912, 0.897))],
        "risk": {"level": 0.05, "hits": 1291, "n": 24648, "kupiec_p": 0.0881,
                 "christoffersen_p": 0.0004, "traffic_light": "yellow", "shortfall_p": 0.31},
    }  # fmt: skip


def _fan(kind: str, rng) -> dict:
    n, start = 120, date(2022, 1, 10)
    steps = rng.normal(0, 1, n)
    if kind == "price":
        actual = 100 + np.cumsum(steps)
        last = np.r_[100, actual[:-1]]
        forecast, spread = last + 0.2 * rng.normal(size=n), np.full(n, 1.3)
    else:
        level = np.exp(np.convolve(steps, np.full(10, 0.25), "same"))
        actual = level * np.exp(0.4 * rng.normal(size=n))
        last, forecast, spread = np.r_[actual[0], actual[:-1]], level, 0.5 * level
    days = [start + timedelta(days=int(7 * (i // 5) + i % 5)) for i in range(n)]
    return {
        "asset": "SPX", "unit": UNITS[kind], "date": [d.isoformat() for d in days],
        "actual": actual.tolist(), "forecast": forecast.tolist(), "last": last.tolist(),
        "bands": [
            {"coverage": c, "low": (forecast - z * spread).tolist(),
             "high": (forecast + z * spread).tolist()} for c, z in ((0.5, 0.67), (0.9, 1.65))
        ],
    }  # fmt: skip


def _ranking(titles, rng) -> dict:
    def one(mean: float) -> dict:
        return {"mean": mean, "std": 0.132, "icir": mean / 0.132, "t": 2.61, "low": mean - 0.0199,
                "high": mean + 0.0199, "hit_share": 0.572}  # fmt: skip

    months = [f"{2016 + (6 + i) // 12}-{(6 + i) % 12 + 1:02}" for i in range(20)]
    return {
        "ic": one(0.021), "rank_ic": one(0.0262),
        "rank_ic_rivals": [
            {"title": title, "mean": mean, "low": mean - 0.018, "high": mean + 0.018,
             "difference": 0.0262 - mean, "difference_low": 0.0102 - mean,
             "difference_high": 0.0422 - mean}
            for title, mean in zip(titles[1:], (0.0225, 0.0148, 0.0031), strict=True)
        ],
        "by_month": {"month": months, "rank_ic": rng.normal(0.026, 0.04, len(months)).tolist()},
        "decay": [{"horizon": h, "rank_ic": v} for h, v in
                  ((1, 0.031), (5, 0.0262), (10, 0.018), (20, 0.011))],
        "quantiles": [{"quantile": q, "mean_return": 4e-4 * (q - 5) + 2e-4 * rng.normal()}
                      for q in range(1, 11)],
        "monotonicity": 0.927,
    }  # fmt: skip


def _trading(days: list, rng) -> dict:
    gross = rng.normal(0.002, 0.011, len(days))
    equal = rng.normal(0.0012, 0.014, len(days))
    return {
        "cost_bp": 5.0, "top": 0.1, "every": 5, "bars_per_year": 252, "turnover": 0.421,
        "gross": {"return_per_year": 0.101, "sharpe": 1.31, "low": 0.512, "high": 2.108,
                  "drawdown": 0.092},
        "net": {"return_per_year": 0.0581, "sharpe": 0.744, "low": -0.041, "high": 1.529,
                "drawdown": 0.1312},
        "equal_weight": {"return_per_year": 0.0812, "sharpe": 0.612, "low": -0.17, "high": 1.394,
                         "drawdown": 0.3391},
        "luck": {"tried": 21, "deflated_sharpe": 0.7134, "years": 6.3, "years_needed": 5.21},
        "break_even_bp": 11.73,
        "by_cost": [{"cost_bp": c, "sharpe": 1.31 - 0.1135 * c} for c in (0, 1, 2.5, 5, 10, 20)],
        "curve": {"date": days, "gross": np.cumsum(gross).tolist(),
                  "net": np.cumsum(gross - 0.0008).tolist(),
                  "equal_weight": np.cumsum(equal).tolist()},
    }  # fmt: skip


if __name__ == "__main__":
    from fintech_dl.evaluation.report import render

    sys.stdout.write(render(forecast_record(sys.argv[1])))
