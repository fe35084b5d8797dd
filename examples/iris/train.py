#!/usr/bin/env python3
"""Trains iris.onnx on the flowers of iris.csv: `pip install -r requirements.txt`, then `./train.py`.

The model is committed, as training it is not the example's subject. It is a logistic regression on scaled measurements;
the scaling goes into its weights, so that callers send centimetres.
"""

import csv
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
SPECIES = ["setosa", "versicolor", "virginica"]


def flowers():
    with open(HERE / "iris.csv") as file:
        rows = list(csv.reader(file))[1:]
    return np.array([row[:4] for row in rows], dtype=float), np.array([SPECIES.index(row[4]) for row in rows])


def as_onnx(scaler, classifier):
    """What scikit-learn has fitted, in two operators that every engine has."""
    weights = (classifier.coef_ / scaler.scale_).T
    bias = classifier.intercept_ - scaler.mean_ @ weights
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["measurements", "weights", "bias"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        ],
        "iris",
        [helper.make_tensor_value_info("measurements", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3])],
        [
            numpy_helper.from_array(weights.astype(np.float32), "weights"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def main():
    measurements, species = flowers()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    folds = cross_val_score(pipeline, measurements, species, cv=10)
    pipeline.fit(measurements, species)
    model = as_onnx(*(step for _, step in pipeline.steps))
    onnx.save(model, HERE / "iris.onnx")

    (probabilities,) = ReferenceEvaluator(model).run(None, {"measurements": measurements.astype(np.float32)})
    expected = pipeline.predict_proba(measurements)
    wrong = np.flatnonzero(pipeline.predict(measurements) != species)
    assert (probabilities.argmax(axis=1) == pipeline.predict(measurements)).all()
    print(f"accuracy on flowers not trained on, mean of ten folds: {folds.mean():.3f}")
    print(f"{len(species) - len(wrong)} of {len(species)} right; wrong are lines {', '.join(str(i + 2) for i in wrong)}")
    print(f"iris.onnx differs from scikit-learn by at most {np.abs(probabilities - expected).max():.1e}")
    first = ", ".join(f"{name} {p:.4f}" for name, p in zip(SPECIES, expected[0]))
    print(f"the first flower: {first}")


if __name__ == "__main__":
    main()
