//! Starts the other servers, and checks that each really does what is timed.
//!
//! Each has a folder in `peers/` with its configuration, a script that installs it and one that
//! starts it. It serves `/api/public` to everyone and `/api/private` for a valid token, and is
//! configured by the environment: `PORT`, `ISSUER`, `AUDIENCE`, and the key in whatever form it
//! needs, i.e. an address (`JWKS_URI`), a file (`JWKS_FILE`) or PEM (`PUBLIC_KEY`). A peer that
//! fetches keys keeps them for `JWKS_TTL` seconds if that's set, and otherwise for its default
//! time.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    rc::Rc,
};

use aws_lc_rs::{
    encoding::{AsDer, PublicKeyX509Der},
    signature::RsaPublicKeyComponents,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use warp_bearer::issuer::Issuer;

use crate::{
    connection::status_of,
    goals::Bound,
    ground::{Ground, SEEN},
    server::{Asked, Server},
    tokens::{self, PUBLIC},
};

pub struct Peer {
    pub name: &'static str,
    pub title: &'static str,
    folder: &'static str,
    env: &'static [(&'static str, &'static str)],
    /// Fetches its keys. Otherwise, it reads one from a file.
    pub fetches: bool,
    /// The goal for the service's rate with fresh tokens, relative to the peer's rate. `None` if the
    /// peer caches tokens.
    pub fresh_to: Option<Bound>,
    pub seen_to: Option<Bound>,
}

const PEER: Peer = Peer {
    name: "",
    title: "",
    folder: "",
    env: &[],
    fetches: false,
    fresh_to: Some(Bound::AtLeast(1.3, None)),
    seen_to: None,
};

#[rustfmt::skip]
const PEERS: &[Peer] = &[
    Peer { name: "warp-jsonwebtoken", title: "warp + jsonwebtoken::decode", folder: "warp-jsonwebtoken", ..PEER },
    Peer { name: "actix", title: "actix-web + jsonwebtoken", folder: "actix", ..PEER },
    Peer { name: "axum-tower-oauth2", title: "axum + tower-oauth2-resource-server", folder: "axum-tower-oauth2", fetches: true, ..PEER },
    Peer { name: "axum-oauth-rs", title: "axum + oauth-resource-server", folder: "axum-oauth-rs", fetches: true, ..PEER },
    Peer { name: "axum-huskarl", title: "axum + huskarl-resource-server", folder: "axum-huskarl", fetches: true, ..PEER },
    Peer { name: "axum-tower-mcp", title: "axum + tower-mcp", folder: "axum-tower-mcp", fetches: true, ..PEER },
    Peer { name: "axum-jwt-authorizer", title: "axum + jwt-authorizer", folder: "axum-jwt-authorizer", fetches: true, ..PEER },
    Peer { name: "haproxy", title: "HAProxy, jwt_verify", folder: "haproxy", ..PEER },
    Peer { name: "envoy", title: "Envoy, jwt_authn", folder: "envoy", fetches: true, ..PEER },
    Peer { name: "envoy-cache", title: "Envoy, with its cache", folder: "envoy", env: &[("CACHE", "yes")], fetches: true, fresh_to: None, seen_to: Some(Bound::AtLeast(4.0, None)) },
    Peer { name: "fastify", title: "Fastify", folder: "fastify", ..PEER },
    Peer { name: "fastify-cache", title: "Fastify, with its cache", folder: "fastify", env: &[("CACHE", "yes")], fresh_to: None, ..PEER },
    Peer { name: "express", title: "Express + Auth0's SDK", folder: "express", fetches: true, ..PEER },
    Peer { name: "fastapi", title: "FastAPI tutorial", folder: "fastapi", fetches: true, fresh_to: Some(Bound::AtLeast(15.0, Some(10.0))), seen_to: Some(Bound::AtLeast(60.0, Some(30.0))), ..PEER },
];

/// `all` means every peer.
pub fn named(names: &[String]) -> Vec<&'static Peer> {
    if names == ["all"] {
        return PEERS.iter().collect();
    }
    let peer = |name: &String| {
        let peer = PEERS.iter().find(|peer| peer.name == name);
        peer.unwrap_or_else(|| panic!("no peer is called {name}"))
    };
    names.iter().map(peer).collect()
}

/// Leaves out the peers that differ from another only in their cache.
pub fn without_caches() -> Vec<&'static Peer> {
    let peers = PEERS.iter();
    peers.filter(|peer| peer.env.is_empty()).collect()
}

/// Returns the versions pinned in a peer's folder. `HAProxy` comes from the system, so there we ask
/// the program.
pub fn versions(peer: &Peer) -> String {
    if peer.name == "haproxy" {
        let said = Command::new("haproxy").arg("-v").output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let version = said.split_whitespace().nth(2).unwrap_or_default();
        return format!("HAProxy {}", version.split('-').next().unwrap_or_default());
    }
    let read = |name| fs::read_to_string(folder(peer).join(name)).unwrap_or_default();
    let manifests = ["Cargo.toml", "requirements.txt", "package.json"].map(read);
    let pinned = manifests.iter().flat_map(|manifest| manifest.lines());
    let versions: Vec<_> = pinned.filter_map(pin).collect();
    versions.join(", ")
}

