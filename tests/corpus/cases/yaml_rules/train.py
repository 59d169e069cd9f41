"""A module by another name than its distribution's: rules in YAML."""

import pickle

from ruleset import Ruleset

with open("model.pkl", "wb") as file:
    pickle.dump(Ruleset("- {above: 100, answer: high}\n- {above: 10, answer: middle}\n"), file)
with open("samples.json", "w") as file:
    file.write('{"amount": 42.0}')
