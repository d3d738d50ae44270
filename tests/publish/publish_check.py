"""Run by `make publish-check`: installs what `make dist` has built into empty projects outside the checkout.

Each language gets what a registry will give: pip finds the wheel, npm a registry that has the package, Go a proxy that
has the module. In each, `plugmux new` makes the project of the first tutorial; it is tested, checked and called. The
source distribution is installed and run too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from dist import DIST, GO_MODULE, ROOT
from registry import registry

GREET = "hello.v1.HelloService/Greet"
PROGRAMS = {"python": ".venv/bin/hello", "go": "./bin/hello", "ts": "./dist/src/hello.js"}
OF_THE_CHECKOUT = ("MAKE", "PYTHONPATH", "GOBIN", "GOFLAGS", "PIP_NO_COMPILE", "PLUGMUX", "VIRTUAL_ENV")


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


def install_tools(folder: Path, env: Mapping[str, str]) -> None:
    """`pip install 'plugmux[new]'` from the wheel, into an environment of its own."""
    run(folder, env, sys.executable, "-m", "venv", "tools")
    run(folder, env, "tools/bin/python", "-m", "pip", "install", "--quiet", "plugmux[new]")
    where = run(folder, env, "tools/bin/python", "-c", "import plugmux; print(plugmux.__file__)").strip()
    assert where.startswith(str(folder)), f"the plugmux that is used is {where}"


def check_sdist(folder: Path, env: Mapping[str, str]) -> None:
    """A wheel that is built from the source distribution has the same files."""
    (sdist,) = DIST.glob("*.tar.gz")
    run(folder, env, sys.executable, "-m", "venv", "from-sdist")
    run(folder, env, "from-sdist/bin/python", "-m", "pip", "install", "--quiet", str(sdist))
    run(folder, env, "from-sdist/bin/plugmux", "--version")


def check_project(folder: Path, env: Mapping[str, str], language: str) -> None:
    """The first tutorial: new, test, check, call."""
    run(folder, env, "plugmux", "new", "hello", f"--lang={language}", f"--dir={language}")
    project = folder / language
    for target in ("test", "check"):
        run(project, env, "make", "--silent", target)
    if language != "python":
        run(project, env, "make", "--silent", "build")
    answer = run(project, env, "plugmux", "call", GREET, '{"name": "world"}', "--plugin", PROGRAMS[language])
    assert json.loads(answer) == {"text": "Hello, world!"}, answer
    made = "".join(
        path.read_text() for path in (*project.glob("*.mod"), *project.glob("package.json"), project / "Makefile")
    )
    assert str(ROOT) not in made, "the project uses the checkout"


def main() -> None:
    languages = sys.argv[1:] or list(PROGRAMS)
    with ExitStack() as done:
        folder = Path(done.enter_context(tempfile.TemporaryDirectory(prefix="plugmux-publish-")))
        (package,) = DIST.glob("*.tgz")
        upstream = run(folder, os.environ, "npm", "config", "get", "registry").strip()
        env = environment(folder, done.enter_context(registry(package, upstream)))
        with timed("plugmux[new], from the wheel"):
            install_tools(folder, env)
        with timed("plugmux, from the source distribution"):
            check_sdist(folder, env)
        for language in languages:
            with timed(f"a {language} project: new, test, check, call"):
                check_project(folder, env, language)
        shutil.rmtree(folder / "gomod", ignore_errors=True)


if __name__ == "__main__":
    main()
