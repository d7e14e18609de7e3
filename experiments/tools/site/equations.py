"""Equations of docstrings, plain text such as ``h_t = tanh(W_xh x_t + W_hh h_{t-1} + b)``, as MathML.

The docstrings stay plain so that `help()` can be read. What is no equation (a word that is not mathematics, a call, a
keyword argument) is left as it is.
"""

import html
import re

import latex2mathml.converter

GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "eta", "theta", "kappa", "lambda", "mu", "nu", "phi", "rho"),
    *("sigma", "tau", "Delta", "Lambda", "Gamma", "Theta"),
}
FUNCTIONS = {
    **{name: rf"\{name}" for name in ("tanh", "exp", "log", "max", "min", "sin", "cos")},
    **{
        name: rf"\operatorname{{{name}}}" for name in ("relu", "ReLU", "modReLU", "softmax", "softplus", "diag", "sign")
    },
    **{name: rf"\operatorname{{{name}}}" for name in ("Re", "Im", "expm", "cayley", "sqrt", "map", "KL", "CE")},
    "sigmoid": r"\sigma",
    "sum": r"\sum",
}
SIGNS = {"*": r"\odot ", "<=": r"\le ", ">=": r"\ge ", "~": r"\sim ", "|": r"\vert ", "/": "/"}
TOKEN = re.compile(r"\s+|\"\w+\"|<=|>=|\d+(?:\.\d+)?|[A-Za-z]+|[_^]\{[^{}]*\}|[_^]\w+|[-+*/=()\[\],|~.]")
MARK = re.compile(r"[_^]\{|\^|(?<![<>=!]) = (?!=)|\bd[a-zA-Z]_\w / d")
RECURSION = re.compile(r"_t\b|_\{t-1\}")
LEFT = re.compile(r"[\w{}, -]+ = ")


def latex(text: str, words: bool = False) -> str | None:
    """The equation in LaTeX, or None where `text` is none; with `words` there may be some on its right."""
    text = re.sub(r"\s+=", " =", text.replace("⁻¹", "^{-1}").strip())
    if not MARK.search(text):
        return None
    out, at, letters = [], 0, 0
    while at < len(text):
        found = TOKEN.match(text, at)
        token = found.group() if found else text[at]
        at += len(token)
        piece = _piece(token) if found else None
        if piece is None and not words:
            return None
        piece = piece or rf"\;\text{{{token}}}\;"
        letters += token[0].isalpha()
        out.append(piece)
    return "".join(out) if letters else None


def _piece(token: str) -> str | None:
    if token.isspace():
        return r" \qquad " if len(token) > 3 else " "
    if token in FUNCTIONS:
        return rf"\,{FUNCTIONS[token]} "
    if token in GREEK:
        return rf"\{token} "
    if token[0] in "_^":
        inside = token[1:].strip("{}")
        if token == "^T":
            return r"^{\top}"
        return f"{token[0]}{{{rf'{chr(92)}{inside}' if inside in GREEK else inside}}}"
    if token[0].isalpha():
        derivative = re.fullmatch(r"d([A-Za-z])", token)
        return token if len(token) == 1 else (f"d {derivative[1]}" if derivative else None)
    return SIGNS.get(token, token)


def render(page: str) -> str:
    """A page with the equations in its ``<code>`` and ``<pre>`` elements rendered."""
    page = re.sub(r"<pre><code>([^<]*)</code></pre>", _block, page)
    return re.sub(r"(?<!<pre>)<code>([^<\n]*)</code>", _inline, page)


def _mathml(text: str, display: str, words: bool = False) -> str | None:
    found = latex(text, words)
    return None if found is None else latex2mathml.converter.convert(found, display=display)


def _inline(match: re.Match[str]) -> str:
    text = html.unescape(match[1])
    made = _mathml(text, "inline")
    return match[0] if made is None else f'<span class="equation" title="{match[1]}">{made}</span>'


def _block(match: re.Match[str]) -> str:
    lines = html.unescape(match[1]).strip("\n").split("\n")
    words = bool(RECURSION.search(match[1])) and all(_left(line) for line in lines if line.strip())
    made = [_mathml(line.strip(), "block", words) for line in lines if line.strip()]
    if not made or None in made:
        return match[0]
    return f'<div class="equation" title="{match[1].strip()}">{"".join(f"<div>{line}</div>" for line in made)}</div>'


def _left(line: str) -> bool:
    """Whether a line begins with letters of mathematics and an equals sign, as no line of code with names does."""
    found = LEFT.match(line.strip())
    return found is not None and latex(found.group() + "0") is not None


def tex(text: str) -> str:
    """Markdown with ``$...$`` and ``$$...$$`` as MathML."""
    convert = latex2mathml.converter.convert
    text = re.sub(r"\$\$(.+?)\$\$", lambda m: convert(_plain(m[1]), display="block"), text, flags=re.DOTALL)
    return re.sub(r"(?<![\\\w`])\$([^$\n]+?)\$(?!\w)", lambda m: convert(_plain(m[1])), text)


def _plain(formula: str) -> str:
    return re.sub(r"\\[bB]ig[lr]?\b|\\[bB]ig(?=[()])", "", formula).strip()
