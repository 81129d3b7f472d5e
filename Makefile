# SPDX-License-Identifier: Apache-2.0
# No ROS installation, no root: everything happens in a venv made by tools/setup.sh.
#   ROS_DISTRO=kilted make test         another ROS 2 (its venv is .venv-kilted)
#   PYTHON=python3.12 make test         another interpreter (the venv is made anew)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ROS_DISTRO ?= jazzy
VENV ?= $(if $(filter jazzy,$(ROS_DISTRO)),.venv,.venv-$(ROS_DISTRO))
export ROS_DISTRO VENV PYTHON
IN_VENV = . $(VENV)/ros_env.sh &&

.PHONY: help setup demo test setup-training test-training lint clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## make the venv with ROS 2 and build both packages into it
	@tools/setup.sh

demo: setup  ## simulate an inspection, find its cracks; pictures in results/demo
	@$(IN_VENV) python -m tunnel_crack_ros.cli demo --out results/demo

test: setup  ## run all tests but those that need PyTorch
	@tools/test.sh

setup-training:  ## setup, and PyTorch
	@tools/setup.sh --training

test-training: setup-training  ## run the tests that need PyTorch
	@$(IN_VENV) python -m pytest -m training -n 2

lint: setup  ## ruff and mypy
	@$(IN_VENV) ruff check . && mypy

clean:  ## remove the venvs, what was built and all results
	rm -rf .venv .venv-* build install log results .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
