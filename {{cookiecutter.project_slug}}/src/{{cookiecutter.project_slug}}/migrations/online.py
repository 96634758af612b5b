"""x"""

from .operations import create_index_concurrently as create_index, drop_index_concurrently as drop_index, set_not_null, create_foreign_key, squawk_ignore_block, allow as squawk_ignore
__all__ = ["create_index", "drop_index", "set_not_null", "create_foreign_key", "squawk_ignore_block", "squawk_ignore"]
