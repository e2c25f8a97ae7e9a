"""A model: a target, some features (the names of the arguments), a metric."""

from lichen import auto, model


@model(target="slow", metric="roc_auc", holdout="7 days", retrain="7 days")
def slow(trip, shop):
    return auto(budget="30s")  # or any scikit-learn estimator
