"""NVIDIA's Triton from its wheel, with ONNX Runtime behind it, and batches of up to 32 rows without a delay.

`triton_peer.py work` starts the server, `triton_peer.py ask CLIENTS SECONDS` the clients, which speak gRPC.
"""

import os
import sys

import numpy as np

import clients

PORT = int(os.environ.get("PEER_PORT", "0"))
MAX_BATCH = 32


def work():
    import onnxruntime
    from pytriton.decorators import batch
    from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], providers=["CPUExecutionProvider"])

    @batch
    def predict(x):
        return session.run(None, {"x": x})

    config = TritonConfig(
        grpc_port=PORT, grpc_address="127.0.0.1", http_port=PORT + 1, http_address="127.0.0.1", allow_metrics=False
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="mlp",
            infer_func=predict,
            inputs=[Tensor(name="x", dtype=np.float32, shape=(784,))],
            outputs=[Tensor(name="y", dtype=np.float32, shape=(10,))],
            config=ModelConfig(max_batch_size=MAX_BATCH, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
        )
        triton.serve()


def ask():
    from pytriton.client import ModelClient

    client = ModelClient(f"grpc://127.0.0.1:{PORT}", "mlp")
    row = np.frombuffer(clients.row(), np.float32)
    return lambda: client.infer_sample(row)


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work()
    else:
        clients.main(ask)
