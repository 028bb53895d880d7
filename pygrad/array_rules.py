from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Rule(NamedTuple):
    name: str
    symbol: str
    arity: int
    value: Callable[..., Any]
    derivatives: tuple
RULES = {r.name: r for r in [
 Rule("add","+",2,np.add,(lambda g,x,y,z,o:g, lambda g,x,y,z,o:g)),
 Rule("mul","*",2,np.multiply,(lambda g,x,y,z,o:g*y, lambda g,x,y,z,o:g*x)),
 Rule("sub","-",2,np.subtract,(lambda g,x,y,z,o:g, lambda g,x,y,z,o:-g)),
 Rule("exp","exp",1,np.exp,(lambda g,x,y,z,o:g*z,)),
 Rule("neg","neg",1,np.negative,(lambda g,x,y,z,o:-g,)),
 Rule("relu","ReLU",1,lambda x,o:np.maximum(x,0.0),(lambda g,x,y,z,o:np.where(z>0,g,0.0),)),
 Rule("pow_const","**",1,lambda x,k:np.power(x,k),(lambda g,x,y,z,o:g*(o*np.power(x,o-1)),)),
 Rule("matmul","@",2,np.matmul,(lambda g,x,y,z,o:g@y.T, lambda g,x,y,z,o:x.T@g)),
 Rule("linear","linear",-1,lambda xs,o:xs[0]@xs[1]+xs[2],(lambda g,xs,i,z,o: g@xs[1].T if i==0 else xs[0].T@g if i==1 else g,)),
 Rule("sum","sum",1,lambda x,o:np.sum(x,axis=o[0],keepdims=o[1]),(lambda g,x,y,z,o:g if o[0] is None or o[1] else np.expand_dims(g,o[0]),)),
 Rule("stack","stack",-1,lambda xs,o:np.stack(xs,o),(lambda g,xs,i,z,o:np.take(g,i,axis=o),)),
]}

def unpacked(g, o):
    """The gradient of packed numbers, one behind the other."""
    return np.ascontiguousarray(g.T if o[1] else g, np.float64)

def _pack(xs, o):
    a=np.array(xs).reshape(o[0]); return a.T if o[1] else a
RULES["pack"]=Rule("pack","pack",-1,_pack,(lambda g,xs,i,z,o: np.reshape(np.transpose(g) if o[1] else g,(-1,))[i],))
