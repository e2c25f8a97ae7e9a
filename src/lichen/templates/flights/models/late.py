from lichen import auto, model


@model(
    target="late",
    metric="roc_auc",
    slices=["carrier", "origin"],
    holdout="30 days",
    retrain="30 days",
)
def late(schedule, weather, plane, airport_load, carrier):
    """Will this flight arrive more than 15 minutes late?"""
    return auto(budget="10s")
