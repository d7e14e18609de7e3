"""The documentation as one site that needs no network: `make docs`, then open site/index.html.

`api` has every public symbol, made by pdoc from the docstrings; `pages` has README, results, notebooks and the files
they link to; `equations` renders the docstrings' equations; `check` finds dead links and symbols without a docstring.
"""
