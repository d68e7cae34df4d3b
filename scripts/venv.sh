#!/bin/sh
# Makes .venv and installs gioconda into it, or does nothing if that is done already.
# Usage: scripts/venv.sh [extra]   (extra: dev, train, web, cluster)
set -eu
cd "$(dirname "$0")/.."
extra="${1:-}"
stamp=".venv/installed-${extra:-base}"
in_range='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 13))'

find_python() {
  for name in ${PYTHON:-python3.12 python3.11 python3.10 python3 python}; do
    if command -v "$name" >/dev/null 2>&1 && "$name" -c "$in_range" 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  echo "Gioconda needs Python 3.10, 3.11 or 3.12 and finds none; install one, or say PYTHON=/path/to/python" >&2
  exit 1
}

if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ]; then
  exit 0
fi

start=$(date +%s)
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c "$in_range"; then
  python=$(find_python)
  if ! "$python" -m venv --clear .venv; then
    echo "$python cannot make a virtual environment; install its venv module (Debian: apt-get install python3-venv)" >&2
    exit 1
  fi
fi
made=$(date +%s)
PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check \
  --editable ".${extra:+[$extra]}"
touch "$stamp"
done=$(date +%s)
echo "environment: $((made - start)) s, installation: $((done - made)) s ($(.venv/bin/python --version))"
