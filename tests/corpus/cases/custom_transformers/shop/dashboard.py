import bokeh.plotting
import flask

app = flask.Flask(__name__)


@app.get("/")
def index():
    return str(bokeh.plotting.figure())
