"""The GPU of this machine: through PyCUDA where that is built, else through ``libcudart`` alone.

Both work in the primary context of the first GPU, which is torch's and TensorRT's too: a context of one's own is what
makes "invalid resource handle" and outputs of zeros (pycuda issues 242 and 285).
"""

from __future__ import annotations

import importlib.util

from hqp.runtimes._tensorrt.cuda import Cuda, Cudart, library
from hqp.runtimes._tensorrt.pycuda_memory import PyCuda


def opened() -> Cuda:
    """The first GPU.

    Raises:
        HqpError: there is no CUDA, or no GPU.
    """
    cudart = Cudart(library())
    return PyCuda(cudart) if importlib.util.find_spec("pycuda") else cudart
