"""Generates, imports, type-checks and calls every service of public proto files. `make protos` runs it.

Each package of `sources.py` is taken with the lowest and the newest protobuf that plugmux bears, each in an environment
of its own below `build/protos`. Every method is called over a link, as tests/support/every_method.py does. Prints
counts, and what failed; the exit status is 1 where something did.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from packages import BUILD, fetch, recorded_descriptors
from sources import SOURCES, Source

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOWEST = [
    pin for pin in PROJECT["tool"]["tox"]["env"]["lowest"]["deps"] if pin.startswith(("protobuf", "grpcio-tools"))
]
ENVIRONMENTS = {"lowest": LOWEST, "newest": ["protobuf", "grpcio-tools"]}
BY_NAME = {source.package: source for source in SOURCES}
RUNTIME_FILES = "google/protobuf/"
"""Files that come with protobuf itself."""
MAX_SHOWN = 20
MAX_TIME = 3600
"""Seconds for one program on one package."""


@dataclass
class Counts:
    """What became of one package in one environment."""

    files: int = 0
    services: int = 0
    methods: int = 0
    called: int = 0
    failures: list[str] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add those of another."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


class Environment:
    """A virtual environment with one version of protobuf, and the output of its protoc."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = BUILD / name
        self.python = str(self.folder / "venv/bin/python")

    def prepare(self) -> None:
        """Install what is missing."""
        wanted = [*ENVIRONMENTS[self.name], *PROJECT["project"]["dependencies"], "types-protobuf"]
        stamp = self.folder / "installed"
        if not stamp.is_file() or stamp.read_text() != "\n".join(wanted):
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(self.folder / "venv")], check=True)
            install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--upgrade", "--python", self.python]
            subprocess.run([*install, *wanted], check=True)
            stamp.write_text("\n".join(wanted))
        program = self.folder / "protoc-gen-plugmux"
        program.write_text(
            f"#!{self.python}\nimport sys\nfrom plugmux.connect.codegen.plugin import main\nsys.exit(main())\n"
        )
        program.chmod(0o755)

    def run(self, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run this environment's Python, which finds plugmux in this tree."""
        path = [ROOT / "py", ROOT / "gen/python", ROOT / "tests/connect"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))}
        command = [self.python, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=MAX_TIME, check=False
        )

    def protoc(self, *arguments: str, files: list[str]) -> str:
        """Run protoc on files; gives what it says where it fails."""
        with tempfile.NamedTemporaryFile("w", suffix=".files") as listed:
            listed.write("\n".join(files))
            listed.flush()
            run = self.run("-m", "grpc_tools.protoc", *arguments, f"@{listed.name}")
        return run.stderr if run.returncode else ""

    def work(self, source: Source) -> Path:
        """The folder for what becomes of a package."""
        return self.folder / source.package.replace("/", "-")

    def version(self) -> str:
        """The versions of protobuf and of protoc."""
        protobuf = self.run("-c", "import google.protobuf; print(google.protobuf.__version__)").stdout.strip()
        return f"protobuf {protobuf}, protoc {self.run('-m', 'grpc_tools.protoc', '--version').stdout.split()[-1]}"


def include_paths(source: Source) -> list[str]:
    """protoc's options for where the files of a package and of those that it needs are."""
    return [
        f"-I{virtual}{'=' if virtual else ''}{fetch(each) / folder}"
        for each in (source, *(BY_NAME[name] for name in source.needs))
        for virtual, folder in each.roots.items()
    ]


def service_files(source: Source) -> Iterator[str]:
    """The package's files with services, as protoc names them."""
    for virtual, folder in source.roots.items():
        root = fetch(source) / folder
        for path in sorted(root.rglob("*.proto")):
            name = (Path(virtual) / path.relative_to(root)).as_posix()
            if any(line.startswith("service ") for line in path.read_text(errors="replace").splitlines()):
                yield name


def compiled(source: Source, environment: Environment, counts: Counts) -> FileDescriptorSet:
    """The package's files with services, and all that they import."""
    if not source.roots:
        return recorded_descriptors(fetch(source))
    files = list(service_files(source))
    target = environment.work(source) / "set.binpb"
    arguments = ["--include_imports", "--include_source_info", f"--descriptor_set_out={target}", *include_paths(source)]
    while files:
        error = environment.protoc(*arguments, files=files)
        if not error:
            return FileDescriptorSet.FromString(target.read_bytes())
        at_fault = [file for file in files if file in error]
        counts.failures.append(f"protoc: {error.strip().splitlines()[0]}")
        if not at_fault:
            break
        files = [file for file in files if file not in at_fault]
    return FileDescriptorSet()


