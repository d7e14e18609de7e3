"""The reset-free objective, what decides which steps are informative, and a weight that sets itself.

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
"""

from asrnn_jax.losses.dual import DualState, DualWeight, entropy_target, gap_entropy
from asrnn_jax.losses.informative import (
    change,
    detector,
    energy,
    exceeds,
    has_label,
    quantile_threshold,
    surprisal,
)
from asrnn_jax.losses.objective import KL, entropy_share, kl_to_uniform, reset_free

__all__ = [
    "KL",
    "DualState",
    "DualWeight",
    "change",
    "detector",
    "energy",
    "entropy_share",
    "entropy_target",
    "exceeds",
    "gap_entropy",
    "has_label",
    "kl_to_uniform",
    "quantile_threshold",
    "reset_free",
    "surprisal",
]
