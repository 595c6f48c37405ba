"""What is in the packages that people install."""

import subprocess
import sys
import tomllib
import zipfile

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DISTRIBUTIONS = sorted(
    file.parent
    for pattern in ("", "storage-*/", "connector-*/", "plugins/*/")
    for file in ROOT.glob(f"{pattern}pyproject.toml")
)


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_wheel_holds_all_that_its_package_needs(folder, tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())

    settings = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    (package,) = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = {
        file.relative_to(folder).as_posix()
        for file in (folder / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert f"{package}/py.typed" in packed
    assert {name for name in packed if ".dist-info/" not in name} == files


@pytest.mark.parametrize("folder", DISTRIBUTIONS, ids=lambda folder: folder.name)
def test_a_distribution_says_who_it_is_and_what_it_needs(folder):
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    name = folder.name if folder != ROOT else ""

    assert project["name"] == (f"dexcore-{name}" if name else "dexcore")
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"
    assert (folder / project["readme"]).read_text("utf-8").startswith("# dexcore")
    assert all(">=" in need and "<" in need for need in project["dependencies"])
