# SPDX-License-Identifier: Apache-2.0
"""Whole inspections on disk: where frames come from, and the folder results go to."""
