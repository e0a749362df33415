from collections.abc import Iterator

import pytest

from automl_core.one_thread import one_thread


@pytest.fixture(autouse=True)
def on_one_thread() -> Iterator[None]:
    """The networks of tests are small: several threads would wait for one another."""
    with one_thread():
        yield
