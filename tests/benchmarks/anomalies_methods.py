"""The detectors of the anomaly benchmark: classic rivals, ours, and averages of their ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fintech_dl

MOST_STEPS, MOST_SECONDS = 20_000, 240


@dataclass(frozen=True)
class Method:
    """What makes a detector from a seed, and from whether training rows hold anomalies."""

    make: Callable[[int, bool], Any]
    everywhere: bool = False  # on all sets, else on small ones
    labels: bool = False  # learns from labelled anomalies
    needs: str = ""  # public name without which it cannot run


def rival(name: str, **given: Any) -> Method:
    """Return a classic detector of ours, on standardised columns."""

    def make(seed: int, contaminated: bool) -> Any:
        model = getattr(fintech_dl, name)(**given)
        if "random_state" in model.get_params():
            model.set_params(random_state=seed)
        return make_pipeline(StandardScaler(), model)

    return Method(make, everywhere=True, needs=name)


def plain(model: Callable[[int], Any]) -> Method:
    return Method(lambda seed, _: make_pipeline(StandardScaler(), model(seed)), everywhere=True)


def ours(
    name: str = "",
    everywhere: bool = False,
    labels: bool = False,
    views: tuple[str, ...] = (),
    **given: Any,
) -> Method:
    """Return our detector around a network, as shipped; without a name the shipped default."""

    def make(seed: int, contaminated: bool) -> Any:
        network = getattr(fintech_dl, name)(**({"views": views} if views else {})) if name else None
        model = fintech_dl.NeuralDetector(network=network, random_state=seed, **given)
        return model.set_params(contaminated=True) if contaminated else model

    return Method(make, everywhere, labels, needs=name)


def view(*names: str, **given: Any) -> Method:
    """Return our detector that looks at rows in these ways; without steps where none is learned."""
    return ours("MultiView", everywhere=True, views=names, **given)


RIVALS: dict[str, Method] = {
    "kNN": rival("NearestNeighboursDetector"),
    "isolation forest": plain(lambda seed: IsolationForest(random_state=seed)),
    "MCD": rival("RobustCovarianceDetector"),
    "HBOS": rival("HistogramDetector"),
    "ECOD": rival("EmpiricalTailDetector"),
    "LOF": plain(lambda _: LocalOutlierFactor(novelty=True)),
}
OURS: dict[str, Method] = {
    "shipped default": ours(everywhere=True),
    "Autoencoder": ours("Autoencoder", everywhere=True),
    "DiffusionAutoencoder": ours("DiffusionAutoencoder", everywhere=True),
    "DiffusionTime": ours("DiffusionTime", everywhere=True),
    "DenoisingAutoencoder": ours("DenoisingAutoencoder"),
    "VAE": ours("VAE"),
    "ScoreMatching": ours("ScoreMatching"),
    "DeepSVDD": ours("DeepSVDD"),
    "shipped default, 3 seeds": ours(n_members=3),
    "DiffusionTime, 5 seeds": ours("DiffusionTime", n_members=5),
    "DiffusionAutoencoder, 5 seeds": ours("DiffusionAutoencoder", n_members=5),
    "neighbours alone": view("neighbours", trim=0.0),
    "ellipsoid alone": view("ellipsoid", trim=0.0),
    "histograms alone": view("histograms", trim=0.0),
    "ellipsoid and histograms": view("ellipsoid", "histograms", trim=0.0),
    "all four views": ours("MultiView", views=("noise", "neighbours", "ellipsoid", "histograms")),
    "DevNet": ours("DevNet", labels=True),
    "DeepSAD": ours("DeepSAD", labels=True),
}
# Averages of ranks among the training rows, from scores that were kept: nothing is fitted again.
AVERAGES: dict[str, tuple[str, ...]] = {
    "average of both diffusion networks": ("DiffusionAutoencoder", "DiffusionTime"),
    "average of four networks": (
        "DiffusionAutoencoder",
        "DiffusionTime",
        "DenoisingAutoencoder",
        "ScoreMatching",
    ),
    "average of DiffusionAutoencoder and shipped default": (
        "DiffusionAutoencoder",
        "shipped default",
    ),
    "average of both diffusion networks and kNN": ("DiffusionAutoencoder", "DiffusionTime", "kNN"),
    "average of shipped default, isolation forest and MCD": (
        "shipped default",
        "isolation forest",
        "MCD",
    ),
}
METHODS = {**RIVALS, **OURS}
PUBLISHED = {  # AUROC, means over ADBench's 28 sets of the tables in DTE's public repository
    ("clean-published", "kNN"): 0.835,
    ("clean-published", "isolation forest"): 0.782,
    ("clean-published", "MCD"): 0.773,
    ("contaminated-published", "isolation forest"): 0.746,
    ("contaminated-published", "MCD"): 0.756,
}


def absent(title: str) -> bool:
    """Tell whether a method cannot run, because what it needs is not there."""
    needed = METHODS[title].needs
    return bool(needed) and not hasattr(fintech_dl, needed)


def within_budget(model: Any, n_rows: int) -> tuple[Any, int | None]:
    """Return a detector that takes no more than 20,000 steps, and those it would have taken.

    None where it stays as it is, or does not learn in steps.
    """
    if not isinstance(model, fintech_dl.NeuralDetector):
        return model, None
    network = model.network or model._default_network()
    advised = network.training(n_rows)
    per_epoch = ceil(n_rows / advised["batch_size"])
    if (steps := per_epoch * (model.epochs or advised["epochs"])) <= MOST_STEPS:
        return model, None
    return model.set_params(epochs=max(1, MOST_STEPS // per_epoch)), steps
