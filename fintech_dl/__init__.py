"""Deep learning for finance: scikit-learn estimators over Keras, domain pipelines, batch scoring.

Names are loaded on first use, so importing the package imports nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "MLP": "networks.dense",
    "AER": "networks.aer",
    "Autoencoder": "networks.autoencoder",
    "DenoisingAutoencoder": "networks.denoising",
    "VAE": "networks.denoising",
    "DiffusionAutoencoder": "networks.diffusion",
    "DiffusionTime": "networks.diffusion",
    "ScoreMatching": "networks.score_matching",
    "MultiView": "networks.multi_view",
    "DeepSVDD": "networks.one_class",
    "DeepSAD": "networks.one_class",
    "DevNet": "networks.devnet",
    "TabM": "networks.tabm",
    "Scorecard": "networks.scorecard",
    "RealMLP": "networks.realmlp",
    "FTTransformer": "networks.transformer",
    "CNN": "networks.sequence",
    "RNN": "networks.sequence",
    "LSTM": "networks.sequence",
    "GRU": "networks.sequence",
    "TCN": "networks.tcn",
    "Transformer": "networks.attention",
    "NLinear": "networks.nlinear",
    "NHiTS": "networks.nhits",
    "TSMixer": "networks.tsmixer",
    "Network": "networks.base",
    "hyperparameters": "networks.base",
    "NeuralClassifier": "estimators.classifier",
    "NeuralQuantileRegressor": "estimators.quantile",
    "NeuralRanker": "estimators.ranker",
    "NeuralRegressor": "estimators.regressor",
    "NeuralVolatilityRegressor": "estimators.volatility",
    "NeuralDetector": "estimators.detector",
    "NeuralEncoder": "estimators.encoder",
    "HybridDetector": "estimators.hybrid",
    "PyODAdapter": "estimators.pyod_adapter",
    "SeriesDetector": "estimators.series",
    "SpectralResidual": "estimators.series_classic",
    "SubPCA": "estimators.series_classic",
    "ConformalRegressor": "evaluation.intervals",
    "NearestNeighboursDetector": "evaluation.outliers",
    "HistogramDetector": "evaluation.outliers",
    "EmpiricalTailDetector": "evaluation.outliers",
    "RobustCovarianceDetector": "evaluation.outliers",
    "points_table": "estimators.points",
    "score_points": "estimators.point_scores",
    "Table": "table",
    "load_frame": "data.frames",
    "load_prices": "data.prices",
    "to_bars": "data.tidying",
    "load_table": "pipelines",
    "build_pipeline": "pipelines",
    "run_pipeline": "runs",
    "save": "artefact",
    "load": "artefact",
    "score": "scoring.score",
    "score_files": "scoring.jobs",
    "plan_scores": "scoring.jobs",
    "resume_scores": "scoring.jobs",
    "read_scores": "scoring.reading",
    "read_score_batches": "scoring.reading",
    "read_quarantine": "scoring.reading",
    "read_reasons": "scoring.reading",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from fintech_dl.artefact import load as load
    from fintech_dl.artefact import save as save
    from fintech_dl.data.frames import load_frame as load_frame
    from fintech_dl.data.prices import load_prices as load_prices
    from fintech_dl.data.tidying import to_bars as to_bars
    from fintech_dl.estimators.classifier import NeuralClassifier as NeuralClassifier
    from fintech_dl.estimators.detector import NeuralDetector as NeuralDetector
    from fintech_dl.estimators.encoder import NeuralEncoder as NeuralEncoder
    from fintech_dl.estimators.hybrid import HybridDetector as HybridDetector
    from fintech_dl.estimators.point_scores import score_points as score_points
    from fintech_dl.estimators.points import points_table as points_table
    from fintech_dl.estimators.pyod_adapter import PyODAdapter as PyODAdapter
    from fintech_dl.estimators.quantile import NeuralQuantileRegressor as NeuralQuantileRegressor
    from fintech_dl.estimators.ranker import NeuralRanker as NeuralRanker
    from fintech_dl.estimators.regressor import NeuralRegressor as NeuralRegressor
    from fintech_dl.estimators.series import SeriesDetector as SeriesDetector
    from fintech_dl.estimators.series_classic import SpectralResidual as SpectralResidual
    from fintech_dl.estimators.series_classic import SubPCA as SubPCA
    from fintech_dl.estimators.volatility import (
        NeuralVolatilityRegressor as NeuralVolatilityRegressor,
    )
    from fintech_dl.evaluation.intervals import ConformalRegressor as ConformalRegressor
    from fintech_dl.evaluation.outliers import EmpiricalTailDetector as EmpiricalTailDetector
    from fintech_dl.evaluation.outliers import HistogramDetector as HistogramDetector
    from fintech_dl.evaluation.outliers import (
        NearestNeighboursDetector as NearestNeighboursDetector,
    )
    from fintech_dl.evaluation.outliers import RobustCovarianceDetector as RobustCovarianceDetector
    from fintech_dl.networks.aer import AER as AER
    from fintech_dl.networks.attention import Transformer as Transformer
    from fintech_dl.networks.autoencoder import Autoencoder as Autoencoder
    from fintech_dl.networks.base import Network as Network
    from fintech_dl.networks.base import hyperparameters as hyperparameters
    from fintech_dl.networks.denoising import VAE as VAE
    from fintech_dl.networks.denoising import DenoisingAutoencoder as DenoisingAutoencoder
    from fintech_dl.networks.dense import MLP as MLP
    from fintech_dl.networks.devnet import DevNet as DevNet
    from fintech_dl.networks.diffusion import DiffusionAutoencoder as DiffusionAutoencoder
    from fintech_dl.networks.diffusion import DiffusionTime as DiffusionTime
    from fintech_dl.networks.multi_view import MultiView as MultiView
    from fintech_dl.networks.nhits import NHiTS as NHiTS
    from fintech_dl.networks.nlinear import NLinear as NLinear
    from fintech_dl.networks.one_class import DeepSAD as DeepSAD
    from fintech_dl.networks.one_class import DeepSVDD as DeepSVDD
    from fintech_dl.networks.realmlp import RealMLP as RealMLP
    from fintech_dl.networks.score_matching import ScoreMatching as ScoreMatching
    from fintech_dl.networks.scorecard import Scorecard as Scorecard
    from fintech_dl.networks.sequence import CNN as CNN
    from fintech_dl.networks.sequence import GRU as GRU
    from fintech_dl.networks.sequence import LSTM as LSTM
    from fintech_dl.networks.sequence import RNN as RNN
    from fintech_dl.networks.tabm import TabM as TabM
    from fintech_dl.networks.tcn import TCN as TCN
    from fintech_dl.networks.transformer import FTTransformer as FTTransformer
    from fintech_dl.networks.tsmixer import TSMixer as TSMixer
    from fintech_dl.pipelines import build_pipeline as build_pipeline
    from fintech_dl.pipelines import load_table as load_table
    from fintech_dl.runs import run_pipeline as run_pipeline
    from fintech_dl.scoring.jobs import plan_scores as plan_scores
    from fintech_dl.scoring.jobs import resume_scores as resume_scores
    from fintech_dl.scoring.jobs import score_files as score_files
    from fintech_dl.scoring.reading import read_quarantine as read_quarantine
    from fintech_dl.scoring.reading import read_reasons as read_reasons
    from fintech_dl.scoring.reading import read_score_batches as read_score_batches
    from fintech_dl.scoring.reading import read_scores as read_scores
    from fintech_dl.scoring.score import score as score
    from fintech_dl.table import Table as Table


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'fintech_dl' has no attribute {name!r}")
    value = getattr(import_module(f"fintech_dl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
