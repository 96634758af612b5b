{% if cookiecutter.example_models %}
"""The models; migrations find them in every module here."""

from .post import Post
from .user import Role, User

__all__ = ["Post", "Role", "User"]
{% else %}
"""The models; migrations find them in every module here."""
{% endif %}
