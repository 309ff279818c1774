"""What the tests of masks share."""

import pytest

from sparsify import models


@pytest.fixture
def network(hostile):
    return hostile(models.build("lenet-300-100", (1, 28, 28), 10, 0.05))  # 784-15-5-10
