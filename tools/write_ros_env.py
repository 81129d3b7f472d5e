# SPDX-License-Identifier: Apache-2.0
"""Write the file that a shell sources to use the ROS 2 of a venv: VENV/ros_env.sh."""

from pathlib import Path
import sys

ROS_ENV = """\
# source this to use the ROS 2 {distro} of this venv (bash, zsh, dash)
unset PYTHONPATH PYTHONHOME
export VIRTUAL_ENV='{venv}'
export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO={distro}
export AMENT_PREFIX_PATH="$VIRTUAL_ENV" CMAKE_PREFIX_PATH="$VIRTUAL_ENV"
case ":$PATH:" in *":$VIRTUAL_ENV/bin:"*) ;; *) export PATH="$VIRTUAL_ENV/bin:$PATH" ;; esac
# Stay on this machine unless told otherwise: the default sends multicast on every network card.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${{ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}}"
# The libraries of a ROS 2 that was sourced before this are not ours.
if [ -n "${{LD_LIBRARY_PATH:-}}" ]; then
    LD_LIBRARY_PATH=$(
        printf '%s' "$LD_LIBRARY_PATH" | tr ':' '\\n' | grep -v '^/opt/ros/' | paste -sd: -)
    export LD_LIBRARY_PATH
fi
"""


def main() -> None:
    """Write ros_env.sh: arguments are the venv and the ROS 2 distribution."""
    venv, distro = Path(sys.argv[1]).resolve(), sys.argv[2]
    (venv / 'ros_env.sh').write_text(ROS_ENV.format(venv=venv, distro=distro))


if __name__ == '__main__':
    main()
