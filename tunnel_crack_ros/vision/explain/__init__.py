# SPDX-License-Identifier: Apache-2.0
"""The parts of Score-CAM; its face is `vision/score_cam.py`."""
