import snowballstemmer


def stems(text):
    return snowballstemmer.stemmer("english").stemWords(text.split())
