"""A Celery task that calls ONNX Runtime, as most people serve a model from Python: a session for each process.

`celery_peer.py work` starts the worker, `celery_peer.py ask CLIENTS SECONDS` the clients.
"""

import base64
import os
import sys

import numpy as np
from celery import Celery

import clients

REDIS = os.environ["PEER_REDIS"]
# As many as skep's engine may use.
PROCESSES = os.cpu_count()
app = Celery("inference", broker=REDIS, backend=REDIS)
app.conf.broker_connection_retry_on_startup = True
session = None


@app.task(name="predict")
def predict(row):
    global session
    if session is None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], options, ["CPUExecutionProvider"])
    x = np.frombuffer(base64.b64decode(row), np.float32).reshape(1, -1)
    return session.run(None, {"x": x})[0].tolist()


def ask():
    row = base64.b64encode(clients.row()).decode()
    return lambda: predict.delay(row).get(timeout=30)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        app.worker_main(["worker", "-P", "prefork", "-c", str(PROCESSES), "-l", "ERROR"])
    else:
        clients.main(ask)
