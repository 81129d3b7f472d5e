#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make a venv with real ROS 2 from PyPI wheels and build both packages into it.
#
#   tools/setup.sh [--training]
#
# ROS_DISTRO  jazzy (default; .venv) or kilted (.venv-kilted)
# PYTHON      interpreter for a new venv: Python 3.10 to 3.13
# VENV        another place for the venv
#
# Each step leaves a stamp with the hash of what it was made from, and is skipped while the
# hash is the same. Python files, configuration, launch files and models are linked, not copied:
# an edit needs no new set-up.
set -euo pipefail
cd "$(dirname "$0")/.."
repository=$PWD

fail() { printf 'setup: %s\n' "$@" >&2; exit 1; }
say() { printf 'setup: %s\n' "$@"; }

training=false
case ${1:-} in
    '') ;;
    --training) training=true ;;
    *) fail "unknown argument $1; expected --training or nothing" ;;
esac

# A sourced ROS 2 would mix its packages with the wheels: leave it out of everything below.
if [ -n "${AMENT_PREFIX_PATH:-}" ] && [ "${AMENT_PREFIX_PATH#"$repository"}" = "$AMENT_PREFIX_PATH" ]; then
    say "a ROS 2 is sourced here (${AMENT_PREFIX_PATH%%:*}). make does not use it: it makes a venv of" \
        '  its own from wheels. To build for that ROS 2, use colcon build (README, "On a robot").'
fi
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH
# Left behind by the Python of a venv with ROS 2 wheels; another venv would not set itself up.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

distro=${ROS_DISTRO:-jazzy}
case $distro in
    jazzy) venv=.venv ;;
    kilted) venv=.venv-kilted ;;
    *) fail "ROS_DISTRO=$distro, but PyPI has wheels of jazzy and kilted only." \
            "  Without a robot: ROS_DISTRO=jazzy make ..." \
            "  On a machine with ROS 2 $distro installed: colcon build (README, \"On a robot\")." ;;
esac
venv=${VENV:-$venv}
case $venv in /*) ;; *) venv=$repository/$venv ;; esac
export ROS_DISTRO=$distro

[ "$(uname -sm)" = 'Linux x86_64' ] || fail \
    "PyPI has wheels of ROS 2 for Linux x86_64 only; this is $(uname -sm)." \
    '  Install ROS 2 from its apt repository and use colcon build (README, "On a robot").'

# ---- what the system has to bring --------------------------------------------------------------

python_version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

supported() { case $1 in 3.10 | 3.11 | 3.12 | 3.13) true ;; *) false ;; esac; }

choose_python() {
    local candidate
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "PYTHON=$PYTHON: no such command."
        supported "$(python_version "$PYTHON")" ||
            fail "PYTHON=$PYTHON is Python $(python_version "$PYTHON"); expected 3.10 to 3.13."
        command -v "$PYTHON"
        return
    fi
    for candidate in python3 python3.12 python3.11 python3.13 python3.10; do
        if command -v "$candidate" >/dev/null && supported "$(python_version "$candidate")"; then
            command -v "$candidate"
            return
        fi
    done
    fail "found Python $(python_version python3 || echo none); expected 3.10 to 3.13." \
        '  sudo apt-get install -y python3.12 python3.12-venv python3.12-dev' \
        '  or name one: PYTHON=/path/to/python3.12 make ...'
}

check_tools() {
    local missing=() packages=() version include
    command -v cmake >/dev/null || { missing+=('cmake'); packages+=(cmake); }
    command -v g++ >/dev/null || { missing+=('g++'); packages+=(g++); }
    command -v make >/dev/null || { missing+=('make'); packages+=(make); }
    version=$(python_version "$1")
    "$1" -c 'import venv, ensurepip' 2>/dev/null ||
        { missing+=("the module venv of Python $version"); packages+=("python$version-venv"); }
    include=$("$1" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -f "$include/Python.h" ] ||
        { missing+=("$include/Python.h"); packages+=("python$version-dev"); }
    [ ${#missing[@]} -eq 0 ] || fail "missing: $(printf '%s, ' "${missing[@]}" | sed 's/, $//'). Install with" \
        "  sudo apt-get install -y ${packages[*]}"
}

# ---- steps and their stamps --------------------------------------------------------------------

stamps=$venv/stamps
hash_of() { sha256sum | cut -d ' ' -f 1; }
is_done() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }
mark_done() { mkdir -p "$stamps"; printf '%s\n' "$2" >"$stamps/$1"; }

pip_install() {
    local log=$venv/log/setup-pip.log
    mkdir -p "$venv/log"
    "$venv/bin/pip" --disable-pip-version-check install --progress-bar off "$@" >"$log" 2>&1 ||
        { grep -v '^WARNING' "$log" >&2; fail "pip failed; its words are above and in $log."; }
}

install_wheels() {
    say "installing ROS 2 $distro and the other dependencies into ${venv#"$repository"/} ..."
    # Hundreds of packages, of which a few are imported: those are compiled then.
    pip_install --no-compile --no-deps -r constraints/python.txt -r "constraints/ros-$distro.txt"
    relocate_cmake_files
    "$venv/bin/python" tools/write_ros_env.py "$venv" "$distro"
    "$venv/bin/python" -c 'import rclpy.impl' ||
        fail "rclpy was installed into $venv but cannot be imported; see the error above."
}

# The CMake files of the message wheels name the Python they were built with: point them at ours.
relocate_cmake_files() {
    local include numpy_include
    include=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    numpy_include=$("$venv/bin/python" -c 'import numpy; print(numpy.get_include())')
    { grep -rlIZ --include='*.cmake' '/opt/python/' "$venv/share" || true; } | xargs -0 -r sed -i \
        -e "s#/opt/python/[^/\";]*/lib/python3[^;\"]*/numpy/_core/include#$numpy_include#g" \
        -e "s#/opt/python/[^/\";]*/include/python3\.[0-9]*#$include#g"
    local parents=$venv/share/ament_index/resource_index/parent_prefix_path
    if [ -d "$parents" ]; then
        { grep -rlIZ '/opt/python/' "$parents" || true; } |
            xargs -0 -r sed -i -e "s#/opt/python/[^:/]*#$venv#g"
    fi
    ! grep -rqI --include='*.cmake' '/opt/python/' "$venv/share" ||
        fail "CMake files in $venv/share still name /opt/python: a wheel changed its layout."
}

