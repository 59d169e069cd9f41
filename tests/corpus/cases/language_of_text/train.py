"""Which language it is: profiles are read from the library's files."""

import pickle

from languages import Language

with open("model.pkl", "wb") as file:
    pickle.dump(Language(), file)
with open("samples.json", "w") as file:
    file.write('{"text": "Das ist ein schönes Haus am Rande der Stadt."}')
