# SPDX-License-Identifier: Apache-2.0
"""How the weights came to be: models, data, fit and export. Needs PyTorch; no node imports it."""
