//! Decides which `Host` values are accepted by an issuer, and by the service under `dev`: their own
//! address and the names of loopback, with any port or none.
//!
//! A web page can't read responses from another origin, but it can make its own host name resolve
//! to 127.0.0.1 (DNS rebinding), and then has the same origin. Its requests have that name in
//! `Host`, and we reject them here, before a token is issued. `origins.rs` is no help against this,
//! since CORS doesn't apply within an origin.
//!
//! We don't compare the port, because a proxy might send `Host` without a port, or with its own
//! port. This is safe -- the attack needs a host name, as a page at `127.0.0.1` with another port
//! is another origin.

use std::net::{IpAddr, SocketAddr};

use warp::{Filter, Rejection, http::uri::Authority, reject};

/// Matches requests whose `Host` is not the address of the socket or a name of loopback, and
/// requests without a valid `Host`.
pub(crate) fn foreign(
    address: SocketAddr,
) -> impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static {
    let unreadable = |_| async { Ok::<_, Rejection>((None,)) };
    warp::host::optional()
        .or_else(unreadable)
        .and_then(move |host: Option<Authority>| async move {
            let ours = host.is_some_and(|host| names(&host, address));
            if ours {
                Err(reject::not_found())
            } else {
                Ok(())
            }
        })
        .untuple_one()
}

/// Returns true if the host, without its port, belongs to the socket at `address`
fn names(host: &Authority, address: SocketAddr) -> bool {
    let name = host.host().trim_matches(['[', ']']);
    let is_ours = |ip: IpAddr| {
        // If the socket listens on all addresses, any IP address will do. DNS rebinding needs a
        // name.
        ip.is_loopback() || ip == address.ip() || address.ip().is_unspecified()
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(is_ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_the_sockets_address_and_names_of_loopback() {
        #[rustfmt::skip]
        let rows = [
            ("127.0.0.1:80", "127.0.0.1", true),
            ("127.0.0.1:81", "127.0.0.1", true),
            ("127.0.0.1:81", "127.0.0.1:81", true),
            ("127.0.0.1:81", "127.0.0.1:82", true),
            ("127.0.0.1:81", "LocalHost:81", true),
            ("127.0.0.1:81", "[::1]:81", true),
            ("[::1]:81", "127.0.0.1:81", true),
            ("127.0.0.1:81", "localhost.:81", false),
            ("127.0.0.1:81", "localhost.evil.example:81", false),
            ("127.0.0.1:81", "evil.example:81", false),
            ("127.0.0.1:80", "evil.example", false),
            ("127.0.0.1:81", "10.0.0.1:81", false),
            ("10.0.0.1:81", "10.0.0.1:81", true),
            ("0.0.0.0:81", "10.0.0.1:81", true),
            ("0.0.0.0:81", "evil.example:81", false),
        ];
        for (address, host, ours) in rows {
            let host = host.parse().unwrap();
            assert_eq!(
                names(&host, address.parse().unwrap()),
                ours,
                "{address} {host}"
            );
        }
    }
}
