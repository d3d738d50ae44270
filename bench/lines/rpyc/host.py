import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rpyc.utils.factory import unix_connect

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "socket"
    process = subprocess.Popen([sys.executable, "plugin.py", str(path)])
    while True:
        try:
            connection = unix_connect(str(path))
            break
        except OSError:
            time.sleep(0.01)
    connection.root.put("a", "1")
    print(connection.root.get("a"))
    connection.close()
    process.wait()
