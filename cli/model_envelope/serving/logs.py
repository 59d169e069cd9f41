import sys, json, time, asyncio
class AccessLog:
    def __init__(self): self.lines=[]
    def write(self, trace, verb, path, route, status, seconds, rows=None, code=""):
        self.lines.append(f'{{"t":{time.time()},"request_id":"{trace.request_id}","method":"{verb}","path":{json.dumps(path)},"status":{status},"duration_ms":{seconds*1000:.3f}}}\n')
        if len(self.lines)==1: asyncio.get_running_loop().call_soon(self.flush)
    def flush(self):
        sys.stderr.write("".join(self.lines)); self.lines.clear()
