//! Checks the state store: connects in the same way as the service, and tries every command that
//! the service needs.

use crate::{
    auth::store::{ProbeError, Probed, Store},
    service::{
        cli::{auth, check::report::Section, terminal::Mark},
        config::Config,
    },
};

/// `None` if there's no shared store
pub(in crate::service) async fn check(
    config: &Config,
    on_request: impl Fn(&str),
) -> Option<Section> {
    let url = config.state_store.url.as_ref()?;
    on_request("the state store");
    let mut section = Section::new("State store");
    match Store::probe(url.as_str(), &auth::store_options(config)).await {
        Ok(probed) => found(&probed, config, &mut section),
        Err(error) => {
            let more = remedy(&error);
            section.add_more(Mark::Bad, "connection", error.to_string(), more);
        }
    }
    Some(section)
}

fn found(probed: &Probed, config: &Config, section: &mut Section) {
    let took = format!("{:.1} ms for a command", probed.took.as_secs_f64() * 1000.0);
    section.add_more(Mark::Good, "connection", &*probed.address, took);
    if probed.took > config.state_store.timeout {
        section.add_more(
            Mark::Note,
            "timeout",
            format!("a command took longer than {:?}", config.state_store.timeout),
            "requests whose commands take longer get 503; raise STATE_STORE_TIMEOUT, or move the store closer",
        );
    }
    if probed.is_tls {
        section.add(Mark::Good, "TLS", "the certificate is trusted");
    } else if !is_here(&probed.address) {
        let more = "write rediss:// in STATE_STORE if the server supports TLS";
        let text = "none: the password and the revocations are sent unencrypted";
        section.add_more(Mark::Note, "TLS", text, more);
    }
    section.add(
        Mark::Good,
        "rights",
        "all commands that the service needs are allowed",
    );
    match &probed.version {
        Some(version) => {
            let text = format!("{} {}", version.product, version.number);
            if version.is_supported() {
                section.add(Mark::Good, "version", text);
            } else {
                let more = "use version 6.2 or later";
                section.add_more(Mark::Bad, "version", text, more);
            }
        }
        None => section.add(
            Mark::Note,
            "version",
            "unknown: the response to INFO does not contain it",
        ),
    }
    match probed.eviction.as_deref() {
        Some("noeviction") => {
            section.add(Mark::Good, "memory", "no key is evicted when the memory is full");
        }
        Some(policy) => section.add_more(
            Mark::Note,
            "memory",
            format!("maxmemory-policy is {policy}: when the memory is full, used proofs may be evicted, and would be accepted again"),
            "set it with CONFIG SET maxmemory-policy noeviction",
        ),
        None => {}
    }
    if let Some(ahead) = probed.skew() {
        let seconds = ahead.unsigned_abs() / 1000;
        let side = if ahead > 0 { "ahead" } else { "behind" };
        section.add_more(
            Mark::Note,
            "clock",
            format!("{seconds} s {side} of this machine's"),
            "synchronize both clocks with NTP: after a restart with an empty store, proofs get 503 for as long as the clocks differ",
        );
    }
}

fn is_here(address: &str) -> bool {
    ["127.", "localhost:", "::1:"]
        .iter()
        .any(|start| address.starts_with(start))
}

fn remedy(error: &ProbeError) -> String {
    let text = match error {
        ProbeError::Url(_) => "write redis://[user][:password@]host[:port][/database]",
        ProbeError::Unreachable(..) => {
            "check that the server is up, and that host and port are right; a container reaches \
             another by its service's name, not by localhost"
        }
        ProbeError::Tls(_, cause) => {
            let cause = cause.to_string();
            if cause.contains("UnknownIssuer") {
                "set SSL_CERT_FILE to a file with the certificate of the authority that signed the \
                 server's"
            } else if cause.contains("NotValidForName") || cause.contains("not valid for name") {
                "write a host in STATE_STORE that the certificate names"
            } else {
                "write redis:// in STATE_STORE if the server does not use TLS at this port"
            }
        }
        ProbeError::Login(_, cause) => {
            let cause = cause.to_string();
            if cause.contains("WRONGPASS") || cause.contains("NOAUTH") || cause.contains("AUTH") {
                "correct the user or the password in STATE_STORE; special characters of a password \
                 need percent-encoding"
            } else if cause.contains("DB index") || cause.contains("SELECT") {
                "correct the number at the end of STATE_STORE: the server has no such database"
            } else if cause.contains("HELLO") || cause.contains("unknown command") {
                "use Redis or Valkey, version 6.2 or later"
            } else {
                "write rediss:// in STATE_STORE if the server uses TLS at this port"
            }
        }
        ProbeError::Refused(_, command, cause) => {
            let cause = cause.to_string().to_ascii_uppercase();
            if cause.contains("NOPERM") || cause.contains("PERMISSION") {
                return format!("allow the user {command}: ACL SETUSER <user> {RIGHTS}");
            }
            if cause.contains("READONLY") || cause.contains("READ ONLY") {
                "write the primary in STATE_STORE: this server is a replica, which is read-only"
            } else {
                "configure the server to accept the command before you start the service"
            }
        }
    };
    text.to_owned()
}

/// The service's user needs these permissions
const RIGHTS: &str = "~warp-bearer:* &warp-bearer:* +set +get +zadd +zscan +zremrangebyscore \
                      +publish +subscribe +hello +select +time +info +ping";
