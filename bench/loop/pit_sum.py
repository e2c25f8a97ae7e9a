"""What a training set comes to, so that two of them can be compared: any cell changes it."""

SUM = (
    "select sum("
    + " + ".join(
        f"coalesce(round(v{t} * 100)::bigint * (_q % 997 + 1) + n{t} + {t}, 7)" for t in range(5)
    )
    + ")::bigint as sum from answers"
)  # fmt: skip
