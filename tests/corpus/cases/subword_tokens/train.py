"""A tokenizer as they stand before language models."""

import pickle

from subwords import Subwords
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "the": 1, "cat": 2, "sat": 3}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = Whitespace()
with open("model.pkl", "wb") as file:
    pickle.dump(Subwords(tokenizer), file)
with open("samples.json", "w") as file:
    file.write('{"text": "the cat slept"}')
