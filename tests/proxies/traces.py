"""Checks that one trace continues from the client through each proxy and /auth to the fetch of the issuer's keys.

The service sends its spans to a collector (OTLP over HTTP). The key set is empty at first, so that the first request
waits for a fetch. Also checks that a parser of OpenMetrics can read the metrics, and that their exemplars name the
trace. Needs a service that was built with the feature `otel`.
"""

import contextlib
import http.server
import os
import sys
import tempfile
import time
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

import check


class Collector(http.server.BaseHTTPRequestHandler):
    """Stores the bodies that it receives. They contain names and identifiers verbatim, so no decoder is needed."""

    bodies = []

    def do_POST(self):
        Collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Logs nothing."""


class Keys(http.server.BaseHTTPRequestHandler):
    """Serves the issuer's key set, and stores the `traceparent` of each fetch."""

    document = b'{"keys":[]}'
    traces = []

    def do_GET(self):
        Keys.traces.append(self.headers.get("traceparent", ""))
        self.send_response(200)
        self.send_header("Content-Length", str(len(Keys.document)))
        self.end_headers()
        self.wfile.write(Keys.document)

    def log_message(self, *_):
        """Logs nothing."""


def read(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=check.PATIENCE) as answer:
        return answer.headers, answer.read().decode()


def until(condition):
    patience = time.monotonic() + check.PATIENCE
    while not (found := condition()) and time.monotonic() < patience:
        time.sleep(0.02)
    return found


def exemplars(port):
    """Returns the trace IDs of the exemplars in the metrics."""
    fields, text = read(f"http://127.0.0.1:{port}/metrics", "application/openmetrics-text; version=1.0.0")
    assert fields["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"), fields["Content-Type"]
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [sample.exemplar.labels["trace_id"] for sample in samples if sample.exemplar]


def trace(name, warp_bearer, directory, issuer, token, document, number):
    """Returns the cases that failed."""
    Collector.bodies, Keys.traces, Keys.document = [], [], b'{"keys":[]}'
    service, metrics = check.free_port(), check.free_port()
    environment = {
        "LISTEN": f"127.0.0.1:{service}", "METRICS_LISTEN": f"127.0.0.1:{metrics}", **issuer,
        "AUTH0_JWKS_URI": f"http://127.0.0.1:{check.serving(Keys)}/jwks",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{check.serving(Collector)}", "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    trace_id = f"{number:032x}"
    failed = []

    def holds(case, truth, about):
        print(f"  {'ok' if truth else 'FAILED':6} {case}")
        if not truth:
            failed.append(f"{name}: {case}")
            print(f"         {about}")

    with check.running([warp_bearer, "serve"], service, directory, **environment):
        with check.proxy(name, service, check.serving(check.Application)) as port:
            until(lambda: Keys.traces)
            Keys.document = document
            fields = check.bearer(token) + [("Traceparent", f"00-{trace_id}-b7ad6b7169203331-01")]
            # The first fetch may still be in flight, so the first answers may be errors.
            answer = until(lambda: (found := check.Answer(port, "/profile/", fields)).status == 200 and found)
            holds("a request with a valid token gets 200", answer, answer and answer.status)
            holds("the application sees the trace", trace_id in answer.seen("Traceparent")[0], answer.body)
            caused = [found for found in Keys.traces if found[3:35] == trace_id and found.endswith("-01")]
            holds("the key fetch has the trace", caused, Keys.traces)
            wanted = [bytes.fromhex(trace_id), b"GET /auth", b"verify token", b"wait for keys"]
            sent = lambda: all(any(text in body for body in Collector.bodies) for text in wanted)
            holds("the collector gets the spans", until(sent), [len(body) for body in Collector.bodies])
            named = exemplars(metrics)
            holds("an exemplar of the metrics names the trace", trace_id in named, named)
    return failed


def main(warp_bearer):
    warp_bearer = os.path.abspath(warp_bearer)
    failed = []
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        dev = check.free_port()
        listen = f"127.0.0.1:{dev}"
        stack.enter_context(check.running([warp_bearer, "dev"], dev, directory, LISTEN=listen))
        token = check.token_of(warp_bearer, listen, "")
        claims = check.payload_of(token)
        issuer = {"AUTH0_ISSUER": claims["iss"], "AUTH0_API_AUDIENCE": claims["aud"]}
        _, document = read(f"{claims['iss'].rstrip('/')}/.well-known/jwks.json")
        for number, name in enumerate(check.PROXIES, start=1):
            print(f"{name}, a trace")
            failed += trace(name, warp_bearer, directory, issuer, token, document.encode(), number)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
