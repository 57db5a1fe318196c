"""What deployments offer: flows that Prefect can load, with the purpose of their configuration files."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from flows.deployments.offered import offers
from tests.conftest import offered_configs


def test_no_file_beside_a_flow_hides_a_module_of_python(tmp_path: Path) -> None:
    """Prefect puts the folder of a flow's file in front of the path on which modules are looked for."""
    offered = offers(tmp_path / "data", offered_configs(tmp_path / "configs"))[0]
    folders = {Path(inspect.getfile(offer.flow.fn)).parent for offer in offered}
    assert {folder.name for folder in folders} == {"flows", "compare"}
    beside = [path for folder in folders for path in folder.glob("*.py")]
    assert [path for path in beside if path.stem in sys.stdlib_module_names] == []


def test_a_deployment_says_what_its_configuration_file_is_for(tmp_path: Path) -> None:
    folder = offered_configs(tmp_path / "configs")
    (folder / "own.yaml").write_text(
        "# Two games,\n# to try something.\n#     steca run\n# Not this.\nname: own\n"
    )
    (folder / "plain.yaml").write_text("name: plain\n")
    about = {offer.name: offer.description for offer in offers(tmp_path / "data", folder)[0]}
    assert about["own"].startswith("Two games, to try something.\n\nThe form begins with the settings of")
    assert about["plain"].startswith("Expert demonstrations in, a calibrated and evaluated policy out.")
