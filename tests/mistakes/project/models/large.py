"""Will this sale be large?"""

from lichen import auto, model


@model(
    target="large",
    metric="roc_auc",
    slices=["shop"],
    holdout="2 days",
)
def large(turnover: str) -> object:
    """Guess from the shop's turnover."""
    return auto(budget="5s")
