"""C++ text as far as one can read it without a compiler: comments, strings and brackets."""

from __future__ import annotations

import re

_STRING = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
_COMMENT = re.compile(rf"//[^\n]*|/\*.*?\*/|({_STRING})", re.DOTALL)


def without_comments(text: str) -> str:
    """A text without its comments; strings and line numbers stay.

    Example:
        >>> without_comments('a(); // b();\\nc("// d");')
        'a(); \\nc("// d");'
    """

    def blank(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1]
        return "\n" * match[0].count("\n") or " " * (match[0][1] == "*")

    return _COMMENT.sub(blank, text)


def unbalanced(text: str, brackets: tuple[str, ...] = ("()", "{}")) -> list[str]:
    """Brackets that open and close a different number of times, outside strings.

    Example:
        >>> unbalanced('f("{");'), unbalanced("f(")
        ([], ['1 ( but 0 )'])
    """
    bare = re.sub(_STRING, '""', text)
    return [
        f"{bare.count(left)} {left} but {bare.count(right)} {right}"
        for left, right in brackets
        if bare.count(left) != bare.count(right)
    ]
