import pytz
from dateutil.parser import isoparse


class LocalHour:
    def __init__(self, zone):
        self.zone = pytz.timezone(zone)

    def predict(self, when: str) -> int:
        return isoparse(when).astimezone(self.zone).hour
