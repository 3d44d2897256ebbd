from myapp.result_management import Command

__all__ = ["Command"]
