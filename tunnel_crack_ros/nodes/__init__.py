# SPDX-License-Identifier: Apache-2.0
"""ROS 2 nodes: messages in, vision, messages out. One file, one node."""
