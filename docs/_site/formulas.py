"""Plain formulas, as docstrings and pages write them, as MathML, which browsers draw offline."""

from __future__ import annotations

import re
from html import escape

NAMES_OF_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
    " finalsigma sigma tau upsilon phi chi psi omega"
)  # in the order of Unicode
GREEK = {name: chr(code) for code, name in enumerate(NAMES_OF_GREEK.split(), 0x3B1)} | {
    "lam": chr(0x3BB),
    "eps": chr(0x3B5),
    "Delta": "Δ",
    "Phi": "Φ",
    "Theta": "Θ",
}
SIGNS = {"<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "=>": "⇒", "*": "·", "-": "\u2212", "inf": "∞"}
SIGNS |= {"sum": "∑", "prod": "∏", "...": "…"}
# a name of the code, such as cost_per_point
WORDS = r"(?!(?:sum|prod)_)[A-Za-z]{3,}(?:_[A-Za-z]{2,})+"
TOKEN = re.compile(
    WORDS + r"|[A-Za-z]+\d*|\d+(?:\.\d+)?(?:e-?\d+)?|\.\.\.|<=|>=|!=|->|=>|[_^]|\s+|."
)
PROSE = re.compile(r"`|\.$|\bthe\b.*\bthe\b|^[A-Z][a-z]+ [a-z]+ [a-z]+ ")
# ``owner   U = x``, ``with caps: q = 1``
LABEL = re.compile(r"([a-z]{3}[a-z ]*?(?::\s+|\s{2,}))(?=\S)")
RELATION = re.compile(r" (=|<=|>=|<|>|~) ")


def is_formula(line: str) -> bool:
    """Whether a line is a formula: it has a relation, and is neither code nor a sentence.

    >>> is_formula("U_i = P q_i / sum q - c_i q_i"), is_formula("The prize is shared: c = 1.")
    (True, False)
    """
    return bool(RELATION.search(line)) and not PROSE.search(line.strip())


def mathml(lines: list[str]) -> str:
    """Lines of formulas as one table; words in front of a formula have a column of their own."""
    cells = [_cells(line.strip()) for line in lines]
    has_labels = any(label for label, _ in cells)
    rows = [cell if has_labels else cell[1:] for cell in cells]
    body = "".join(
        "<mtr>" + "".join(f"<mtd>{_row(cell)}</mtd>" for cell in row) + "</mtr>" for row in rows
    )
    return (
        f'<div class="formula"><math display="block"><mtable columnalign="left">{body}'
        "</mtable></math></div>"
    )


def _cells(line: str) -> tuple[str, str]:
    """The label of a formula, empty where it has none, and the formula."""
    label = LABEL.match(line)
    return (label[1].strip(), line[label.end() :]) if label else ("", line)


def _row(text: str) -> str:
    """One cell: its tokens from left to right."""
    tokens, parts = TOKEN.findall(text), []
    while tokens:
        token = tokens.pop(0)
        if token in "_^" and parts and tokens:
            parts.append(_script("msub" if token == "_" else "msup", parts.pop(), tokens))
        elif token == "*" and parts and (not tokens or (tokens[0].isspace() and text[-1:] != "*")):
            star = _is_star(parts)
            parts.append(f"<msup>{parts.pop()}<mo>*</mo></msup>" if star else "<mo>·</mo>")
        else:
            parts.append(_atom(token))
    return f"<mrow>{''.join(parts)}</mrow>"


def _is_star(parts: list[str]) -> bool:
    """Whether a star stands right behind a name, as in the optimum ``eta*``."""
    return parts[-1].startswith(("<mi", "<msu"))


def _script(tag: str, base: str, tokens: list[str]) -> str:
    """A base with its subscript or exponent: a name, a number or a bracket."""
    inner = _group(tokens) if tokens[0] in "({" else _atom(tokens.pop(0))
    if tag == "msup" and base.startswith("<msub>"):
        return f"<msubsup>{base[6:-7]}{inner}</msubsup>"
    return f"<{tag}>{base}{inner}</{tag}>"


def _group(tokens: list[str]) -> str:
    """The tokens up to the closing bracket, without the brackets."""
    depth, inside = 0, []
    while tokens:
        token = tokens.pop(0)
        depth += (token in "({") - (token in ")}")
        if depth == 0:
            break
        inside.append(token)
    return _row("".join(inside[1:]))


def _atom(token: str) -> str:
    """One token: a space, a number, a sign, a Greek letter, a name or a word."""
    if token.isspace():
        return f'<mspace width="{0.25 * min(len(token), 8)}em"/>'
    if token[0].isdigit():
        return f"<mn>{token}</mn>"
    if token in SIGNS:
        return f"<mo>{SIGNS[token]}</mo>"
    if token[0].isalpha():
        name = GREEK.get(token, token)
        return f"<mi>{name}</mi>" if len(name) == 1 else f"<mtext>{name}</mtext>"
    stretch = ' stretchy="false"' if token in "()[]{}|" else ""
    return f"<mo{stretch}>{escape(token)}</mo>"
