"""Runs a client of PyPI that is given only a URL: the SDK `mcp`, or `fastmcp`.

Prints a line of JSON: the answers to the calls, and the scopes that the client requested.
"""

import asyncio
import json
import subprocess
import sys
import urllib.parse

import httpx2
from fastmcp import Client as FastClient
from fastmcp.client.auth import OAuth
from mcp.client.auth import OAuthClientProvider
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

CALLBACK = "http://127.0.0.1:1/callback"


class Memory:
    """The storage of the client."""

    token = client = None

    async def get_tokens(self):
        return self.token

    async def set_tokens(self, tokens):
        self.token = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


async def sdk(url, calls, browser):
    """Runs the PyPI SDK. The authorization code comes from the command `browser`."""
    asked, codes, memory = [], [], Memory()

    async def redirect(address):
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
        asked.append(query["scope"][0].split())
        assert query["resource"] == [url], query
        assert query["code_challenge_method"] == ["S256"], query
        process = await asyncio.create_subprocess_exec(*browser, address, "print", stdout=subprocess.PIPE)
        printed, _ = await process.communicate()
        codes.append(urllib.parse.parse_qs(urllib.parse.urlsplit(printed.decode().strip()).query))

    async def callback():
        code = codes.pop()
        return AuthorizationCodeResult(code=code["code"][0], state=code["state"][0], iss=code["iss"][0])

    metadata = OAuthClientMetadata(
        client_name="check", redirect_uris=[CALLBACK], grant_types=["authorization_code", "refresh_token"],
        response_types=["code"], token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(url, metadata, memory, redirect, callback)
    answers = []
    async with httpx2.AsyncClient(auth=provider, timeout=30) as http:
        async with streamable_http_client(url, http_client=http) as (reader, writer, *_):
            async with ClientSession(reader, writer) as session:
                await session.initialize()
                for tool, arguments, pause in calls:
                    await asyncio.sleep(pause)
                    answers.append(text(await session.call_tool(tool, arguments)))
    return {"answers": answers, "asked": asked}


async def fast(url, calls, _):
    """Runs fastmcp, which opens $BROWSER and listens for the callback."""
    answers = []
    async with FastClient(url, auth=OAuth(callback_host="127.0.0.1", callback_timeout=20)) as client:
        for tool, arguments, pause in calls:
            await asyncio.sleep(pause)
            answers.append(text(await client.call_tool(tool, arguments)))
    return {"answers": answers, "asked": []}


def text(result):
    return result.content[0].text


def main():
    name, url, calls, *browser = sys.argv[1:]
    client = {"mcp": sdk, "fastmcp": fast}[name]
    print(json.dumps(asyncio.run(client(url, json.loads(calls), browser))))


main()
