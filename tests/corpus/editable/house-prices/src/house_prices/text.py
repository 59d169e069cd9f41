from unidecode import unidecode


def plain(city):
    return unidecode(city).lower().strip()
