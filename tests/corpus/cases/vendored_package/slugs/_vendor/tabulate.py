try:
    import wcwidth
except ImportError:
    wcwidth = None


def join(words, separator):
    return separator.join(words)
