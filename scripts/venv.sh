#!/bin/sh
# Makes .venv and installs gioconda into it, or does nothing if that is done already.
# Usage: scripts/venv.sh [extra]   (extra: dev, train, web, cluster)
# Takes the newest Python of 3.10 to 3.14 that can make environments; PYTHON=/path/to/python names another.
set -eu
cd "$(dirname "$0")/.."
extra="${1:-}"
stamp=".venv/installed-${extra:-base}"
minors="14 13 12 11 10" # of Python 3, newest first; pyproject.toml says the same
# Free-threaded builds are left out: most wheels are not built for them.
in_range='import sys, sysconfig
sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15) or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))'
no_venv="" # a Python that would do, had it venv and ensurepip

# Places that may hold a Python, newest first: the PATH, then the usual folders of pyenv and uv.
candidates() {
  pyenv="${PYENV_ROOT:-${HOME:-}/.pyenv}/versions"
  uv="${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python}"
  for minor in $minors; do
    command -v "python3.$minor" || true
    for path in "$pyenv/3.$minor".*/bin/"python3.$minor" "$uv/cpython-3.$minor".*/bin/"python3.$minor"; do
      if [ -x "$path" ]; then echo "$path"; fi
    done
  done
  command -v python3 python || true
}

# Sets `python` to $1 and succeeds if it is a Python of ours that can make environments.
take() {
  "$1" -c "$in_range" >/dev/null 2>&1 || return 1
  if "$1" -c "import ensurepip, venv" >/dev/null 2>&1; then
    python="$1"
    return 0
  fi
  no_venv="${no_venv:-$1}"
  return 1
}

find_python() {
  if [ -n "${PYTHON:-}" ]; then
    if take "$PYTHON"; then return; fi
  else
    while IFS= read -r path; do
      if [ -n "$path" ] && take "$path"; then return; fi
    done <<EOF
$(candidates)
EOF
  fi
  if [ -n "$no_venv" ]; then
    name=$("$no_venv" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    echo "$no_venv cannot make a virtual environment, since it lacks venv or ensurepip; install them" \
      "(Debian and Ubuntu: apt-get install $name), or say PYTHON=/path/to/another/python" >&2
  elif [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON does not run, or is no Python of 3.10 to 3.14" >&2
  else
    echo "Gioconda needs Python 3.10 to 3.14 and finds none; install one, or say PYTHON=/path/to/python" >&2
  fi
  exit 1
}

if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$stamp" -nt pyproject.toml ]; then
  exit 0
fi

start=$(date +%s)
if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c "$in_range"; then
  find_python
  "$python" -m venv --clear .venv
fi
made=$(date +%s)
PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip install -qq --no-input --disable-pip-version-check \
  --editable ".${extra:+[$extra]}"
touch "$stamp"
done=$(date +%s)
echo "environment: $((made - start)) s, installation: $((done - made)) s ($(.venv/bin/python --version))"
