class Metrics:
    def __init__(self, envelope): self.x={}; self.n=0
    def in_progress(self,n): self.n+=n
    def request(self, route, verb, status, seconds):
        k=(route,verb,status); e=self.x.get(k)
        if e is None: e=self.x[k]=[0,0.0]
        e[0]+=1; e[1]+=seconds
    def called(self,*a): self.request(*a)
    def waiting(self,n): pass
    def refused(self,*a): pass
    def failed(self,*a): pass
    def checked(self,agrees): pass
    def exposition(self,a): return repr(self.x).encode(),"text/plain"
