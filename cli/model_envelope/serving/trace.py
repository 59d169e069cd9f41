import random
from typing import NamedTuple
class Trace(NamedTuple):
    request_id: str
    trace_id: str
    span_id: str
    flags: str
    parent_id: str|None=None
    def response_headers(self):
        return [(b"x-request-id", self.request_id.encode()), (b"traceparent", b"00-%s-%s-%s"%(self.trace_id.encode(), self.span_id.encode(), self.flags.encode()))]
    def log_fields(self): return {"request_id": self.request_id}
def trace_of(headers):
    given=""
    for n,v in headers:
        if n==b"x-request-id": given=v.decode()
    t="%032x"%random.getrandbits(128)
    return Trace(given or t, t, "%016x"%random.getrandbits(64), "00")
