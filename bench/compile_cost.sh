#!/usr/bin/env bash
# What it costs to compile a program that uses vbp: time of the CPU (user + system, best of the rounds), peak memory, and the
# ratio to <Eigen/Core> alone in the same run. No precompiled headers, no cache, no unity builds; the load of other programs
# changes the times, so let the machine idle.
#
#   bench/compile_cost.sh [--compilers "g++ clang++"] [--rounds 3] [--flags "-std=c++20 -O3 -march=native"] [--only REGEX]
#
# The rows "compiled" define VBP_COMPILED and have the same flags, so that all ratios mean the same.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

compilers="g++ clang++"
rounds=3
flags="-std=c++20 -O3 -march=native"
only=.
while (($# > 0)); do
  case $1 in
    --compilers) compilers=$2 ;;
    --rounds) rounds=$2 ;;
    --flags) flags=$2 ;;
    --only) only=$2 ;;
    *)
      sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
      exit 1
      ;;
  esac
  shift 2
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
time_tool=/usr/bin/time
[[ -x $time_tool ]] || { echo "$time_tool is missing: install the package time" >&2; exit 1; }
eigen=
for folder in /usr/include/eigen3 /usr/local/include/eigen3; do
  [[ -d $folder ]] && eigen=$folder
done
[[ -n ${EIGEN_INCLUDE:=$eigen} ]] || { echo "Eigen is not found: set EIGEN_INCLUDE" >&2; exit 1; }

# program NAME: the rest of the here-document becomes NAME.cpp.
program() { cat >"$work/$1.cpp"; }
program eigen <<'END'
#include <Eigen/Core>
int main() {}
END
program all <<'END'
#include <vbp/vbp.hpp>
int main() {}
END
program prune <<'END'
#include <vbp/prune.hpp>
int main() {}
END
program ten_lines <<'END'
#include <vector>

#include <vbp/prune/mlp.hpp>
#include <vbp/prune/pruner.hpp>
#include <vbp/stats/statistics.hpp>

int main() {
  std::vector<vbp::Mlp<float>> blocks;
  for (int b = 0; b < 2; ++b) {
    blocks.emplace_back(vbp::Matrix<float>::Random(64, 16), vbp::Vector<float>::Random(64),
                        vbp::Matrix<float>::Random(16, 64), vbp::Vector<float>::Random(16));
  }
  std::vector<vbp::Statistics<double>> statistics(blocks.size(), vbp::Statistics<double>(64));
  const vbp::Matrix<float> samples = vbp::Matrix<float>::Random(100, 16);
  for (std::size_t b = 0; b < blocks.size(); ++b) statistics[b].observe(blocks[b].hidden_activation(samples));
  const vbp::VariancePruner pruner({.rate = 0.5});
  const vbp::PruningPlan plan = pruner.plan(statistics);
  pruner.apply(plan, statistics, blocks);
}
END

# Each row: what it says, the source, and header-only or compiled.
rows=(
  "Eigen/Core, empty main|$work/eigen.cpp|header-only"
  "vbp/vbp.hpp, empty main|$work/all.cpp|header-only"
  "vbp/vbp.hpp, empty main|$work/all.cpp|compiled"
  "vbp/prune.hpp, empty main|$work/prune.cpp|header-only"
  "Statistics + VariancePruner|$work/ten_lines.cpp|header-only"
  "Statistics + VariancePruner|$work/ten_lines.cpp|compiled"
  "examples/prune_mlp|$root/examples/prune_mlp/prune_mlp.cpp|header-only"
  "examples/prune_mlp|$root/examples/prune_mlp/prune_mlp.cpp|compiled"
  "examples/custom_block|$root/examples/custom_block/custom_block.cpp|header-only"
  "examples/prune_vit|$root/examples/prune_vit/prune_vit.cpp|header-only"
  "examples/prune_vit|$root/examples/prune_vit/prune_vit.cpp|compiled"
)

# measure COMPILER SOURCE MODE: "<seconds> <MB>", the best of the rounds; nothing if it does not compile.
measure() {
  local compiler=$1 source=$2 mode=$3 options=($flags)
  if [[ $mode == compiled ]]; then options+=(-DVBP_COMPILED); fi
  for ((round = 0; round < rounds; ++round)); do
    "$time_tool" -o "$work/time" -f '%U %S %M' "$compiler" "${options[@]}" -I "$root/include" -isystem "$EIGEN_INCLUDE" \
      -c "$source" -o "$work/object.o" 2>"$work/messages" || return 0
    tail -1 "$work/time"
  done | awk '{ t = $1 + $2; if (NR == 1 || t < best) best = t; if ($3 > memory) memory = $3 }
              END { if (NR) printf "%.2f %.0f", best, memory / 1024 }'
}

printf '%s\n' "$(uname -m), $(nproc) processors, $(date +%F), commit $(git -C "$root" rev-parse --short HEAD 2>/dev/null || echo unknown)"
printf 'flags: %s; best of %d\n' "$flags" "$rounds"
for compiler in $compilers; do
  printf '\n%s\n' "$("$compiler" --version | head -1)"
  printf '%-30s %-12s %9s %9s %8s\n' "" "" "seconds" "of Eigen" "MB"
  eigen_seconds=
  for row in "${rows[@]}"; do
    IFS='|' read -r name source mode <<<"$row"
    [[ -z $eigen_seconds || $name =~ $only ]] || continue
    [[ -e $source ]] || continue
    read -r seconds memory <<<"$(measure "$compiler" "$source" "$mode")" || true
    if [[ -z ${seconds:-} ]]; then
      printf '%-30s %-12s does not compile: %s\n' "$name" "$mode" "$(grep -m1 error "$work/messages")"
      continue
    fi
    [[ -n $eigen_seconds ]] || eigen_seconds=$seconds
    printf '%-30s %-12s %9.2f %8.1fx %8d\n' "$name" "$mode" "$seconds" \
      "$(awk "BEGIN { print $seconds / $eigen_seconds }")" "$memory"
  done
done
