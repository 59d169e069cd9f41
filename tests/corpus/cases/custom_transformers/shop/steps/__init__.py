from .calendar import Calendar
from .columns import Drop

__all__ = ["Calendar", "Drop"]
