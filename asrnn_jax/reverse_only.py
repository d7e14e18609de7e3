"""An identity that forward-mode differentiation cannot pass, with an error that says what can."""

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

MESSAGE = "gradient='fused' has no forward mode (jax.jvp, jax.jacfwd): use gradient='plain', or jax.jacrev."


def _refuse(*_, **__):
    raise TypeError(MESSAGE)


# Reverse mode turns the tangent's path around before anything of it is evaluated or compiled; forward mode does not.
_tangent = Primitive("reverse_only")
_tangent.def_abstract_eval(lambda x: x)
_tangent.def_impl(_refuse)
ad.deflinear2(_tangent, lambda ct, _: [ct])
batching.primitive_batchers[_tangent] = _refuse  # jacfwd
mlir.register_lowering(_tangent, _refuse)


@jax.custom_jvp
def reverse_only(x: jax.Array) -> jax.Array:
    """``x``; its derivative goes backward only.

    Raises:
      TypeError: when differentiated in forward mode, also through `jax.jit`.
    """
    return x


reverse_only.defjvp(lambda primals, tangents: (primals[0], _tangent.bind(tangents[0])))
