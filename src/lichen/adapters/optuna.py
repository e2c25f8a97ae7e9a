"""Optuna's tree-structured Parzen estimator as a sampler of settings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lichen.ports.learner import Knob, Learner, Settings

if TYPE_CHECKING:
    import optuna


class Tpe:
    """Asks for the learner's usual settings first, then for what TPE expects to gain most."""

    def __init__(self, learner: Learner, seed: int) -> None:
        """Remember what to search; Optuna itself loads with the second question."""
        self._learner, self._seed = learner, seed
        self._study: optuna.Study | None = None
        self._trial: Any = None
        self._first: float | None = None

    def ask(self) -> Settings:
        """Return the next settings to try."""
        if self._first is None:
            return self._learner.usual
        if self._study is None:
            self._study = self._begin(self._first)
        self._trial = self._study.ask()
        asked = {knob.name: _suggest(self._trial, knob) for knob in self._learner.knobs}
        return {**self._learner.usual, **asked}

    def tell(self, gain: float) -> None:
        """Learn from the score of the last settings."""
        if self._study is None:
            self._first = gain
            return
        import optuna

        failed = math.isnan(gain)
        state = optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE
        self._study.tell(self._trial, None if failed else gain, state=state)

    def _begin(self, first: float) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=self._seed, n_startup_trials=6)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        if not math.isnan(first):
            space = {knob.name: _distribution(knob) for knob in self._learner.knobs}
            usual = {name: self._learner.usual[name] for name in space}
            study.add_trial(
                optuna.trial.create_trial(params=usual, distributions=space, value=first)
            )
        return study


def _distribution(knob: Knob) -> Any:
    from optuna.distributions import FloatDistribution, IntDistribution

    if knob.whole:
        return IntDistribution(int(knob.low), int(knob.high), log=knob.log)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _suggest(trial: Any, knob: Knob) -> float:
    if knob.whole:
        return int(trial.suggest_int(knob.name, int(knob.low), int(knob.high), log=knob.log))
    return float(trial.suggest_float(knob.name, knob.low, knob.high, log=knob.log))
