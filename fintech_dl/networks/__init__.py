"""Networks: tensor to features, one file per family. The only place that names layers."""
