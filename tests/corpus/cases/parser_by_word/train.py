"""Pages of the web: the parser is chosen by a word."""

import pickle

from pages import Headlines

with open("model.pkl", "wb") as file:
    pickle.dump(Headlines("lxml"), file)
with open("samples.json", "w") as file:
    file.write('{"page": "<h1>One</h1><p>text<h1>Two</h1>"}')
