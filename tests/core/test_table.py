"""Tables name the nearest entry."""

import pytest

from sensorium.core.errors import UnknownName
from sensorium.core.table import Table


def test_a_table_is_a_dict_whose_missing_names_are_errors_with_a_suggestion():
    table = Table("encoder", {"convnet": 1, "vit": 2})
    assert table["vit"] == 2 and list(table) == ["convnet", "vit"] and "resnet" not in table
    with pytest.raises(UnknownName, match=r"no encoder is called 'convent'\. Did you mean 'convnet'\? Known: convnet, vit\."):
        table["convent"]
    assert table.get("convent") is None  # the dict's own question stays a question
    table["resnet"] = 3
    assert table["resnet"] == 3
