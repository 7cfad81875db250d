//! Parses the URL of a Redis server.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};

pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) login: RedisConnectionInfo,
}

/// The reason why a URL is not a store URL. It does not quote the URL, which may contain a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidStoreUrl {
    /// The scheme is neither `redis` nor `rediss`.
    #[error("does not begin with redis:// or rediss://")]
    Scheme,
    /// The URL has a query or a fragment. Other clients read options there, e.g. `#insecure`.
    #[error("has a query or a fragment, which a store's URL must not have")]
    Decorated,
    /// The path is not a database number.
    #[error("has a path that is not the number of a database, such as /0")]
    Database,
    /// The URL has no host, or we can't parse it. A password must be percent-encoded.
    #[error("is not a URL with a host; is a special character of the password percent-encoded?")]
    NotAUrl,
}

impl InvalidStoreUrl {
    /// The problem as a phrase, to append to the name of a setting
    #[cfg(feature = "service")]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "does not begin with redis:// or rediss://",
            Self::Decorated => "has a query or a fragment",
            Self::Database => "has a path that is not the number of a database",
            Self::NotAUrl => {
                "is not a URL with a host; special characters of a password need percent-encoding"
            }
        }
    }
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, InvalidStoreUrl> {
        let (tls, rest) = if let Some(rest) = strip_scheme(url, "redis") {
            (false, rest)
        } else if let Some(rest) = strip_scheme(url, "rediss") {
            (true, rest)
        } else {
            return Err(InvalidStoreUrl::Scheme);
        };
        if rest.contains(['?', '#']) {
            return Err(InvalidStoreUrl::Decorated);
        }
        let at = rest.rfind('@').map_or(0, |at| at + 1);
        if let Some((_, database)) = rest[at..].split_once('/')
            && !database.is_empty()
            && (!database.bytes().all(|byte| byte.is_ascii_digit())
                || database.parse::<u16>().is_err())
        {
            return Err(InvalidStoreUrl::Database);
        }
        // we do TLS ourselves, the crate gets the URL of a plain connection
        let info = format!("redis://{rest}").into_connection_info();
        let info = info.map_err(|_| InvalidStoreUrl::NotAUrl)?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(InvalidStoreUrl::NotAUrl);
        };
        Ok(Self {
            host: host.clone(),
            port: *port,
            tls,
            login: info
                .redis_settings()
                .clone()
                .set_protocol(ProtocolVersion::RESP3),
        })
    }
}

fn strip_scheme<'t>(url: &'t str, scheme: &str) -> Option<&'t str> {
    let (found, rest) = url.split_once("://")?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Only the host and the port
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_port_login_and_database() {
        for (url, shown, tls, user, password, database) in [
            ("redis://127.0.0.1", "127.0.0.1:6379", false, None, None, 0),
            (
                "redis://a.example:7000/3",
                "a.example:7000",
                false,
                None,
                None,
                3,
            ),
            ("REDISS://a.example/", "a.example:6379", true, None, None, 0),
            (
                "rediss://:p%40ss@[::1]:1",
                "::1:1",
                true,
                None,
                Some("p@ss"),
                0,
            ),
            ("redis://u:p@h/1", "h:6379", false, Some("u"), Some("p"), 1),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!(address.to_string(), shown, "{url}");
            assert_eq!(address.tls, tls, "{url}");
            assert_eq!(address.login.username(), user, "{url}");
            assert_eq!(address.login.password(), password, "{url}");
            assert_eq!(address.login.db(), database, "{url}");
        }
    }

    #[test]
    fn rejects_invalid_store_urls() {
        use InvalidStoreUrl::{Database, Decorated, NotAUrl, Scheme};
        for (url, fault) in [
            ("", Scheme),
            ("localhost:6379", Scheme),
            ("http://localhost", Scheme),
            ("unix:///run/redis.sock", Scheme),
            ("redis+unix:///run/redis.sock", Scheme),
            ("redis:/localhost", Scheme),
            ("redis://", NotAUrl),
            ("redis://:6379", NotAUrl),
            ("redis://h:port", NotAUrl),
            ("redis://h:70000", NotAUrl),
            ("redis://0.0.0.0", NotAUrl),
            ("redis://u:a/b@h:port", NotAUrl),
            ("redis://h/zero", Database),
            ("redis://h/-1", Database),
            ("redis://h/0/1", Database),
            ("redis://h/99999", Database),
            ("rediss://h#insecure", Decorated),
            ("redis://h?protocol=resp2", Decorated),
        ] {
            let found = Address::parse(url).err();
            assert_eq!(found, Some(fault), "{url}");
        }
    }
}
