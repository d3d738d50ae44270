"""Run by `make publish-check`: installs what `make dist` has built into empty projects outside the checkout.

Each language gets what a registry will give: pip and uv find the wheel, npm a registry that has the package, Go a proxy
that has the module. In each, `plugmux new` makes the project of the first tutorial; it is tested, checked and called.
The source distribution is installed and run too. `make kit` goes on with these projects.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dist import DIST, GO_MODULE, ROOT
from registry import registry

GREET = "hello.v1.HelloService/Greet"
PROGRAMS = {"python": ".venv/bin/hello", "go": "./bin/hello", "ts": "./dist/src/hello.js"}
OF_THE_CHECKOUT = ("MAKE", "PYTHONPATH", "GOBIN", "GOFLAGS", "PLUGMUX", "VIRTUAL_ENV")


def run(cwd: Path, environment: Mapping[str, str], *command: str) -> str:
    """What a command prints; where it fails, this ends and shows it."""
    ran = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"in {cwd}: {' '.join(command)} failed with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


def environment(folder: Path, npm: str) -> dict[str, str]:
    """What a user's shell would have, with registries that have the release."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_CHECKOUT)}
    path = os.pathsep.join(part for part in own["PATH"].split(os.pathsep) if not part.startswith(str(ROOT)))
    proxy = run(folder, own, "go", "env", "GOPROXY").strip()
    fetched = Path(run(folder, own, "go", "env", "GOMODCACHE").strip()) / "cache/download"
    if fetched.is_dir():  # What others have published need not come again.
        proxy = f"file://{fetched},{proxy}"
    return own | {
        "PATH": f"{folder}/tools/bin:{path}",
        "PIP_FIND_LINKS": str(DIST),
        "PIP_NO_COMPILE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_FIND_LINKS": str(DIST),
        "UV_SYSTEM_CERTS": "1",
        "NPM_CONFIG_REGISTRY": npm,
        "GOPROXY": f"file://{DIST / 'go'},{proxy}",
        "GONOSUMDB": GO_MODULE,
        "GOFLAGS": "-modcacherw -trimpath",
        "GOMODCACHE": os.path.join(folder, "gomod"),
    }


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what is done, and how long it took."""
    began = time.monotonic()
    yield
    print(f"ok  {what}  ({time.monotonic() - began:.0f} s)", flush=True)


@contextmanager
def release() -> Iterator[tuple[Path, dict[str, str]]]:
    """An empty folder, and the environment in which commands find the release and what pip has installed of it."""
    with tempfile.TemporaryDirectory(prefix="plugmux-publish-") as made:
        folder = Path(made)
        (package,) = DIST.glob("*.tgz")
        upstream = run(folder, os.environ, "npm", "config", "get", "registry").strip()
        with registry(package, upstream) as npm:
            env = environment(folder, npm)
            with timed("plugmux[new], from the wheel"):
                install_tools(folder, env)
            yield folder, env


def pip_install(folder: Path, env: Mapping[str, str], name: str, *packages: str) -> None:
    """Install packages by pip into a new virtual environment; pip itself need not be in it."""
    run(folder, env, sys.executable, "-m", "venv", "--without-pip", name)
    run(folder, env, sys.executable, "-m", "pip", "--python", f"{name}/bin/python", "install", "--quiet", *packages)


def install_tools(folder: Path, env: Mapping[str, str]) -> None:
    """`pip install 'plugmux[new]'`, and beside it uv, with which the Makefiles of new projects install sooner."""
    pip_install(folder, env, "tools", "plugmux[new]")
    where = run(folder, env, "tools/bin/python", "-c", "import plugmux; print(plugmux.__file__)").strip()
    assert where.startswith(str(folder)), f"the plugmux that is used is {where}"
    if find_spec("tox_uv") is not None:  # Otherwise uv does not reach what pip reaches; see the Makefile.
        (folder / "tools/bin/uv").symlink_to(Path(sys.executable).parent / "uv")


def check_sdist(folder: Path, env: Mapping[str, str]) -> None:
    """pip builds a wheel from the source distribution, and what it installs runs."""
    (sdist,) = DIST.glob("*.tar.gz")
    pip_install(folder, env, "from-sdist", str(sdist))
    run(folder, env, "from-sdist/bin/plugmux", "--version")


def check_project(folder: Path, env: Mapping[str, str], language: str) -> Path:
    """The first tutorial: new, test, check, call. Gives the project."""
    run(folder, env, "plugmux", "new", "hello", f"--lang={language}", f"--dir={language}")
    project = folder / language
    for target in ("test", "check"):
        run(project, env, "make", "--silent", target)
    if language != "python":
        run(project, env, "make", "--silent", "build")
    assert greet(project, env, "--plugin", PROGRAMS[language]) == "Hello, world!"
    made = "".join(
        path.read_text() for path in (*project.glob("*.mod"), *project.glob("package.json"), project / "Makefile")
    )
    assert str(ROOT) not in made, "the project uses the checkout"
    return project


def greet(folder: Path, env: Mapping[str, str], *target: str) -> str:
    """What a plugin answers to `plugmux call`."""
    answer = run(folder, env, "plugmux", "call", GREET, '{"name": "world"}', *target)
    return str(json.loads(answer)["text"])


def main() -> None:
    languages = sys.argv[1:] or list(PROGRAMS)
    with release() as (folder, env):
        with timed("plugmux, from the source distribution"):
            check_sdist(folder, env)
        for language in languages:
            with timed(f"a {language} project: new, test, check, call"):
                check_project(folder, env, language)


if __name__ == "__main__":
    main()
