# SPDX-License-Identifier: Apache-2.0
"""Start the classifier, the segmenter and, on request, the explainer and RViz.

Which processes with which parameters and remappings: tunnel_crack_ros/nodes/node_table.py.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_prefix, get_packages_with_prefixes
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from tunnel_crack_ros.nodes.node_table import (
    fastdds_environment,
    missing_executables,
    node_table,
    PACKAGE,
    Process,
    Settings,
)

# name: (default, description). What is empty is left to the parameter file.
ARGUMENTS = {
    'cameras': ('', 'Names of the cameras, with commas between: left,right. A camera whose driver '
                    'publishes elsewhere: left=/drivers/cam0. Empty: as in the parameter file'),
    'transport': ('', 'How frames come in: raw or compressed. Empty: as in the parameter file'),
    'models': ('', 'Both models: edge (light networks) or paper (those of the paper). Empty: as '
                   'in the parameter file, which leaves it at edge'),
    'models_folder': ('', "Folder that is searched for models before the package's own"),
    'classifier_model': ('', 'Name of the classifier, or path of its .onnx file. Empty: that of '
                             '`models`'),
    'segmenter_model': ('', 'Name of the segmenter, or path of its .onnx file. Empty: that of '
                            '`models`'),
    'odometry': ('', "Topic of the vehicle's odometry, for the chainage. Empty: odometry"),
    'range': ('', 'Topic of a distance sensor: of all cameras, or left=/drivers/laser0 with '
                  'commas between. Empty: <camera>/range'),
    'depth': ('', 'Topic of the depth image registered to the frame: of all cameras, or '
                  'left=/camera/aligned_depth_to_color/image_raw with commas between. Empty: '
                  '<camera>/depth'),
    'params_file': ('', "Parameter file. Empty: the package's config/tunnel_crack.yaml"),
    'namespace': ('', 'Namespace of all nodes'),
    'use_sim_time': ('false', 'Take the time from /clock: true or false'),
    'explainer': ('false', 'Start the explainer: true or false'),
    'rviz': ('false', 'Start RViz on the first camera: true or false'),
    'log_level': ('info', 'debug, info, warn, error or fatal'),
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments, and one action that starts what they ask for."""
    return LaunchDescription([
        *(DeclareLaunchArgument(name, default_value=default, description=description)
          for name, (default, description) in ARGUMENTS.items()),
        OpaqueFunction(function=start),
    ])


def start(context: LaunchContext) -> list:
    """Return the actions for the arguments given.

    :raises SettingsError: an argument does not fit.
    :raises FileNotFoundError: a process was asked for that is not installed.
    """
    prefix = Path(get_package_prefix(PACKAGE))
    share = prefix / 'share' / PACKAGE
    settings = Settings.from_texts(
        {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}, share)
    table = node_table(settings, share)
    missing = missing_executables(table, prefix / 'lib' / PACKAGE)
    if missing:
        raise FileNotFoundError(
            f"{PACKAGE} has no executable {', '.join(missing)} in {prefix / 'lib' / PACKAGE}: "
            'this version comes without it. Leave it out '
            f"({', '.join(f'{name}:=false' for name in missing)}) or build a newer one")
    for process in table:
        if process.package != PACKAGE and process.package not in get_packages_with_prefixes():
            raise FileNotFoundError(
                f'{process.package} is not installed: apt-get install '
                f"ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-{process.package}, or leave it out "
                f'({process.name}:=false)')
    return [*(SetEnvironmentVariable(name, value)
              for name, value in fastdds_environment(share, context.environment).items()),
            *(action(process) for process in table)]


def action(process: Process) -> Node:
    """Return the launch action of one process."""
    return Node(
        package=process.package,
        executable=process.executable,
        name=process.name,
        namespace=process.namespace,
        parameters=[part for part in (process.params_file, dict(process.parameters)) if part],
        remappings=list(process.remappings),
        arguments=list(process.arguments),
        ros_arguments=['--log-level', process.log_level],
        additional_env=dict(process.environment),
        output='screen',
        emulate_tty=True,
    )
