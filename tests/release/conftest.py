"""The images, built from the Dockerfile once for each process of a run."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NOT_GIVEN_HERE
from tests.private_server import ServerUnavailable, make_home
from tests.release.container import Builder, Image
from tests.release.dockerfile import ROOT


@pytest.fixture(scope="session")
def builder() -> Iterator[Builder]:
    """Make a builder of our Dockerfile; what it builds is removed afterwards."""
    home = make_home("protojobs-images-", in_memory=True)
    # Users of images reach it.
    home.chmod(0o755)
    try:
        yield Builder(dockerfile=ROOT / "Dockerfile", context=ROOT, place=home)
    except ServerUnavailable as error:
        pytest.skip(f"{NOT_GIVEN_HERE}containers: {error}")
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def server_image(builder: Builder) -> Image:
    """Build the image of the server."""
    return builder.build("server")


@pytest.fixture(scope="session")
def worker_image(builder: Builder) -> Image:
    """Build the image of the worker."""
    return builder.build("worker")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Make an empty directory that belongs to the user of the images."""
    directory = tmp_path / "state"
    directory.mkdir()
    os.chown(directory, 65532, 65532)
    return directory
