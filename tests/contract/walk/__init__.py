"""A random walk over every operation; after each step the store must be what the model says.

Each module adds rules to those of the one before it, and every rule meets the jobs of all others: whoever made them, they are
claimed, settled, cancelled, retried, edited, deleted and lost like all others.
"""

from tests.contract.walk.ground import World
from tests.contract.walk.pruning import Pruning as Walk

__all__ = ["Walk", "World"]
