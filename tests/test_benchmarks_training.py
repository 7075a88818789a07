"""What a training is held against: a bare loop, and the machine's own matrix products."""

import torch
from benchmarks import table
from benchmarks.ours import bare, digits
from test_train import text_network
from torch import nn

from trimtab.nets.images import ConvTrunk
from trimtab.spec import parse
from trimtab.train.execution import Execution


def test_a_bare_loop_and_the_matrix_rate_are_measured_on_the_rows_of_the_training(tmp_path) -> None:
    network, data, settings = text_network(tmp_path, "full")
    found = bare.rates(network, data, settings, Execution("plain", "bf16_weights", torch.get_num_threads()))
    weights = sum(one.weight.numel() for one in network.modules() if isinstance(one, nn.Linear))
    least, most = int(data.train.steps.min()), int(data.train.steps.max())
    assert 6 * weights * least <= found["operations_per_row"] <= 6 * weights * most
    assert found["bare_rows_per_second"] > 0
    assert found["operations_per_second"] > 0


def test_the_table_tells_the_shares_of_our_runs_and_nothing_of_the_rivals() -> None:
    rival = {"rows_per_second": 40.0, "curve": [[1.0, 0.9]], "precision": "fp32"}
    own = {**rival, "rows_per_second": 90.0, "bare_rows_per_second": 100.0}
    own |= {"operations_per_row": 1e9, "operations_per_second": 3e11}
    about = {"machine": {"cpu": "some", "cores": 2}, "rows": {"train": 9, "valid": 3}, "data": "x.csv", "epochs": 1}
    lines = list(table.training({**about, "runs": {"trimtab": [own], "trainer": [rival]}}))
    assert "| trimtab | 90.0 | 1.0 | 1 | 0.900 | 0.90 | 30% | fp32 |" in lines
    assert any(line.endswith("| 2.2 | 1 | 0.900 |  |  | fp32 |") for line in lines)


def test_the_networks_for_digits_are_specs_and_one_has_the_convolutions_of_the_rival() -> None:
    specs = {name: parse({"data": "digits", "output": "label", **more}) for name, more in digits.NETWORKS.items()}
    assert set(specs) == {"default", "keras"}
    assert specs["keras"].train.epochs == 15
    shape = {key: value for key, value in digits.CONVOLUTIONS.items() if key != "name"}
    network = ConvTrunk(1, shape["channels"], shape["stages"], shape["depth"], 3, 0.0)
    maps = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    assert [one.out_channels for one in maps] == [32, 64]
