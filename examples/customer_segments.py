"""Which kinds of customers are there, and do codes of a network tell them apart better than PCA?

Each customer is one row: how often, how much, when and where they pay. A NeuralEncoder and PCA
squeeze the rows to three numbers each; KMeans finds segments in both.

    python customer_segments.py
"""

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.preprocessing import StandardScaler

from fintech_dl import Autoencoder, NeuralEncoder
from fintech_dl.data.synthetic import card_transactions

payments = card_transactions(n_customers=2000, n_terminals=2000, days=60, radius=8.0, seed=1)
payments["hour"] = payments["time"].dt.hour
payments["weekend"] = payments["time"].dt.day_of_week >= 5
by_customer = payments.groupby("customer_id")
spent = by_customer["amount"]
customers = pd.DataFrame(
    {
        "payments": np.log1p(by_customer.size()),
        "mean_amount": np.log1p(spent.mean()),
        "largest_amount": np.log1p(spent.max()),
        "spread": np.log1p(spent.std()),  # none for whoever paid once
        "terminals": np.log1p(by_customer["terminal_id"].nunique()),
        "mean_hour": by_customer["hour"].mean(),
        "weekend_share": by_customer["weekend"].mean(),
    }
)

X = StandardScaler().set_output(transform="pandas").fit_transform(customers.fillna(0.0))

network = Autoencoder(units=(32,), code=3)
encoder = NeuralEncoder(network=network, epochs=40, batch_size=128, random_state=0)
segments = {}
for name, model in (("encoder", encoder), ("PCA", PCA(n_components=3))):
    codes = model.fit_transform(X)
    segments[name] = KMeans(n_clusters=4, n_init=10, random_state=0).fit_predict(codes)
    # both are judged on the same customers as they are, not each in a space of its own
    silhouette = silhouette_score(X, segments[name])
    lost = ((model.inverse_transform(codes) - X) ** 2).to_numpy().mean()
    print(f"{name:<8} silhouette {silhouette:.3f}, {lost:.1%} of the variance lost")
print(f"agreement of the two: {adjusted_rand_score(*segments.values()):.2f} (1 = the same)\n")

totals = pd.DataFrame({"payments": by_customer.size(), "mean_amount": spent.mean()})
totals["fraud_share"] = by_customer["is_fraud"].mean()
table = totals.groupby(segments["encoder"]).mean().rename_axis("segment")
table.insert(0, "customers", np.bincount(segments["encoder"]))
print(table.round(3).to_string())
