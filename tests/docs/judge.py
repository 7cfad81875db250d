"""Tests `/openapi.json` of `warp-bearer dev` with other tools.

openapi-spec-validator validates the description. schemathesis sends the service requests that the description
allows, and requests that it does not allow, with a token. The argument is the binary.
"""

import json
import os
import subprocess
import sys
import tempfile
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

import dev


def token(binary, service):
    surroundings = {**os.environ, "LISTEN": service.removeprefix("http://")}
    asked = [binary, "dev", "--token", "--scope", "read:messages"]
    return subprocess.run(asked, env=surroundings, check=True, capture_output=True, text=True).stdout.strip()


def described(service):
    """Returns the description, with the audience of `dev`: `/openapi.json` does not name configured audiences."""
    with urllib.request.urlopen(f"{service}/openapi.json") as answer:
        description = json.load(answer)
    for parameter in description["paths"]["/auth"]["get"]["parameters"]:
        if parameter["name"] == "audience":
            parameter["schema"]["enum"] = ["https://api.example.com"]
    return description


def check_description(service):
    with urllib.request.urlopen(f"{service}/openapi.json") as answer:
        description = json.load(answer)
    validate(description, cls=OpenAPIV31SpecValidator)
    print(f"valid: {len(description['paths'])} paths")


def check_requests(service, bearer):
    schemathesis = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    with tempfile.TemporaryDirectory() as directory:
        description = os.path.join(directory, "openapi.json")
        with open(description, "w") as file:
            json.dump(described(service), file)
        subprocess.run(
            [schemathesis, "run", description, "--url", service, "--header", f"Authorization: Bearer {bearer}",
             "--max-examples", "50", "--seed", "1", "--no-color"],
            check=True,
            # schemathesis creates a directory in its working directory.
            cwd=directory,
        )


def main():
    binary = sys.argv[1]
    process, service = dev.start(binary)
    try:
        check_description(service)
        check_requests(service, token(binary, service))
    finally:
        process.terminate()
        process.wait()


main()
