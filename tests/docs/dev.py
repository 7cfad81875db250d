"""Starts `warp-bearer dev` on a free port."""

import os
import re
import subprocess
import sys


def start(binary):
    surroundings = {**os.environ, "LISTEN": "127.0.0.1:0", "RUST_LOG": "error", "NO_COLOR": "1"}
    dev = subprocess.Popen([binary, "dev"], env=surroundings, stdout=subprocess.PIPE, text=True)
    for line in dev.stdout:
        found = re.match(r"\s+service\s+(http://\S+)", line)
        if found:
            return dev, found.group(1)
    sys.exit("dev ended without printing its address")
