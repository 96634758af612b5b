"""The models. Migrations find them in every module here."""
{% if cookiecutter.example_models %}

from .post import Post
from .user import Role, User

__all__ = ["Post", "Role", "User"]
{% endif %}
