"""An identity that forward-mode differentiation cannot pass, with an error that says what can."""

import jax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

MESSAGE = "gradient='fused' has no forward mode (jax.jvp, jax.jacfwd): use gradient='autodiff', or jax.jacrev."


def _refuse(*_, **__):
    raise TypeError(MESSAGE)


# Reverse mode turns the tangent's path around before anything of it is evaluated or compiled; forward mode does not.
_tangent = Primitive("reverse_only_tangent")
_tangent.def_abstract_eval(lambda x: x)
_tangent.def_impl(_refuse)
ad.deflinear2(_tangent, lambda ct, _: [ct])
batching.primitive_batchers[_tangent] = _refuse  # jacfwd
mlir.register_lowering(_tangent, _refuse)

# A primitive, not jax.custom_jvp: vmap of that would batch the rule, the tangent's path with it, before grad turns it.
_value = Primitive("reverse_only")
_value.def_abstract_eval(lambda x: x)
_value.def_impl(lambda x: x)
batching.primitive_batchers[_value] = lambda args, axes: (_value.bind(*args), axes[0])
mlir.register_lowering(_value, lambda _, x: [x])


def _jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return x, t if isinstance(t, ad.Zero) else _tangent.bind(t)


ad.primitive_jvps[_value] = _jvp


def reverse_only(x: jax.Array) -> jax.Array:
    """``x``; its derivative goes backward only.

    Raises:
      TypeError: when differentiated in forward mode, also through `jax.jit`.
    """
    return _value.bind(x)
