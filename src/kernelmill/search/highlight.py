"""Source text as HTML with a few classes for colours."""

from __future__ import annotations

import re
from html import escape

_WORDS = {
    "python": "and as assert async await break class continue def del elif else except finally for "
    "from global if import in is lambda nonlocal not or pass raise return try while with yield "
    "None True False self",
    "cpp": "auto bool break case char class const constexpr continue default do double else enum "
    "extern false float for if inline int int32_t int64_t long namespace new return short signed "
    "size_t sizeof static struct switch template true typedef typename union unsigned using void "
    "volatile while __restrict__ restrict",
}


def _pattern(language: str) -> re.Pattern[str]:
    comment = r"\#[^\n]*" if language == "python" else r"//[^\n]*|/\*.*?\*/|^[ \t]*\#[^\n]*"
    string = r'"""(?:\\.|[^\\])*?"""|' + r"'''(?:\\.|[^\\])*?'''|" if language == "python" else ""
    string += r'"(?:\\.|[^"\\\n])*"|' + r"'(?:\\.|[^'\\\n])*'"
    words = "|".join(_WORDS[language].split())
    return re.compile(
        rf"(?P<c>{comment})|(?P<s>{string})|(?P<k>\b(?:{words})\b)"
        r"|(?P<n>\b\d[\w.]*\b)|(?P<f>\b[A-Za-z_]\w*(?=\())",
        re.DOTALL | re.MULTILINE,
    )


_PATTERNS = {language: _pattern(language) for language in _WORDS}


def highlight(source: str, language: str = "python") -> str:
    """HTML of ``source``: comments, strings, keywords, numbers and calls in spans of the classes
    ``c s k n f``.

    Example:
        >>> highlight("x = 1  # <one>")
        'x = <span class="n">1</span>  <span class="c"># &lt;one&gt;</span>'
    """
    done, last = [], 0
    for match in _PATTERNS[language].finditer(source):
        done.append(escape(source[last : match.start()], quote=False))
        if language == "python" and match[0][:3] in ('"""', "'''") and "#include" in match[0]:
            done.append(f"{match[0][:3]}{highlight(match[0][3:-3], 'cpp')}{match[0][:3]}")
        else:
            text = escape(match[0], quote=False)
            done.append(f'<span class="{match.lastgroup}">{text}</span>')
        last = match.end()
    return "".join(done) + escape(source[last:], quote=False)


def language_of(source: str) -> str:
    """``cpp`` for text that looks like C, else ``python``."""
    return (
        "cpp"
        if re.search(r'^\s*(#include|extern "C"|//)', source, re.MULTILINE)
        and not (re.search(r"^\s*(import|from|class|def) ", source, re.MULTILINE))
        else "python"
    )
