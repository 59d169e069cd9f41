import holidays


class Open:
    def __init__(self, country):
        self.country = country

    def predict(self, day: str) -> bool:
        return day not in holidays.country_holidays(self.country)
