"""A module that lacks what it wants of its environment."""

import os

os.environ["SHOP_THAT_NOBODY_SETS"]
