#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Run `colcon test` on both packages, as on a robot, and end with one line of sums. Two processes
# (pytest-xdist) share the tests: test/conftest.py says which and how.
# `make test` calls this; VENV is the venv that tools/setup.sh made.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${VENV:-.venv}
# shellcheck disable=SC1091
. "$venv/ros_env.sh"

find "$venv/build" -name '*.xml' -path '*test*' -delete
status=0
colcon --log-base "$venv/log" test --merge-install --install-base "$venv" \
    --build-base "$venv/build" --base-paths . tunnel_crack_msgs \
    --executor sequential --event-handlers console_direct+ console_cohesion- \
    --return-code-on-test-failure --pytest-args -n 2 || status=$?

results=$(colcon --log-base "$venv/log" test-result --test-result-base "$venv/build" --verbose) || true
printf '%s\n' "$results"
sums=$(sed -nE \
    's/^Summary: ([0-9]+) tests?, ([0-9]+) errors?, ([0-9]+) failures?, ([0-9]+) skipped$/\1 \2 \3 \4/p' \
    <<<"$results")
read -r tests errors failures skipped <<<"${sums:-0 0 0 0}"
failed=$((errors + failures))
if [ "$tests" -eq 0 ]; then
    echo 'test: colcon ran no test.' >&2
    status=1
fi
[ "$failed" -eq 0 ] || status=1
echo "$((tests - failed - skipped)) passed, $failed failed, $skipped skipped"
exit "$status"
