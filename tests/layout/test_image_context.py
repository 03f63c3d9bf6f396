"""The image is made of every package that an installation has, and of nothing else."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
PACKAGES = [one.removesuffix("*") for one in SETUPTOOLS["packages"]["find"]["include"]]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_in_the_image(package: str) -> None:
    """A new package is copied into the build, and let into its context."""
    assert f"COPY {package} {package}\n" in DOCKERFILE
    assert f"!{package}" in IGNORED


def test_every_entry_module_is_in_the_image() -> None:
    """So are the modules that processes start from."""
    line = next(one for one in DOCKERFILE.splitlines() if one.startswith("COPY LICENSE"))
    assert {f"{name}.py" for name in SETUPTOOLS["py-modules"]} <= set(line.split())


def test_nothing_comes_in_by_default() -> None:
    """Everything is ignored first: no home folder, test or secret gets near an image."""
    rules = [one for one in IGNORED if one and not one.startswith("#")]
    assert rules[0] == "*"
    let_in = {one[1:] for one in rules if one.startswith("!")}
    named = {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", "*.py", "wheels"}
    assert let_in == named | set(PACKAGES)
    assert "COPY . " not in DOCKERFILE


def test_installs_are_locked_and_the_base_is_an_argument() -> None:
    """What is fetched has a hash; a site chooses its own base image."""
    installs = [one for one in DOCKERFILE.split("RUN ") if "install --no-cache-dir" in one]
    assert len(installs) == 2
    assert "--require-hashes --only-binary :all:" in installs[0]
    assert "--no-index --no-deps --no-build-isolation" in installs[1]
    assert DOCKERFILE.count("FROM ${PYTHON_IMAGE}") == 2
