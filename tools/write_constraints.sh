#!/usr/bin/env bash
# Resolve `trimtab[all]` in a fresh environment and pin every package that it brings in constraints.txt.
# torch stays where it is unless TORCH names another version: its newest build may not be the one that was tested.
set -euo pipefail

folder="$1"
torch="${TORCH:-$(sed -n 's/^torch==//p' constraints.txt)}"
rm -rf "$folder"
"$(bash tools/find_python.sh)" -m venv "$folder"
"$folder/bin/python" -m pip install --quiet "torch==$torch" --editable '.[all]'
{
    echo "# Every package that trimtab[all] brings, at the versions that were tested; written by \`make constraints\`."
    # torch's local label (+cpu, +cu128) is dropped: the number alone fits each of its builds
    "$folder/bin/python" -m pip freeze --exclude-editable | sed -E 's/^([A-Za-z0-9._-]+==[^+ ]+)\+.*$/\1/' |
        grep -E '^[A-Za-z0-9._-]+==[^ ]+$'
} >constraints.txt.new
mv constraints.txt.new constraints.txt
rm -rf "$folder"
