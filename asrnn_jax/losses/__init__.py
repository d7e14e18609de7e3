"""The reset-free objective, what decides which steps are informative, a weight that sets itself, stability.

`reset_free` is the objective of Never Reset Again (arXiv:2412.15983), a plain function in optax's conventions. On
informative steps it is cross-entropy. Elsewhere it asks for "don't know", the uniform distribution:

    >>> import jax.numpy as jnp
    >>> from asrnn_jax import losses
    >>> logits = jnp.zeros((1, 3, 5))  # one stream, three steps, five classes
    >>> labels, informative = jnp.array([[2, 2, -1]]), jnp.array([[1.0, 1.0, 0.0]])  # the last step is a gap
    >>> loss = losses.reset_free(logits, labels, informative, weight=1.0).mean()

**Which steps are informative?** Where gaps are not labelled, a score of each step and a threshold decide. `energy`
and `change` look at the input, `surprisal` at predictions, `detector` is a small network to train for it:

    >>> background, xs = 0.1 * jnp.ones((1, 50, 3)), jnp.ones((1, 3, 3))
    >>> threshold = losses.quantile_threshold(losses.energy(background), 0.99)
    >>> losses.exceeds(losses.energy(xs), threshold, softness=0.5).shape
    (1, 3)

All of these work on whole sequences in training and on one step live.

**The weight of the gaps.** `entropy_target` changes it at each training step so that the entropy in gaps reaches a
target:

    >>> dual = losses.entropy_target(0.98)
    >>> state = dual.init()
    >>> weight, state = dual.update(losses.gap_entropy(logits, informative), state)

**Rare classes** can count more: `reset_free` takes class weights, and `balanced_weights` makes them of counts:

    >>> rare = losses.balanced_weights(jnp.array([900, 90, 10, 0, 0]))
    >>> loss = losses.reset_free(logits, labels, informative, class_weights=rare).mean()

**Numbers instead of classes.** `reset_free_regression` asks for the distribution of the targets, Gaussian or Student t.
"Don't know" is their `marginal` distribution, which outputs of 0 mean. `interval` gives bounds, `surprise` a calibrated
score of anomalies, `gap_width` what the weight that sets itself needs:

    >>> targets = jnp.array([[[20.1], [22.3], [jnp.nan]]])  # one stream, three steps, one target
    >>> outputs = jnp.zeros((1, 3, 2))  # of a network: location and logarithm of the scale
    >>> around = losses.marginal(targets)
    >>> loss = losses.reset_free_regression(outputs, targets, informative, marginal=around).mean()
    >>> low, high = losses.interval(losses.predict(outputs, around), 0.9)
    >>> losses.surprise(losses.predict(outputs, around), targets).shape
    (1, 3, 1)
    >>> weight, state = dual.update(losses.gap_width(outputs, informative, around), state)

**Stability.** Two penalties work on the cell itself, whatever the task: `lyapunov_penalty` holds its largest Lyapunov
exponents near 0 (gradient flossing) or below a bound, `jacobian_penalty` the singular values of a step near 1, or the
largest below a bound. A few sequences are enough, and every tenth step or so:

    >>> import jax, asrnn_jax
    >>> cell, xs = asrnn_jax.cells.tanh_rnn(inputs=1, hidden=6), jnp.ones((2, 20, 1))
    >>> params = cell.init(jax.random.key(0))
    >>> penalty = losses.lyapunov_penalty(cell, params, xs, k=2).mean()
    >>> bounded = losses.jacobian_penalty(cell, params, xs, of="largest", target=1.5, side="above").mean()
"""

from asrnn_jax.losses.distributions import Gaussian, StudentT, gaussian, marginal, predict, student_t
from asrnn_jax.losses.dual import DualState, DualWeight, entropy_target, gap_entropy
from asrnn_jax.losses.informative import change, detector, energy, exceeds, has_label, quantile_threshold, surprisal
from asrnn_jax.losses.objective import KL, balanced_weights, entropy_share, kl_to_uniform, reset_free
from asrnn_jax.losses.predicted import gap_width, interval, quantile, surprise, width_share
from asrnn_jax.losses.regression import RegressionKL, reset_free_regression
from asrnn_jax.losses.stability import Side, jacobian_penalty, lyapunov_penalty

__all__ = ["KL", "balanced_weights", "entropy_share", "kl_to_uniform", "reset_free"]
__all__ += ["Gaussian", "StudentT", "gaussian", "marginal", "predict", "student_t"]
__all__ += ["RegressionKL", "gap_width", "interval", "quantile", "reset_free_regression", "surprise", "width_share"]
__all__ += ["change", "detector", "energy", "exceeds", "has_label", "quantile_threshold", "surprisal"]
__all__ += ["DualState", "DualWeight", "entropy_target", "gap_entropy"]
__all__ += ["Side", "jacobian_penalty", "lyapunov_penalty"]
