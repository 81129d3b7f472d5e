# SPDX-License-Identifier: Apache-2.0
"""Find, outline and measure cracks in camera images of tunnel linings."""

__version__ = '0.1.0'
