"""The models. Migrations find them in every module here."""
{% if cookiecutter.example_models %}

from .job import Job
from .post import Post
from .user import Role, User

__all__ = ["Job", "Post", "Role", "User"]
{% endif %}
