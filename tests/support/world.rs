//! The binary with an issuer and a working configuration, which a test can then break.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use warp::Filter;
use warp_bearer::{auth::Algorithm, issuer::Issuer};

use super::process::Directory;

pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    pub fn json(&self) -> Value {
        let broken = |_| panic!("not JSON: {}{}", self.stdout, self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(broken)
    }
}

pub struct World {
    pub issuer: Issuer,
    pub directory: Directory,
    vars: Vec<(String, String)>,
}

impl World {
    pub async fn start() -> Self {
        let issuer = Issuer::with_algorithm(Algorithm::RS256).await;
        Self::of(issuer)
    }

    pub fn of(issuer: Issuer) -> Self {
        let vars = [
            ("AUTH0_ISSUER", issuer.url()),
            ("AUTH0_API_AUDIENCE", issuer.audience()),
            ("TZ", "CET-1"),
        ];
        let owned = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            vars: owned.to_vec(),
            directory: Directory::new(),
            issuer,
        }
    }

    /// Configures an issuer with this name, whose keys are those of the local issuer, in a file.
    pub fn named(issuer: &Issuer, name: &str) -> Self {
        let world = Self::of(issuer.clone())
            .set("AUTH0_ISSUER", name)
            .set("AUTH0_JWKS_FILE", "jwks.json");
        let jwks = json!({"keys": [issuer.key().public_jwk()]});
        std::fs::write(world.directory.path().join("jwks.json"), jwks.to_string()).unwrap();
        world
    }

    pub fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.retain(|(known, _)| known != name);
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    pub fn unset(mut self, name: &str) -> Self {
        self.vars.retain(|(known, _)| known != name);
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let vars: Vec<_> = self.vars.iter().map(|(n, v)| (&**n, &**v)).collect();
        self.directory.command(arguments, &vars)
    }

    pub fn variables(&self) -> Vec<(String, String)> {
        self.vars.clone()
    }

    /// Runs the binary and waits for it to end. This blocks the thread, so the issuer needs another
    /// one.
    pub fn run(&self, arguments: &[&str], input: &str) -> CommandOutput {
        let mut command = self.command(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // If a command rejects its arguments, it ends before it reads its input, and the write
        // fails.
        match child.stdin.take().unwrap().write_all(input.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
        let output = child.wait_with_output().unwrap();
        CommandOutput {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Starts an issuer whose clock is wrong by `ahead` seconds. Returns its address.
pub async fn with_date(issuer: &Issuer, ahead: i64) -> String {
    let (sender, url) = tokio::sync::oneshot::channel::<String>();
    let jwks = json!({"keys": [issuer.key().public_jwk()]});
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = format!("http://{}/", listener.local_addr().unwrap());
    let metadata = json!({"issuer": own, "jwks_uri": format!("{own}jwks")});
    let routes = warp::path("jwks")
        .map(move || warp::reply::json(&jwks))
        .or(warp::any().map(move || warp::reply::json(&metadata)))
        .map(move |reply| {
            let now = SystemTime::now();
            let shift = Duration::from_secs(ahead.unsigned_abs());
            let date = if ahead < 0 { now - shift } else { now + shift };
            warp::reply::with_header(reply, "date", httpdate::fmt_http_date(date))
        });
    sender.send(own).unwrap();
    tokio::spawn(warp::serve(routes).incoming(listener).run());
    url.await.unwrap()
}
