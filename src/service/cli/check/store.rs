//! Checks the state store: connects in the same way as the service, and tries every command that
//! the service needs.

use crate::{
    auth::store::{ProbeError, Probed, Store},
    service::{
        cli::{auth, check::report::Section, terminal::Mark},
        config::Config,
    },
};

/// Returns the findings. `None` if there is no shared store.
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
            let more = way_out(&error);
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
            "what takes longer is answered with 503; raise STATE_STORE_TIMEOUT, or move the store closer",
        );
    }
    if probed.is_tls {
        section.add(Mark::Good, "TLS", "the certificate is trusted");
    } else if !is_here(&probed.address) {
        let more = "rediss:// in STATE_STORE, where the server has TLS";
        let text = "none: the password and the list of revocations are sent in clear";
        section.add_more(Mark::Note, "TLS", text, more);
    }
    section.add(
        Mark::Good,
        "rights",
        "each command of the service is allowed",
    );
    match &probed.version {
        Some(version) => {
            let text = format!("{} {}", version.product, version.number);
            if version.is_supported() {
                section.add(Mark::Good, "version", text);
            } else {
                let more = "6.2 or later is supported";
                section.add_more(Mark::Bad, "version", text, more);
            }
        }
        None => section.add(Mark::Note, "version", "not known: INFO does not name it"),
    }
    match probed.eviction.as_deref() {
        Some("noeviction") => {
            section.add(Mark::Good, "memory", "nothing is evicted when it is full");
        }
        Some(policy) => section.add_more(
            Mark::Note,
            "memory",
            format!("maxmemory-policy is {policy}: when it is full, used proofs may be forgotten, and pass again"),
            "CONFIG SET maxmemory-policy noeviction",
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
            "keep both by NTP: after a store came back empty, proofs get 503 for as long as the clocks differ",
        );
    }
}

fn is_here(address: &str) -> bool {
    ["127.", "localhost:", "::1:"]
        .iter()
        .any(|start| address.starts_with(start))
}

/// Returns the advice for an error.
fn way_out(error: &ProbeError) -> String {
    let text = match error {
        ProbeError::Url(_) => "redis://[user][:password@]host[:port][/database]",
        ProbeError::Unreachable(..) => {
            "is the server up, and are host and port right? A container reaches another by its \
             service's name, not by localhost"
        }
        ProbeError::Tls(_, cause) => {
            let cause = cause.to_string();
            if cause.contains("UnknownIssuer") {
                "SSL_CERT_FILE names a file with the certificate of the authority that signed the \
                 server's"
            } else if cause.contains("NotValidForName") || cause.contains("not valid for name") {
                "the host in STATE_STORE has to be one that the certificate names"
            } else {
                "redis:// in STATE_STORE, if the server has no TLS at this port"
            }
        }
        ProbeError::Login(_, cause) => {
            let cause = cause.to_string();
            if cause.contains("WRONGPASS") || cause.contains("NOAUTH") || cause.contains("AUTH") {
                "the user or the password in STATE_STORE is not right; special characters of a \
                 password need percent-encoding"
            } else if cause.contains("DB index") || cause.contains("SELECT") {
                "the server has no database of the number at the end of STATE_STORE"
            } else if cause.contains("HELLO") || cause.contains("unknown command") {
                "Redis or Valkey 6.2 or later is supported"
            } else {
                "rediss:// in STATE_STORE, if the server has TLS at this port"
            }
        }
        ProbeError::Refused(_, command, cause) => {
            let cause = cause.to_string().to_ascii_uppercase();
            if cause.contains("NOPERM") || cause.contains("PERMISSION") {
                return format!("the user's ACL lacks {command}: ACL SETUSER <user> {RIGHTS}");
            }
            if cause.contains("READONLY") || cause.contains("READ ONLY") {
                "it is a replica, which cannot be written to; STATE_STORE has to name the primary"
            } else {
                "the server has to accept the command before the service is started"
            }
        }
    };
    text.to_owned()
}

/// The permissions that the service's user needs.
const RIGHTS: &str = "~warp-bearer:* &warp-bearer:* +set +get +zadd +zscan +zremrangebyscore \
                      +publish +subscribe +hello +select +time +info +ping";
