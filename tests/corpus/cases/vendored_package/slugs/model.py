from ._vendor import simplejson
from ._vendor.tabulate import join


class Slugs:
    def predict(self, title: str) -> str:
        return simplejson.loads(simplejson.dumps(join(title.lower().split(), "-")))
