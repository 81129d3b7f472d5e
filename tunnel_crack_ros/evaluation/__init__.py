# SPDX-License-Identifier: Apache-2.0
"""Score models on labelled photographs: data set reader, metrics and the evaluation itself."""
