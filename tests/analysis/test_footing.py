from types import SimpleNamespace

import pytest
from footing import made_otherwise


@pytest.mark.parametrize(("devices", "crossed"), [("AAB", ["2"]), ("AABB", []), ("ABC", [])])
def test_only_a_majority_makes_others_made_otherwise(devices, crossed):
    made = {str(number): {"grade": {"device": device}} for number, device in enumerate(devices)}
    assert list(made_otherwise(SimpleNamespace(provenance=made))) == crossed