def generate(source: Source, environment: Environment, counts: Counts) -> Path | None:
    """Write the modules of the package; gives their folder, if there are any."""
    found = compiled(source, environment, counts)
    counts.files = sum(bool(file.service) for file in found.file)
    if not counts.files:
        return None
    root = environment.work(source) / "out"
    out = root / source.below
    out.mkdir(parents=True)
    target = environment.work(source) / "set.binpb"
    names = [file.name for file in found.file if not file.name.startswith(RUNTIME_FILES)]
    if not source.roots:
        included = environment.work(source) / "included.binpb"
        wanted = sorted({d for file in found.file for d in file.dependency if d.startswith(RUNTIME_FILES)})
        own = next((environment.folder / "venv/lib").glob("python*/site-packages/grpc_tools/_proto"))
        if wanted:
            environment.protoc("--include_imports", f"--descriptor_set_out={included}", f"-I{own}", files=wanted)
            found.MergeFrom(FileDescriptorSet.FromString(included.read_bytes()))
        target.write_bytes(found.SerializeToString())
    program = environment.folder / "protoc-gen-plugmux"
    outputs = [f"--python_out={out}", f"--pyi_out={out}", f"--plugmux_out={out}", f"--plugin={program}"]
    if source.below:
        outputs.append(f"--plugmux_opt=package={source.below}")
    error = environment.protoc(f"--descriptor_set_in={target}", *outputs, files=names)
    counts.failures += [f"generating: {line}" for line in error.splitlines()]
    if source.below:
        environment.run(str(program), "--relocate", str(out), source.below)
    return root


def call(out: Path, environment: Environment, counts: Counts) -> None:
    """Import the modules, and call every method over a link."""
    run = environment.run(str(ROOT / "tests/support/every_method.py"), str(out))
    if run.returncode:
        counts.failures.append(f"calling: {run.stderr.strip().splitlines()[-1]}")
        return
    outcome = json.loads(run.stdout)
    counts.services, counts.methods, counts.called = outcome["services"], outcome["methods"], outcome["called"]
    counts.failures += outcome["failures"]


def check_types(out: Path, environment: Environment) -> list[str]:
    """The errors that `mypy --strict` and pyright find in our modules; protoc's own do not pass them."""
    modules = sorted(str(path.relative_to(out)) for path in out.rglob("*_connect.py"))
    with ThreadPoolExecutor() as pool:
        by_mypy = pool.submit(check_with_mypy, out, modules, environment)
        by_pyright = pool.submit(check_with_pyright, out, modules, environment)
        return [*by_mypy.result(), *by_pyright.result()]


def check_with_mypy(out: Path, modules: list[str], environment: Environment) -> list[str]:
    settings = ["[mypy]", "strict = true", "explicit_package_bases = true", f"python_executable = {environment.python}"]
    settings += ["follow_imports = silent", "follow_imports_for_stubs = true", f"mypy_path = {out}:{ROOT / 'py'}"]
    (out / "mypy.ini").write_text("\n".join([*settings, f"cache_dir = {environment.folder / 'mypy'}"]))
    (out / "modules").write_text("\n".join(modules))
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "@modules"]
    run = subprocess.run(command, cwd=out, capture_output=True, text=True, timeout=MAX_TIME, check=False)
    return [f"mypy: {line}" for line in (run.stdout + run.stderr).splitlines() if run.returncode]


def check_with_pyright(out: Path, modules: list[str], environment: Environment) -> list[str]:
    (out / "pyrightconfig.json").write_text(json.dumps({"include": modules, "extraPaths": [str(ROOT / "py")]}))
    command = ["pyright", "--project", str(out), "--pythonpath", environment.python, "--outputjson"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=MAX_TIME, check=False)
    told = json.loads(run.stdout)
    faults = [f"pyright: {fault['file']}: {fault['message']}" for fault in told["generalDiagnostics"]]
    read = told["summary"]["filesAnalyzed"]
    return faults if read == len(modules) else [*faults, f"pyright: it read {read} of {len(modules)} files"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("packages", nargs="*", help="only these packages", metavar="PACKAGE")
    parser.add_argument("--all", action="store_true", help="the largest package too, with most of the services")
    arguments = parser.parse_args()
    unknown = set(arguments.packages) - set(BY_NAME)
    if unknown:
        parser.error(f"no package {', '.join(sorted(unknown))}; there are {', '.join(BY_NAME)}")
    sources = [BY_NAME[name] for name in arguments.packages]
    sources = sources or [source for source in SOURCES if arguments.all or not source.is_large]
    total = Counts()
    for name in ENVIRONMENTS:
        environment = Environment(name)
        environment.prepare()
        print(f"\n{name}: {environment.version()}")
        print(f"{'package':40}{'files':>8}{'services':>10}{'methods':>9}{'called':>8}{'failed':>8}{'seconds':>9}")
        for source in sources:
            counts, begun = Counts(), time.monotonic()
            shutil.rmtree(environment.work(source), ignore_errors=True)
            environment.work(source).mkdir(parents=True)
            root = generate(source, environment, counts)
            if root is not None:
                call(root, environment, counts)
                counts.failures += check_types(root, environment)
            row = f"{counts.files:8}{counts.services:10}{counts.methods:9}{counts.called:8}{len(counts.failures):8}"
            print(f"{source.package:40}{row}{time.monotonic() - begun:9.1f}", flush=True)
            for failure in counts.failures[:MAX_SHOWN]:
                print(f"    {failure}", flush=True)
            total.add(counts)
    print(
        f"\n{total.files} files, {total.services} services, {total.methods} methods, {total.called} called, "
        f"{len(total.failures)} failed"
    )
    return bool(total.failures)


if __name__ == "__main__":
    sys.exit(main())
