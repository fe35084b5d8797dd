"""The backend of a small web application: it hands long work to skep and answers at once.

    SKEP_URL=http://127.0.0.1:5000 PORT=3000 python3 backend.py
"""

import os
import threading
from collections import OrderedDict

from flask import Flask, jsonify, request, send_from_directory
from werkzeug.serving import make_server

from skep import Refused, Skep

# Callbacks to remember: whoever asks later asks skep, which keeps all results.
MAX_CALLBACKS = 1000

app = Flask(__name__)
queue = Skep(
    os.environ.get("SKEP_URL", "http://127.0.0.1:5000"), token=os.environ.get("SKEP_TOKEN")
)
callbacks = OrderedDict()
callbacks_lock = threading.Lock()


@app.get("/")
def page():
    return send_from_directory(app.root_path, "index.html")


@app.post("/do_inference")
def do_inference():
    question = request.get_json()
    job_id = queue.post(question, app.config["CALLBACK_URL"], ["count-primes"])
    return jsonify({"msg": "Processing, check back soon.", "job_id": job_id})


@app.get("/status/<int:job_id>")
def status(job_id):
    with callbacks_lock:
        called_back = callbacks.get(str(job_id))
    return jsonify({"msg": queue.get_progress(job_id), "called_back": called_back})


@app.get("/result/<int:job_id>")
def result(job_id):
    return jsonify({"short_result": queue.get_job(job_id)["short_result"]})


# skep calls this when a job has ended. Here a real application tells its user, by mail
# or by a websocket. Anybody may call it: where that matters, check the signature.
@app.get("/callback")
def callback():
    told = {name: request.args.get(name, "") for name in ("success", "short_result")}
    with callbacks_lock:
        callbacks[request.args.get("job_id", "")] = told
        while len(callbacks) > MAX_CALLBACKS:
            callbacks.popitem(last=False)
    return "ok"


@app.errorhandler(Refused)
def refused(error):
    return jsonify({"msg": str(error)}), error.status


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(os.environ.get("PORT", "3000")), app, threaded=True)
    here = f"http://127.0.0.1:{server.server_port}"
    app.config["CALLBACK_URL"] = f"{here}/callback"
    print(f"serving on {here}", flush=True)
    server.serve_forever()
