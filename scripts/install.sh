#!/usr/bin/env bash
# Makes .venv and installs mom-eval into it, editable, with the extras named ("gguf,test", or none),
# at the versions of constraints.txt. Shows a line now and then; all of pip's words go to a log.
# "test" also needs a Chromium with its driver: Debian's are installed where there are none.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-}
log=.cache/install.log

# The first Python here that is new enough, or the one that PYTHON names.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "mom-eval needs Python 3.11 or newer and found none: install one, or name it with" \
    "make demo PYTHON=/path/to/python3" >&2
  return 1
}

# From pip's many lines: every 25th package, each download over 50 MB, and the last step.
show_progress() {
  local line packages=0 size
  while IFS= read -r line; do
    if [[ $line =~ ^(Collecting|Processing|Requirement\ already\ satisfied) ]]; then
      packages=$((packages + 1))
      if ((packages % 25 == 0)); then echo "  $packages packages found"; fi
    elif [[ $line =~ Downloading\ ([^ ]+)\ \(([0-9]+)(\.[0-9]+)?\ MB\) ]]; then
      size=${BASH_REMATCH[2]}
      if ((size > 50)); then echo "  downloading ${BASH_REMATCH[1]} ($size MB)"; fi
    elif [[ $line == "Installing collected packages"* ]]; then
      echo "  unpacking"
    fi
  done
}

# The page of `mom-eval report` is tested in a real browser.
install_browser() {
  if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    return
  fi
  if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
    echo "The tests need chromium and chromedriver on the path, which only root may install here:" \
      "sudo apt-get install chromium chromium-driver (on Debian), then run this again" >&2
    return 1
  fi
  echo "Installing Debian's chromium and chromium-driver (log: .cache/apt.log)"
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update && apt-get install -y --no-install-recommends chromium chromium-driver; } \
    >.cache/apt.log 2>&1; then
    tail -n 20 .cache/apt.log >&2
    echo "The installation of chromium failed; the last lines of .cache/apt.log are above." >&2
    return 1
  fi
}

mkdir -p .cache
if [[ $extras == *test* ]]; then
  install_browser
fi
if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
  python=$(find_python)
  "$python" -m venv .venv
fi
echo "Installing mom-eval${extras:+ with [$extras]} into .venv (the first time takes some minutes; log: $log)"
if ! .venv/bin/python -m pip install --constraint constraints.txt --editable ".${extras:+[$extras]}" 2>&1 |
  tee "$log" | show_progress; then
  tail -n 20 "$log" >&2
  echo "The installation failed; the last lines of $log are above." >&2
  exit 1
fi
