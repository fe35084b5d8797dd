#!/usr/bin/env python3
"""Writes src/labels.tsv: the labels of Magika's model in its order, with what they stand for.

    labels.py WHEEL > src/labels.tsv    the wheel of magika 1.0.3 (`pip download --no-deps magika==1.0.3`)

The last two are no answers of the model: of what it is too uncertain about, and of nothing.
"""

import json
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    config = json.loads(wheel.read("magika/models/standard_v3_3/config.min.json"))
    types = json.loads(wheel.read("magika/config/content_types_kb.min.json"))

print("label\tgroup\tmime\ttext\tthreshold\treplaced by")
for label in config["target_labels_space"] + ["unknown", "empty"]:
    kind = types[label]
    mime = kind["mime_type"] or ("text/plain" if kind["is_text"] else "application/octet-stream")
    threshold = config["thresholds"].get(label, config["medium_confidence_threshold"])
    replaced = config["overwrite_map"].get(label, label)
    print(label, kind["group"] or "unknown", mime, int(kind["is_text"]), threshold, replaced, sep="\t")
