"""ONNX Runtime's own loop, without skep. `loop.py MODEL PROVIDER SIZE BATCH..`: rows a second for each batch size."""

import json
import sys
import time

import numpy as np
import onnxruntime

SECONDS = 3.0
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def main(path, provider, size, batches):
    session = onnxruntime.InferenceSession(path, providers=[provider])
    if session.get_providers()[0] != provider:
        sys.exit(f"ONNX Runtime does not have {provider} here, only {session.get_providers()}")
    rates = {}
    for batch in batches:
        x = {
            given.name: np.ones(
                [batch, *(place if isinstance(place, int) else size for place in given.shape[1:])], TYPES[given.type]
            )
            for given in session.get_inputs()
        }
        for _ in range(5):
            session.run(None, x)
        runs, begun = 0, time.monotonic()
        while (took := time.monotonic() - begun) < SECONDS:
            session.run(None, x)
            runs += 1
        rates[batch] = runs * batch / took
    print(json.dumps({"version": onnxruntime.__version__, "rows_per_s": rates}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), [int(batch) for batch in sys.argv[4:]])
