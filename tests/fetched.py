"""What tests fetch once and keep in the cache of the user (`XDG_CACHE_HOME`) between runs.

One process at a time fetches, the others wait for it; what is there is whole.
"""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path


def fetched(name: str, recipe: bytes, fetch: Callable[[Path], None]) -> Path:
    """Return the directory that `fetch` has filled, now or long ago; it is given one that does not exist yet.

    It is named for the recipe too: a change of that is another directory, and never half of two. Raises what `fetch` raises.
    """
    cache = cache_directory()
    directory = cache / f"{name}-{hashlib.sha256(recipe).hexdigest()[:12]}"
    if not directory.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / f"{name}.lock"):
            if not directory.is_dir():
                with tempfile.TemporaryDirectory(dir=cache) as temporary:
                    fresh = Path(temporary) / "fresh"
                    fetch(fresh)
                    fresh.rename(directory)
    return directory


def cache_directory() -> Path:
    """Return where all of it lies."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protojobs-tests"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    """Let one process at a time in; the others find what it has fetched."""
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
