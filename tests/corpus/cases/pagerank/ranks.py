import networkx as nx


class Ranks:
    def __init__(self, graph):
        self.graph = graph

    def predict(self, page: str) -> float:
        return round(float(nx.pagerank(self.graph)[page]), 6)
