"""A client of skep: plain HTTP, nothing to install. It has what `MLQ` had for a backend."""

import json
import urllib.error
import urllib.request


class Refused(Exception):
    """skep's own words for why not, and its HTTP status."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Skep:
    """The queue of a namespace at a server, such as http://127.0.0.1:5000."""

    def __init__(self, url, namespace="default", token=None):
        self.url = url.rstrip("/")
        self.headers = {"Skep-Namespace": namespace, "Content-Type": "application/json"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"

    def post(self, msg, callback=None, functions=None):
        """Queues a job and answers its id, a decimal number as a string."""
        job = {"msg": msg, "callback": callback, "functions": functions}
        return self._ask("/jobs", json.dumps(job).encode())

    def get_progress(self, job_id):
        """`[queued; not started]`, `[started]`, a number, `[completed]` or `[failed]`."""
        return self._ask(f"/jobs/{job_id}/progress")

    def get_job(self, job_id):
        """The job's record, with `short_result`; `GET /jobs/{id}/result` has the whole result."""
        return json.loads(self._ask(f"/jobs/{job_id}"))

    def _ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, body, self.headers)
        try:
            # In seconds: skep answers these at once.
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None
        except OSError as error:
            raise Refused(502, f"no answer from skep at {self.url}: {error}") from None
