# What .ci/run and .ci/long share. Sourced; leaves the working directory at the project's root.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DEBIAN_FRONTEND=noninteractive
exec </dev/null

failed=()

# stage NAME COMMAND...: runs the command, says how long it took, and remembers the name if it fails.
stage() {
  local name=$1 begin=$SECONDS
  shift
  printf '\n===== %s\n' "$name"
  if "$@"; then
    printf '===== %s: passed in %d s\n' "$name" $((SECONDS - begin))
  else
    printf '===== %s: FAILED after %d s\n' "$name" $((SECONDS - begin))
    failed+=("$name")
  fi
}

# readme_command WORD: the README's code block that holds WORD. Exactly one block of the README has to hold it.
readme_command() {
  awk -v word="$1" '
    /^```/ { if (inside && index(block, word)) { printf "%s", block; found += 1 } inside = !inside; block = ""; next }
    inside { block = block $0 "\n" }
    END { exit found != 1 }' README.md
}

run_readme_command() {
  local command
  command=$(readme_command "$1") || { echo "README.md has no single code block with: $1" >&2; return 1; }
  bash -euo pipefail -c "$command"
}

packages() { xargs -a "$1" $(command -v sudo) apt-get install -y; }

# Presets that compile the same files with the same flags compile them once. A compiler that takes too much memory fails.
compiler_cache() {
  local sudo
  sudo=$(command -v sudo)
  $sudo apt-get update && $sudo apt-get install -y ccache time
  mkdir -p build
  export CMAKE_CXX_COMPILER_LAUNCHER="$PWD/.ci/limit_memory;ccache"
  export CCACHE_DIR=$PWD/build/ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
  # Precompiled headers are made from the same files as long as this runs.
  export CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
}

# Runs a command whose objects no other stage shares.
without_cache() { CMAKE_CXX_COMPILER_LAUNCHER=$PWD/.ci/limit_memory "$@"; }
