"""What the docstring of a class says of its parts."""

from __future__ import annotations

import inspect
import re


def documented(described: type) -> dict[str, str]:
    """Return what the docstring of a class says of each argument."""
    arguments = inspect.cleandoc(described.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", arguments, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def summary(described: type) -> str:
    """Return the first sentence of a class's docstring."""
    return inspect.cleandoc(described.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
