"""The conventions of scikit-learn for parameters, without scikit-learn."""

from __future__ import annotations

import inspect
from typing import Any


class Parameters:
    """What is made with arguments that it keeps under their names, as dataclasses do."""

    @classmethod
    def _names(cls) -> list[str]:
        return sorted(name for name in inspect.signature(cls).parameters)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The arguments that it was made with, by name."""
        return {name: getattr(self, name) for name in self._names()}

    def set_params(self, **params: Any) -> Any:
        """Changes arguments; returns itself.

        Raises:
          ValueError: an unknown name.
        """
        for name, value in params.items():
            if name not in self._names():
                raise ValueError(f"{name!r} is no parameter of {type(self).__name__}: {', '.join(self._names())}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = {name: p.default for name, p in inspect.signature(type(self)).parameters.items()}
        changed = [f"{k}={v!r}" for k, v in self.get_params().items() if not _same(v, defaults[k])]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks, and nobody else."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        kind = getattr(self, "_estimator_type", None)
        inputs = InputTags(two_d_array=True, three_d_array=True, allow_nan=True)
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=kind == "classifier"),
            input_tags=inputs,
            classifier_tags=ClassifierTags() if kind == "classifier" else None,
            regressor_tags=RegressorTags() if kind == "regressor" else None,
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "preparation")


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)