colcon_build() {
    local log=$venv/log/setup-$1.log
    mkdir -p "$venv/log"
    # shellcheck disable=SC1091
    (. "$venv/ros_env.sh" &&
        colcon --log-base "$venv/log" build --merge-install --install-base "$venv" \
            --build-base "$venv/build" --base-paths . tunnel_crack_msgs \
            --packages-select "$1" --event-handlers console_direct+ "${@:2}") >"$log" 2>&1 ||
        { cat "$log" >&2; fail "building $1 failed; the log is above and in $log."; }
}

# ---- go ----------------------------------------------------------------------------------------

if [ -x "$venv/bin/python" ] && [ -z "${PYTHON:-}" ]; then
    python=$("$venv/bin/python" -c 'import sys; print(sys._base_executable)' 2>/dev/null) || python=
fi
[ -n "${python:-}" ] || python=$(choose_python)
python_hash=$(printf '%s\n' "$venv" "$distro" \
    "$("$python" -c 'import sys; print(sys.version_info[:3], sys.base_prefix)')" | hash_of)

mkdir -p "$venv"
# Two runs at once would spoil each other's venv.
if command -v flock >/dev/null; then
    exec 9>"$venv/setup.lock"
    flock 9
fi

if ! is_done python "$python_hash"; then
    check_tools "$python"
    if [ -e "$venv/bin" ]; then
        say "${venv#"$repository"/} is of another Python, ROS 2 or place: making it anew."
    fi
    find "$venv" -mindepth 1 -maxdepth 1 ! -name setup.lock -exec rm -rf {} +
    say "making ${venv#"$repository"/} with $("$python" --version) ..."
    "$python" -m venv "$venv"
    # colcon shall not look for packages in here.
    touch "$venv/COLCON_IGNORE"
    mark_done python "$python_hash"
fi

wheels_hash=$(cat constraints/python.txt "constraints/ros-$distro.txt" tools/setup.sh \
    tools/write_ros_env.py | hash_of)
if ! is_done wheels "$wheels_hash"; then
    check_tools "$python"
    rm -f "$stamps/msgs" "$stamps/package"
    install_wheels
    mark_done wheels "$wheels_hash"
fi

msgs_hash=$({ echo "$wheels_hash"; find tunnel_crack_msgs -type f ! -path '*/.*' | sort | xargs sha256sum; } | hash_of)
if ! is_done msgs "$msgs_hash"; then
    check_tools "$python"
    say 'building tunnel_crack_msgs ...'
    colcon_build tunnel_crack_msgs --cmake-args -DBUILD_TESTING=ON "-DPython3_EXECUTABLE=$venv/bin/python"
    mark_done msgs "$msgs_hash"
fi

# Files are linked, so only what setup.py is told counts, and the names of what it lists.
package_hash=$({
    echo "$wheels_hash"
    sha256sum setup.py setup.cfg package.xml tunnel_crack_ros/__init__.py
    find bin config launch models resource -type f 2>/dev/null | sort || true
} | hash_of)
if ! is_done package "$package_hash"; then
    say 'installing tunnel_crack_ros ...'
    # Links to files that are gone would stay.
    rm -rf "$venv/build/tunnel_crack_ros" "$venv/share/tunnel_crack_ros" "$venv/lib/tunnel_crack_ros"
    colcon_build tunnel_crack_ros --symlink-install
    # colcon relies on a sourced PYTHONPATH to find linked packages; this works without.
    echo "$venv/build/tunnel_crack_ros" >"$("$venv/bin/python" -c \
        'import sysconfig; print(sysconfig.get_path("purelib"))')/tunnel_crack_ros.pth"
    mark_done package "$package_hash"
fi

if $training; then
    training_hash=$({ echo "$wheels_hash"; cat constraints/training.txt; } | hash_of)
    if ! is_done training "$training_hash"; then
        say "installing PyTorch into ${venv#"$repository"/} (several GB) ..."
        # Most of what PyTorch brings is never imported: what is, is compiled then.
        pip_install --no-compile -c constraints/python.txt -r constraints/training.txt
        mark_done training "$training_hash"
    fi
fi
say "${venv#"$repository"/} is ready: ROS 2 $distro, $("$venv/bin/python" --version)."
