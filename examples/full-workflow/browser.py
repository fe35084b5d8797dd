"""Opens the page in a real browser, as a user does: types a number, clicks, reads.

    browser.py BROWSER URL NUMBER      prints what the page says in the end

It speaks the DevTools protocol over two pipes, for which nothing has to be installed.
"""

import json
import os
import subprocess
import sys
import tempfile

# Answers once the page is no longer busy. In the page, so that nothing is asked again and again.
USE_THE_PAGE = """new Promise(done => {
  const status = document.getElementById('status');
  new MutationObserver(() => {
    if (status.ariaBusy === 'false') done(status.textContent);
  }).observe(status, {attributeFilter: ['aria-busy']});
  document.getElementById('number').value = NUMBER;
  document.querySelector('button').click();
})"""


class Browser:
    def __init__(self, program, profile):
        to_browser, self.write = os.pipe()
        self.read, from_browser = os.pipe()
        # The browser reads its file descriptor 3 and writes to 4.
        plumbing = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        self.process = subprocess.Popen(
            ["bash", "-c", plumbing, "browser", program, *flags, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self.answers = os.fdopen(self.read, "rb")
        self.asked = 0
        self.page = {}

    def ask(self, method, **params):
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": params, **self.page}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        return self.until(lambda said: said.get("id") == self.asked)["result"]

    def until(self, wanted):
        while True:
            text = bytearray()
            while (byte := self.answers.read(1)) != b"\0":
                if not byte:
                    raise SystemExit("the browser has ended")
                text += byte
            said = json.loads(text)
            if "error" in said:
                raise SystemExit(f"the browser says: {said['error']}")
            if wanted(said):
                return said

    def open(self, url):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self.page = {"sessionId": attached["sessionId"]}
        self.ask("Page.enable")
        self.ask("Page.navigate", url=url)
        self.until(lambda said: said.get("method") == "Page.loadEventFired")

    def evaluate(self, script):
        answer = self.ask("Runtime.evaluate", expression=script, awaitPromise=True)
        return answer["result"]["value"]


def main(program, url, number):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            browser.open(url)
            print(browser.evaluate(USE_THE_PAGE.replace("NUMBER", str(int(number)))))
        finally:
            browser.process.kill()
            browser.process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
