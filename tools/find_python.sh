#!/usr/bin/env bash
# Print the first Python from 3.11 to 3.14 that can make a virtual environment; say what to do when there is none.
set -euo pipefail

for name in ${PYTHON:-} python3 python3.11 python3.12 python3.13 python3.14; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; then
        echo "$name"
        exit 0
    fi
done

echo "No Python from 3.11 to 3.14 with the modules venv and ensurepip was found (python3 is: $(python3 --version 2>&1 || true))." >&2
echo "  do: install one (Debian and Ubuntu: apt-get install python3 python3-venv), or name it: make PYTHON=/path/to/python3 ..." >&2
exit 1
