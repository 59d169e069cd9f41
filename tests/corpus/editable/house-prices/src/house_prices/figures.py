import seaborn as sns


def draw(frame):
    return sns.scatterplot(frame, x="area", y="price")
