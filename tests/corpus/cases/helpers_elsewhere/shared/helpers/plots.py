import altair as alt


def draw(frame):
    return alt.Chart(frame).mark_point()
