//! The servers under test, which are the service and its peers, each with its own issuer.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::Runtime;
use warp_bearer::issuer::{Issuer, SigningKey};

use crate::{
    peers::{self, Peer},
    server::{self, Server},
};

use super::answer::{self, Answer};

pub struct Subject<'a> {
    pub name: &'static str,
    pub title: &'static str,
    pub fetches: bool,
    start: Start<'a>,
    runtime: &'a Runtime,
}

enum Start<'a> {
    Service(&'a Path),
    Peer(&'static Peer),
}

pub struct Stage<'a> {
    pub name: &'static str,
    pub issuer: Issuer,
    server: Server,
    runtime: &'a Runtime,
}

const START: Duration = Duration::from_secs(50);

impl<'a> Subject<'a> {
    pub fn service(binary: &'a Path, runtime: &'a Runtime) -> Self {
        Self {
            name: "warp-bearer",
            title: "this service",
            fetches: true,
            start: Start::Service(binary),
            runtime,
        }
    }

    pub fn peer(peer: &'static Peer, runtime: &'a Runtime) -> Self {
        Self {
            name: peer.name,
            title: peer.title,
            fetches: peer.fetches,
            start: Start::Peer(peer),
            runtime,
        }
    }

    pub fn versions(&self) -> String {
        match self.start {
            Start::Service(binary) => {
                let said = Command::new(binary).arg("--version").output().unwrap();
                String::from_utf8(said.stdout).unwrap().trim().to_owned()
            }
            Start::Peer(peer) => peers::versions(peer),
        }
    }

    pub fn stage(&self) -> Stage<'a> {
        self.stage_with(|_| {}, None)
    }

    /// Starts the server after `prepare` has changed the issuer. `ttl` is the time to live of keys.
    pub fn stage_with(&self, prepare: impl FnOnce(&Issuer), ttl: Option<Duration>) -> Stage<'a> {
        let issuer = self.issuer();
        prepare(&issuer);
        let stage = self.begin(issuer, ttl);
        stage.unwrap_or_else(|| panic!("{} does not start", self.name))
    }

    /// Like [`stage_with`](Self::stage_with), for a server that may not start.
    pub fn try_stage_with(&self, prepare: impl FnOnce(&Issuer)) -> Option<Stage<'a>> {
        let issuer = self.issuer();
        prepare(&issuer);
        self.begin(issuer, None)
    }

    pub fn issuer(&self) -> Issuer {
        self.runtime.block_on(Issuer::start())
    }

    pub fn take_down(&self, issuer: &Issuer) {
        self.runtime.block_on(issuer.go_down());
    }

    /// Returns `None` if the server ends, or doesn't answer on its public route within 50 seconds.
    pub fn begin(&self, issuer: Issuer, ttl: Option<Duration>) -> Option<Stage<'a>> {
        let seconds = ttl.map(|ttl| ttl.as_secs().to_string());
        let (mut command, port_name, ttl_name) = match self.start {
            Start::Service(binary) => {
                let command = server::service(binary, issuer.url(), issuer.audience());
                (command, "LISTEN", "AUTH0_JWKS_TTL")
            }
            Start::Peer(peer) => (peers::command(peer, &issuer), "PORT", "JWKS_TTL"),
        };
        if let Some(seconds) = seconds {
            let unit = if port_name == "LISTEN" { "s" } else { "" };
            command.env(ttl_name, format!("{seconds}{unit}"));
        }
        // its log would be full of errors that the tests cause on purpose
        command.stderr(Stdio::null());
        let mut server = Server::spawn(command, port_name);
        let began = Instant::now();
        let public = answer::request("/api/public", &[]);
        while answer::ask(server.address, &public).is_none_or(|answer| answer.status != 200) {
            if server.has_ended() || began.elapsed() > START {
                return None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        Some(Stage {
            name: self.name,
            issuer,
            server,
            runtime: self.runtime,
        })
    }
}

impl Stage<'_> {
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub fn with_fields(&self, fields: &[&str]) -> Option<Answer> {
        answer::ask(self.address(), &answer::request("/api/private", fields))
    }

    pub fn answer(&self, token: &str) -> Option<Answer> {
        self.with_fields(&[&format!("authorization: Bearer {token}")])
    }

    pub fn status(&self, token: &str) -> Option<u16> {
        self.answer(token).map(|answer| answer.status)
    }

    /// Repeats a request with a valid token until it's accepted. The server may still be fetching
    /// its keys.
    pub fn await_taken(&self) {
        let began = Instant::now();
        while self.status(&self.issuer.token().sign()) != Some(200) {
            let late = began.elapsed() > START;
            assert!(!late, "{}: a good token is not taken", self.name);
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Checks that a valid token is accepted and a forged one isn't. Without this, a server that
    /// always gives the same answer would get many good cells.
    pub fn check(&self) {
        self.await_taken();
        let stranger = SigningKey::generate(self.issuer.key().algorithm());
        let forged = self.issuer.token().key(&stranger);
        let status = self.status(&forged.kid(self.issuer.key().kid()).sign());
        let refused = matches!(status, Some(400 | 401 | 403));
        assert!(
            refused,
            "{}: a forged token is answered {status:?}",
            self.name
        );
    }

    pub fn take_issuer_down(&self) {
        self.runtime.block_on(self.issuer.go_down());
    }

    pub fn bring_issuer_back(&self) {
        self.runtime.block_on(self.issuer.come_back());
    }
}
