//! [`Page`]: the text that `dev` prints, with addresses and commands to paste.

use std::{env, fmt::Write, net::SocketAddr, time::Duration};

use crate::{
    issuer::Issuer,
    service::cli::terminal::{Mark, Terminal},
};

/// Commands in the README use this port, and `examples/hello.rs` uses 8001
pub(super) const ISSUER_PORT: u16 = 8002;

#[allow(clippy::struct_excessive_bools)] // each adds a line of its own
pub(in crate::service) struct Page<'a> {
    pub(in crate::service) issuer: &'a Issuer,
    pub(in crate::service) service: SocketAddr,
    pub(in crate::service) metrics: SocketAddr,
    pub(in crate::service) issuer_port_taken: bool,
    pub(in crate::service) docs: bool,
    pub(in crate::service) rotate_every: Option<Duration>,
    pub(in crate::service) fails: bool,
    pub(in crate::service) dpop: bool,
    pub(in crate::service) terminal: Terminal,
}

impl Page<'_> {
    /// With default ports and without `--dpop`, the text fits into a terminal of 80 by 24. Each
    /// command is a line below a shell comment, so you can paste all of them at once.
    pub(in crate::service) fn text(&self) -> String {
        let title = "warp-bearer dev: the service and a local issuer, on this machine only.";
        let mut page = self.terminal.strong(Mark::Plain, title) + "\n\n";
        for (what, address) in self.addresses() {
            let _ = writeln!(page, "  {what:8} {address}");
        }
        page.push('\n');
        page += &self.notices();
        for (what, command) in self.commands() {
            page += &self.terminal.faint(&format!("# {what}"));
            page.push('\n');
            page += &command;
            page.push('\n');
        }
        page += "Stop with Ctrl-C.\n";
        page
    }

    fn addresses(&self) -> Vec<(&'static str, String)> {
        let service = format!("http://{}", self.service);
        let mut addresses = vec![("service", service.clone())];
        if self.docs {
            let docs = format!("{service}/docs   to try it in a browser");
            addresses.push(("docs", docs));
        }
        let issuer = format!("{}   with new keys", self.issuer.url());
        addresses.extend([
            ("ready", format!("{service}/readyz")),
            ("metrics", format!("http://{}/metrics", self.metrics)),
            ("issuer", issuer),
        ]);
        addresses
    }

    fn commands(&self) -> Vec<(&'static str, String)> {
        if self.dpop {
            return self.commands_with_proofs().into();
        }
        self.commands_of_bearer().into()
    }

    fn commands_with_proofs(&self) -> [(&'static str, String); 7] {
        let url = format!("http://{}/api/private", self.service);
        let program = program();
        let proof = format!("PROOF=$({program} dev --proof GET {url} --for-token $TOKEN)");
        let with = |scheme: &str| {
            format!("curl -iH \"Authorization: {scheme} $TOKEN\" -H \"DPoP: $PROOF\" {url}")
        };
        let token = format!(
            "TOKEN=$({} dev --token --dpop --scope read:messages)",
            self.program()
        );
        [
            (
                "In another terminal, get a token that is bound to a key:",
                token,
            ),
            ("Make a proof with that key, for one request:", proof),
            (
                "With both, 200; a second time, 401, because a proof can be used once:",
                with("DPoP"),
            ),
            ("As a plain bearer token, 401:", with("Bearer")),
            (
                "Without a token, 401, and both schemes are offered:",
                format!("curl -i {url}"),
            ),
            (
                "A token that is not bound still works:",
                format!(
                    "curl -iH \"Authorization: Bearer $({} dev --token)\" {url}",
                    self.program()
                ),
            ),
            (
                "Why a token and its proof are accepted or rejected:",
                format!(
                    "echo $TOKEN | AUTH0_ISSUER={} AUTH0_API_AUDIENCE={} PUBLIC_URL=http://{} \
                     {program} explain --proof $PROOF --request GET {url}",
                    self.issuer.url(),
                    self.issuer.audience(),
                    self.service
                ),
            ),
        ]
    }

    fn commands_of_bearer(&self) -> [(&'static str, String); 6] {
        let url = |path: &str| format!("http://{}{path}", self.service);
        let call = |path: &str| format!("curl -i {}", url(path));
        let with = |path: &str| format!("curl -iH \"Authorization: Bearer $TOKEN\" {}", url(path));
        let explain = format!(
            "echo $TOKEN | AUTH0_ISSUER={} AUTH0_API_AUDIENCE={} {} explain",
            self.issuer.url(),
            self.issuer.audience(),
            program()
        );
        let token = format!(
            "TOKEN=$({} dev --token --scope read:messages)",
            self.program()
        );
        [
            (
                "In another terminal, get a token that is valid for a day:",
                token,
            ),
            ("Open to everyone, 200:", call("/api/public")),
            ("Without a token, 401:", call("/api/private")),
            ("With the token, 200 and its claims:", with("/api/private")),
            (
                "With the scope of the token, 200; without --scope, 403:",
                with("/api/private-scoped"),
            ),
            ("Why a token is accepted or rejected:", explain),
        ]
    }

    fn notices(&self) -> String {
        let mut notices = Vec::new();
        if self.issuer_port_taken {
            notices.push(format!(
                "Port {ISSUER_PORT} is in use, so the issuer has another port."
            ));
        }
        if let Some(every) = self.rotate_every {
            notices.push(format!("The issuer signs with a new key every {every:?}. The first request with a new kid causes one fetch. A key stays published until the second rotation after it."));
        }
        if self.fails {
            notices.push("The issuer fails from now on. The service still accepts tokens for an hour, and /readyz has last_error. A token with another key gets unknown_key, or keys_unavailable while a fetch hangs.".to_owned());
        }
        let notices = notices
            .iter()
            .map(|one| self.terminal.strong(Mark::Note, one) + "\n\n");
        notices.collect()
    }

    /// Runs this program with the environment of this `dev`.
    fn program(&self) -> String {
        match self.service.to_string().as_str() {
            "127.0.0.1:8000" => program(),
            other => format!("LISTEN={other} {}", program()),
        }
    }
}

/// The command to run this program from another terminal: `cargo run` if cargo started us, and
/// otherwise the [`executable`].
fn program() -> String {
    if env::var_os("CARGO").is_some() {
        return "cargo run --quiet --".to_owned();
    }
    executable()
}

/// The command to run this program from any directory: our path or, if a shell would need quotes
/// for it, only the name.
pub(super) fn executable() -> String {
    let called = env::args().next().unwrap_or_default();
    // The other terminal may be in another directory, so the path must be absolute
    let path = env::current_exe().ok().filter(|_| called.contains('/'));
    let path = path.and_then(|path| path.into_os_string().into_string().ok());
    let program = path.unwrap_or(called);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if program.is_empty() || !program.chars().all(plain) {
        return "warp-bearer".to_owned();
    }
    program
}
