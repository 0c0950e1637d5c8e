#!/usr/bin/env bash
# Lariat beside the floors alone, as they are built here: the same runner as compare.sh, without
# rivals and without apt. bash perf/run.sh --rows "50x64x1 churn" --rounds 9
exec bash "$(dirname "${BASH_SOURCE[0]}")/compare.sh" --no-install --rivals none "$@"
