"""The form in which the service tells the runner what to do: named lists of strings, NUL between them.

Rule: it can hold strings only, so that reading it builds nothing else.
"""

import os

Form = dict[str, list[str]]


def encode(form: Form) -> bytes:
    """The form as bytes; no string may hold a NUL."""
    words = [word for name, values in form.items() for word in (name, str(len(values)), *values)]
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def decode(content: bytes) -> Form:
    words = [os.fsdecode(word) for word in content.split(b"\0")[:-1]]
    form: Form = {}
    while words:
        name, count = words[0], int(words[1])
        form[name] = words[2 : 2 + count]
        words = words[2 + count :]
    return form
