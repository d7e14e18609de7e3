"""Which cases of a test run before each commit (`make test`); the others are for `make test-slow`.

CI runs both, of the other cases a third at a time, another one after each commit.
"""

import pytest


def name_of(case):
    return case if isinstance(case, str) else case.id


def quickly(argument, names, among, **options):
    """All of `among` as cases of a test, of other names than `names` in the slow tests.

    Args:
      argument: what the test calls a case.
      names: one case of each kind.
      among: texts, or what has an `id`.
      **options: of `pytest.mark.parametrize`.
    """
    among = list(among)
    unknown = set(names) - {name_of(case) for case in among}
    if unknown:
        raise ValueError(f"names has {sorted(unknown)}: the cases are {', '.join(map(name_of, among))}.")
    other = (pytest.mark.slow, pytest.mark.other)
    cases = [pytest.param(case, marks=() if name_of(case) in names else other, id=name_of(case)) for case in among]
    return pytest.mark.parametrize(argument, cases, **options)
