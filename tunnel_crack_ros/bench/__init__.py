# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: how fast, how exact, measured on the machine they run on."""
