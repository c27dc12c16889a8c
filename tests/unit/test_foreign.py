"""Another project's `fastworker` in the same environment is recognised and named."""

from pathlib import Path

import pytest

from fastworker.foreign import foreign_installation


@pytest.mark.parametrize("name", ["fastworker-0.3.1.dist-info", "fastworker-0.3.1-py3.11.egg-info"])
def test_a_foreign_fastworker_beside_ours_is_named_with_the_way_out(tmp_path: Path, name: str) -> None:
    """Its files may have overwritten ours."""
    (tmp_path / name).mkdir()
    said = foreign_installation(str(tmp_path / "fastworker"))
    assert said is not None and name in said
    assert "pip uninstall fastworker" in said and "fastworker-functions" in said


def test_our_own_distribution_is_no_stranger(tmp_path: Path) -> None:
    """Nor is a folder without any."""
    (tmp_path / "fastworker_functions-0.1.0.dist-info").mkdir()
    assert foreign_installation(str(tmp_path / "fastworker")) is None
    assert foreign_installation(str(tmp_path / "nowhere" / "fastworker")) is None
