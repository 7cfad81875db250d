"""What others make of `/openapi.json`, as `warp-bearer dev` serves it.

A validator of OpenAPI reads the description; schemathesis asks the service whatever the description
allows and much that it does not, with a token. The argument is the binary.
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
    """The description, with the audience that `dev` has: it does not name those that are configured."""
    with urllib.request.urlopen(f"{service}/openapi.json") as answer:
        description = json.load(answer)
    for parameter in description["paths"]["/auth"]["get"]["parameters"]:
        if parameter["name"] == "audience":
            parameter["schema"]["enum"] = ["https://api.example.com"]
    return description


def judged(service):
    with urllib.request.urlopen(f"{service}/openapi.json") as answer:
        description = json.load(answer)
    validate(description, cls=OpenAPIV31SpecValidator)
    print(f"valid: {len(description['paths'])} paths")


def asked(service, bearer):
    schemathesis = os.path.join(os.path.dirname(sys.executable), "schemathesis")
    with tempfile.TemporaryDirectory() as directory:
        description = os.path.join(directory, "openapi.json")
        with open(description, "w") as file:
            json.dump(described(service), file)
        subprocess.run(
            [schemathesis, "run", description, "--url", service, "--header", f"Authorization: Bearer {bearer}",
             "--max-examples", "50", "--seed", "1", "--no-color"],
            check=True,
            # It leaves a directory where it runs.
            cwd=directory,
        )


def main():
    binary = sys.argv[1]
    process, service = dev.start(binary)
    try:
        judged(service)
        asked(service, token(binary, service))
    finally:
        process.terminate()
        process.wait()


main()
