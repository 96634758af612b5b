{% if cookiecutter.example_models %}
"""The models; migrations find those that are imported here."""

from .post import Post
from .user import Role, User

__all__ = ["Post", "Role", "User"]
{% else %}
"""The models; import each one here, so that migrations find it."""
{% endif %}
