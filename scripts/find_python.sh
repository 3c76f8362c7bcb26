#!/bin/sh
# Print the first Python that pyproject.toml allows and that can make a virtual environment; the Makefile asks.
#
#     scripts/find_python.sh [PYTHON]     with an argument, only that one is looked at
#
# If there is none, it ends with 1 and says in one line on standard error what was found.
set -u
cd "$(dirname "$0")/.." || exit 1
bounds=$(sed -n 's/^requires-python = "\([^"]*\)".*/\1/p' pyproject.toml)
low=$(expr "$bounds" : '>=3\.\([0-9]*\)') end=$(expr "$bounds" : '.*<3\.\([0-9]*\)')

if [ $# -eq 0 ]; then
    minor=$low
    while [ "$minor" -lt "$end" ]; do
        set -- "$@" "python3.$minor"
        minor=$((minor + 1))
    done
    set -- "$@" python3 python
fi
found=""
for python; do
    version=$("$python" -c 'import sys; print("%d %d" % sys.version_info[:2])' 2>/dev/null) || continue
    major=${version% *} minor=${version#* }
    if [ "$major" -ne 3 ] || [ "$minor" -lt "$low" ] || [ "$minor" -ge "$end" ]; then
        found="$found${found:+, }$python is $major.$minor"
    elif "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        echo "$python"
        exit
    else
        found="$found${found:+, }$python has no venv (Debian, Ubuntu: apt install python3.$minor-venv)"
    fi
done
echo "expected Python 3.$low to 3.$((end - 1)) with venv, found ${found:-none named $*};" \
    "install one, or name it: make PYTHON=/path/to/python3.$low" >&2
exit 1
