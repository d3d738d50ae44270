"""Runs the whole suite on each Python that this machine has: `make pythons` (ALL=1 ARGS="tests/plugin" ONLY=3.13,3.14).

Each has an environment of tox of its own, `py311` to `py314t`. A Python that is missing is named, and fails the run
only with `--all`. One that the machine lacks is taken from `build/pythons`, into which `mvn` fetches what Maven has.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FETCHED = ROOT / "build/pythons"
VERSIONS = ("3.11", "3.12", "3.13", "3.14", "3.14t")
IN_MAVEN = {"3.14": "org.bytedeco:cpython:3.14.3-1.5.13:jar:linux-x86_64"}
"""Builds of CPython for Linux that Maven Central has."""

ASK = """
import sys, sysconfig
free = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print("%d.%d%s" % (*sys.version_info[:2], free), sys.version.split()[0])
"""


def find(version: str) -> tuple[Path, str] | None:
    """The interpreter of a version, and its version in full; `None` where this machine has none."""
    for candidate in candidates(version):
        told = subprocess.run([candidate, "-c", ASK], capture_output=True, text=True, check=False)
        if told.returncode == 0 and told.stdout.split()[:1] == [version]:
            return Path(candidate), told.stdout.split()[1]
    return None


def candidates(version: str) -> Iterator[str]:
    name = f"python{version}"
    if on_path := shutil.which(name):
        yield on_path
    yield from map(str, Path.home().glob(f".pyenv/versions/*/bin/{name}"))
    yield from map(str, Path.home().glob(f".local/share/uv/python/*/bin/{name}"))
    yield from map(str, FETCHED.glob(f"**/bin/{name}"))


def fetch(version: str) -> None:
    """Take a Python from Maven, where it has it."""
    artifact = IN_MAVEN.get(version)
    maven = shutil.which("mvn")
    if artifact is None or maven is None:
        return
    group, name, full, _, platform = artifact.split(":")
    got = subprocess.run([maven, "-q", "dependency:get", "-Dtransitive=false", f"-Dartifact={artifact}"], check=False)
    jar = Path.home() / ".m2/repository" / group.replace(".", "/") / name / full / f"{name}-{full}-{platform}.jar"
    if got.returncode == 0 and jar.exists():
        with zipfile.ZipFile(jar) as archive:
            archive.extractall(FETCHED)
        for program in FETCHED.glob("**/bin/python3*"):
            program.chmod(0o755)


def main() -> int:
    """Run the suite on each; the exit status is that of the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="fail where a version is missing")
    parser.add_argument("--only", default=",".join(VERSIONS), help="the versions, with commas in between")
    options, arguments = parser.parse_known_args()
    FETCHED.mkdir(parents=True, exist_ok=True)
    with (FETCHED / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("pythons: another run is under way in this tree, and each installs plugmux anew", file=sys.stderr)
            return 1
        return run_each(options.only.split(","), arguments, need_all=options.all)


def run_each(versions: list[str], arguments: list[str], *, need_all: bool) -> int:
    """Run the suite on each version that is found; see `main`."""
    found, missing = {}, []
    for version in versions:
        if find(version) is None:
            fetch(version)
        if (here := find(version)) is None:
            missing.append(version)
        else:
            found[version] = here
    for version, (path, full) in found.items():
        print(f"pythons: {version}: {full}, {path}", flush=True)
    for version in missing:
        print(f"pythons: {version}: NOT HERE: no python{version} on PATH, of pyenv, of uv or of Maven", flush=True)
    failed = [version for version, (path, _) in found.items() if not run(version, path, arguments)]
    print(
        f"pythons: ran on {', '.join(found) or 'none'}; failed on {', '.join(failed) or 'none'}; "
        f"missing {', '.join(missing) or 'none'}"
    )
    return 1 if failed or not found or (missing and need_all) else 0


def run(version: str, path: Path, arguments: list[str]) -> bool:
    """Run the suite in the environment of a version."""
    environ = {**os.environ, "PATH": f"{path.parent}{os.pathsep}{os.environ['PATH']}", "UV_PYTHON_DOWNLOADS": "never"}
    command = [sys.executable, "-m", "tox", "run", "-e", f"py{version.replace('.', '')}", "--discover", str(path)]
    print(f"pythons: {version}: {' '.join(command)}", flush=True)
    return subprocess.run([*command, "--", *(arguments or ["-q"])], env=environ, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
