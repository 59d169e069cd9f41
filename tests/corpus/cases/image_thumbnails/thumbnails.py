import numpy as np
from PIL import Image


class Thumbnails:
    def __init__(self, size):
        self.size = size

    def predict(self, pictures):
        smaller = [Image.fromarray(picture).resize((self.size, self.size), Image.BOX) for picture in pictures]
        return np.stack([np.asarray(picture).mean() for picture in smaller])
