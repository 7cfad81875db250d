//! What `dev` prints: where everything is, and what to paste.

use std::{env, net::SocketAddr};

use super::{CLIENT, Options};
use crate::{
    issuer::Issuer,
    service::screen::{Mark, Screen},
};

/// What there is to show.
pub(super) struct Page<'a> {
    pub(super) issuer: &'a Issuer,
    pub(super) service: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) docs: bool,
    pub(super) screen: Screen,
}

impl Page<'_> {
    /// One screen. Each command is one line, below the line that says what it does.
    pub(super) fn text(&self, options: &Options) -> String {
        let (issuer, service) = (self.issuer, self.service);
        let title = "warp-bearer dev: a service and an issuer of its own, on this machine alone.";
        let mut page = format!(
            "{}\n\n  service  http://{service}\n  issuer   {}   its keys are made now and end with it\n  metrics  http://{}/metrics\n{}\n",
            self.screen.strong(Mark::Plain, title),
            issuer.url(),
            self.metrics,
            self.docs(),
        );
        page += &self.promises(options);
        for (what, command) in self.commands() {
            page += &self.screen.faint(what);
            page.push('\n');
            page += &command;
            page.push('\n');
        }
        page += "\nStop with Ctrl-C.\n";
        page
    }

    /// The line about the page, where there is one.
    fn docs(&self) -> String {
        if !self.docs {
            return String::new();
        }
        let service = self.service;
        format!(
            "  docs     http://{service}/docs   to try it in a browser; Authorize fetches a token\n"
        )
    }

    fn commands(&self) -> [(&'static str, String); 9] {
        let call = |path: &str| format!("curl -i http://{}{path}", self.service);
        let with = |path: &str, token: &str| {
            format!("{} -H \"Authorization: Bearer {token}\"", call(path))
        };
        let fetch = |scope: &str| format!("{} dev --token --scope {scope}", self.program());
        let other = format!("$({})", fetch("write:messages"));
        let (id, secret) = CLIENT;
        let from_issuer = format!(
            "curl -s {} -d grant_type=client_credentials -d client_id={id} -d client_secret={secret} -d audience={} -d scope=read:messages",
            self.issuer.token_endpoint(),
            self.issuer.audience()
        );
        let explain = format!(
            "echo $TOKEN | AUTH0_ISSUER={} AUTH0_API_AUDIENCE={} {} explain",
            self.issuer.url(),
            self.issuer.audience(),
            program()
        );
        [
            (
                "In another terminal, a token, good for a day:",
                format!("TOKEN=$({})", fetch("read:messages")),
            ),
            ("Open to all, 200:", call("/api/public")),
            ("Without a token, 401:", call("/api/private")),
            (
                "With it, 200 and its claims:",
                with("/api/private", "$TOKEN"),
            ),
            (
                "With the scope read:messages, 200:",
                with("/api/private-scoped", "$TOKEN"),
            ),
            (
                "With another scope, 403:",
                with("/api/private-scoped", &other),
            ),
            ("Why a token is taken, or refused:", explain),
            ("A token as Auth0 gives it:", from_issuer),
            ("How it is:", call("/readyz")),
        ]
    }

    /// What the options will have happen.
    fn promises(&self, options: &Options) -> String {
        let mut promises = Vec::new();
        if let Some(every) = options.rotate_every {
            promises.push(format!("The issuer signs with a new key every {every:?}: the first request that carries a new kid costs one fetch, and a key is published until the next but one."));
        }
        if options.fail.is_some() {
            promises.push("The issuer fails from now on: tokens go on being taken for an hour, /readyz has last_error, and a key that is not held yet is unknown_key.".to_owned());
        }
        let told = promises
            .iter()
            .map(|one| self.screen.strong(Mark::Note, one) + "\n\n");
        told.collect()
    }

    /// How this program is called again, so that it finds this `dev`.
    fn program(&self) -> String {
        match self.service.to_string().as_str() {
            "127.0.0.1:8000" => program(),
            other => format!("LISTEN={other} {}", program()),
        }
    }
}

/// As it was called, where a shell takes that as it is.
fn program() -> String {
    let called = env::args().next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if called.is_empty() || !called.chars().all(plain) {
        return "warp-bearer".to_owned();
    }
    called
}
