import json

dumps = json.dumps
loads = json.loads