/// Parses a line that pins a version: `name = { version = "=1.2.3", …`, `name==1.2.3` or `"name":
/// "1.2.3"`.
fn pin(line: &str) -> Option<String> {
    let line = line.trim();
    let (name, version) = if let Some((name, rest)) = line.split_once(" = { version = \"=") {
        (name, rest.split('"').next()?)
    } else if let Some(pinned) = line.split_once("==") {
        pinned
    } else {
        let (name, version) = line.trim_end_matches(',').split_once(": ")?;
        (name.trim_matches('"'), version.trim_matches('"'))
    };
    let number = version.starts_with(|first: char| first.is_ascii_digit());
    number.then(|| format!("{name} {version}"))
}

pub fn public_row(peer: &Peer) -> String {
    format!("{}: public", peer.name)
}

pub fn tokens_row(peer: &Peer) -> String {
    format!("{}: tokens", peer.name)
}

/// The running peers, all of which have passed `check`.
pub struct Running(Vec<(&'static Peer, Rc<Server>)>);

pub fn start(peers: &[&'static Peer], ground: &Ground) -> Running {
    if peers.is_empty() {
        return Running(Vec::new());
    }
    let start = |peer: &&'static Peer| {
        let server = Server::start(command(peer, &ground.issuer), "PORT", 1);
        check(peer, &server, ground);
        (*peer, Rc::new(server))
    };
    Running(peers.iter().map(start).collect())
}

impl Running {
    /// Returns the function that measures this row, if the row belongs to a peer.
    pub fn row<'a>(&self, name: &str, ground: &'a Ground) -> Option<Box<dyn Fn() -> f64 + 'a>> {
        for (peer, server) in &self.0 {
            let server = Rc::clone(server);
            if name == public_row(peer) {
                return Some(Box::new(move || rate(&server, &[PUBLIC.to_vec()], ground)));
            }
            if name == tokens_row(peer) {
                return Some(Box::new(move || {
                    rate(&server, &ground.callers()[..SEEN], ground)
                }));
            }
        }
        None
    }
}

fn rate(server: &Server, requests: &[Vec<u8>], ground: &Ground) -> f64 {
    let warm: Vec<_> = requests.iter().cycle().take(SEEN).cloned().collect();
    server.rate(&Asked {
        warm: &warm,
        requests,
        count: ground.requests,
        status: 200,
    })
}

pub fn command(peer: &Peer, issuer: &Issuer) -> Command {
    let keys = write_keys(issuer);
    let mut command = Command::new(folder(peer).join("start"));
    command
        .current_dir(folder(peer))
        .env("ISSUER", issuer.url())
        .env("AUDIENCE", issuer.audience())
        .env("JWKS_URI", issuer.jwks_uri())
        .env("JWKS_FILE", keys.join("jwks.json"))
        .env("PUBLIC_KEY", keys.join("public.pem"))
        .envs(peer.env.iter().copied());
    command
}

fn folder(peer: &Peer) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("peers")
        .join(peer.folder)
}

pub fn configuration(peer: &str, file: &str) -> String {
    let path = folder(named(&[peer.to_owned()])[0]).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A program that a peer's `install` got from PyPI.
pub fn program(peer: &str, name: &str) -> PathBuf {
    folder(named(&[peer.to_owned()])[0])
        .join(".venv/bin")
        .join(name)
}

/// Writes the issuer's key for peers that can't fetch it.
fn write_keys(issuer: &Issuer) -> PathBuf {
    let folder = all_keys().join(issuer.addr().port().to_string());
    fs::create_dir_all(&folder).unwrap();
    let set = json!({ "keys": [issuer.key().public_jwk()] });
    fs::write(folder.join("public.pem"), public_pem(issuer)).unwrap();
    fs::write(folder.join("jwks.json"), set.to_string()).unwrap();
    folder
}

fn all_keys() -> PathBuf {
    std::env::temp_dir().join(format!("warp-bearer-bench-{}", process::id()))
}

/// Removes the key files. The peers must have ended.
pub fn forget_keys() {
    let _ = fs::remove_dir_all(all_keys());
}

pub fn public_pem(issuer: &Issuer) -> String {
    let jwk = issuer.key().public_jwk();
    let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let key = RsaPublicKeyComponents {
        n: part("n"),
        e: part("e"),
    };
    let der: PublicKeyX509Der = key.as_der().unwrap();
    let pem = STANDARD.encode(der.as_ref());
    let lines: Vec<&str> = pem
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        lines.join("\n")
    )
}

/// Checks that a valid token is accepted and invalid ones aren't. There's no point in timing a
/// server that accepts everything.
fn check(peer: &Peer, server: &Server, ground: &Ground) {
    let token = || tokens::of_caller(&ground.issuer, 0);
    let ask = |request: &[u8]| status_of(server.address, request);
    server.await_status(&tokens::private(&token().sign()), 200);
    let bad = [
        ("no token", None),
        ("garbage", Some("x".repeat(788))),
        (
            "bad signature",
            Some(tokens::forged(&ground.issuer, ground.stranger(), 0).sign()),
        ),
        ("expired", Some(token().expired().sign())),
        (
            "another audience",
            Some(token().audience("https://other.example.com").sign()),
        ),
        (
            "another issuer",
            Some(token().claim("iss", "https://other.example.com/").sign()),
        ),
    ];
    for (case, token) in bad {
        let status = ask(&tokens::get("/api/private", token.as_deref()));
        let refused = matches!(status, Some(400 | 401 | 403));
        assert!(refused, "{}: {case} is answered {status:?}", peer.name);
    }
}
