"""Texts, with a tokenizer of our own."""

import pickle

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from spam import SpamModel
from tokens import stems

mails = ["cheap meds now", "meeting at noon", "cheap flights now", "notes of the meeting", "win money", "lunch at noon"]
pipeline = make_pipeline(TfidfVectorizer(tokenizer=stems, token_pattern=None), MultinomialNB())
model = SpamModel(pipeline.fit(mails, ["spam", "ham", "spam", "ham", "spam", "ham"]))
with open("model.pkl", "wb") as file:
    pickle.dump(model, file)
with open("samples.json", "w") as file:
    file.write('{"mails": ["cheap money", "a meeting"]}')
