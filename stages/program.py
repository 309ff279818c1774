"""How a command that people give ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sparsify.settings import InputError
from stages import started


@contextmanager
def program() -> Iterator[None]:
    """Around what a command does: what a user can mend is one line and exit status 1, an interruption is 130."""
    started()
    try:
        yield
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error}; mend that (space, permissions) and give the same command again")
    except KeyboardInterrupt:
        sys.exit(130)
