//! Blocks connections to local addresses for URLs from an issuer's metadata.
//!
//! Local addresses are those of this machine, link-local addresses, and those of cloud metadata
//! services. A remote issuer could put one into its discovery document to make us send requests
//! there (SSRF). [`Guard`] checks the addresses after name resolution, because any name might
//! resolve to a local address. Configured URLs are not checked. See
//! [`FetchUrl`](crate::auth::keys::fetch::FetchUrl).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};

/// The cloud metadata services whose addresses are not link-local. They provide credentials to
/// every process on a machine.
const METADATA_SERVICES: [IpAddr; 8] = [
    // AWS: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // AWS: https://docs.aws.amazon.com/eks/latest/userguide/pod-id-how-it-works.html
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Google Cloud: https://cloud.google.com/compute/docs/metadata/querying-metadata
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Oracle Cloud: https://docs.oracle.com/en-us/iaas/Content/Compute/Tasks/gettingmetadata.htm
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Scaleway: https://cloudinit.readthedocs.io/en/latest/reference/datasources/scaleway.html
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    // Alibaba Cloud: https://www.alibabacloud.com/help/en/ecs/user-guide/view-instance-metadata
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Azure:
    // https://learn.microsoft.com/en-us/azure/virtual-network/what-is-ip-address-168-63-129-16
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Oracle Cloud Classic:
    // https://docs.oracle.com/en/cloud/iaas/compute-iaas-cloud/stcsg/retrieving-instance-metadata.html
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Checks whether `ip` belongs to this machine or a cloud metadata service, or is link-local.
pub(in crate::auth) fn is_local(ip: IpAddr) -> bool {
    let is_near = |ip: IpAddr| is_link_local(ip) || METADATA_SERVICES.contains(&ip);
    is_this_machine(ip) || is_near(ip) || embedded(ip).into_iter().any(|v4| is_near(v4.into()))
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

/// A loopback address, or an unspecified one, which connects to loopback. All of 0.0.0.0/8 counts
/// as unspecified ("this network", RFC 6890).
fn is_this_machine(ip: IpAddr) -> bool {
    let v4 = |ip: Ipv4Addr| ip.is_loopback() || ip.octets()[0] == 0;
    match ip {
        IpAddr::V4(ip) => v4(ip),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unspecified() || embedded(ip.into()).into_iter().any(v4)
        }
    }
}

/// The IPv4 addresses that an IPv6 address may represent: mapped and compatible (RFC 4291 §2.5.5),
/// translated (SIIT, RFC 2765 §2.1), NAT64 (RFC 6052 §2.1, RFC 8215), or 6to4 (RFC 3056).
fn embedded(ip: IpAddr) -> Vec<Ipv4Addr> {
    let IpAddr::V6(v6) = ip else {
        return Vec::new();
    };
    let octets = v6.octets();
    let at = |places: [usize; 4]| Ipv4Addr::from(places.map(|place| octets[place]));
    let last = at([12, 13, 14, 15]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![last],
        // Each network chooses a prefix of 48, 56, 64 or 96 bits (RFC 6052 §2.2), so we have to try
        // all of them. An address that begins with zeros will be the result of a wrong length,
        // ignore it.
        [0x64, 0xff9b, 1, ..] => {
            let lengths = [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12]];
            let all = lengths.into_iter().map(at).chain([last]);
            all.filter(|v4| v4.octets()[0] != 0).collect()
        }
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        _ => Vec::new(),
    }
}

/// The host of `url` if it is a local address or a `localhost` name (RFC 6761 §6.3). Note that the
/// URL parser has already normalized the address, e.g. `0x7f.1`.
pub(in crate::auth) fn local_host(url: &Url) -> Option<&str> {
    let is_local = is_localhost(url) || address(url).is_some_and(is_local);
    url.host_str().filter(|_| is_local)
}

/// Checks whether the host of `url` is this machine. We do not resolve its name for that.
pub(in crate::auth) fn is_here(url: &Url) -> bool {
    is_localhost(url) || address(url).is_some_and(is_this_machine)
}

fn is_localhost(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let name = host.strip_suffix('.').unwrap_or(host);
    name == "localhost" || name.ends_with(".localhost")
}

fn address(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_matches(['[', ']']).parse().ok()
}

/// The error for a name that resolves only to local addresses
#[derive(Debug)]
pub(in crate::auth) struct Local(pub(in crate::auth) IpAddr);

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} belongs to this machine, to its local link or to a cloud metadata service",
            self.0
        )
    }
}

impl std::error::Error for Local {}

/// A resolver that removes the local addresses of one host name.
///
/// It leaves other names alone. With a forward proxy we only resolve the proxy's name here, and the
/// proxy may well be on this machine.
pub(in crate::auth) struct Guard<R> {
    host: String,
    resolver: R,
}

impl<R> Guard<R> {
    pub(in crate::auth) fn new(host: impl Into<String>, resolver: R) -> Self {
        let host = host.into();
        Self { host, resolver }
    }
}

impl<R: Resolve> Resolve for Guard<R> {
    fn resolve(&self, name: Name) -> Resolving {
        let is_guarded = name.as_str().eq_ignore_ascii_case(&self.host);
        let resolving = self.resolver.resolve(name);
        if !is_guarded {
            return resolving;
        }
        Box::pin(async move {
            let (local, elsewhere): (Vec<_>, Vec<_>) =
                resolving.await?.partition(|address| is_local(address.ip()));
            match local.first() {
                Some(first) if elsewhere.is_empty() => Err(Local(first.ip()).into()),
                _ => Ok(Box::new(elsewhere.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::auth::keys::name_lookup::System;

    const LOCAL: [&str; 39] = [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.1.2.3",
        "169.254.169.254",
        "::1",
        "::",
        "fe80::1",
        "febf::1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "::0.0.0.2",
        "64:ff9b::127.0.0.1",
        "64:ff9b::169.254.169.254",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "2002::",
        "::ffff:127.255.255.255",
        "::ffff:0:127.0.0.1",
        "::ffff:0:169.254.169.254",
        "64:ff9b:1::127.0.0.1",
        "64:ff9b:1:fffe::169.254.169.254",
        "64:ff9b:1:7f00:0:100::",
        "64:ff9b:1:7f:0:1::",
        "64:ff9b:1:1:7f:0:100:0",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "::ffff:100.100.100.200",
        "64:ff9b::168.63.129.16",
        "2002:6464:64c8::",
        "::ffff:0:100.100.100.200",
    ];

    const ELSEWHERE: [&str; 16] = [
        "192.0.2.1",
        "10.0.0.1",
        "128.0.0.1",
        "169.253.0.1",
        "2001:db8::1",
        "fec0::1",
        "::ffff:192.0.2.1",
        "64:ff9b::192.0.2.1",
        "2002:c000:201::1",
        "::ffff:0:192.0.2.1",
        "64:ff9b:1:c000:2:100::",
        "64:ff9b:1::192.0.2.1",
        "64:ff9b:2::127.0.0.1",
        "100.100.100.201",
        "fd00:ec3::254",
        "fd12:3456:789a::1",
    ];

    #[test]
    fn recognizes_local_addresses_in_every_form() {
        for (addresses, expected) in [(&LOCAL[..], true), (&ELSEWHERE[..], false)] {
            for address in addresses {
                assert_eq!(is_local(address.parse().unwrap()), expected, "{address}");
            }
        }
    }

    #[test]
    fn recognizes_local_hosts_in_every_spelling() {
        let literal = |address: &&str| match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        let spellings = [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "a.localhost.",
            "127.1",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "0x7f000001",
            "127.0.0.1.",
            "0",
            "１２７.0.0.1",
            "%31%32%37.0.0.1",
        ];
        let local = LOCAL.iter().map(literal);
        for host in local.chain(spellings.map(str::to_owned)) {
            let url = Url::parse(&format!("https://{host}/keys")).unwrap();
            assert!(local_host(&url).is_some(), "{host}");
        }
        let names = ["localhost.example", "alocalhost", "127.0.0.1.example"];
        let elsewhere = ELSEWHERE.iter().map(literal);
        for host in elsewhere.chain(names.map(str::to_owned)) {
            let url = Url::parse(&format!("https://{host}/keys")).unwrap();
            assert_eq!(local_host(&url), None, "{host}");
        }
    }

    #[test]
    fn link_local_addresses_are_not_this_machine() {
        for (host, expected) in [
            ("127.0.0.1", true),
            ("0.0.0.0", true),
            ("[::ffff:127.0.0.1]", true),
            ("[::]", true),
            ("localhost.", true),
            ("169.254.169.254", false),
            ("[fe80::1]", false),
            ("[::ffff:169.254.169.254]", false),
            ("192.0.2.1", false),
            ("a.example", false),
        ] {
            let url = Url::parse(&format!("https://{host}/")).unwrap();
            assert_eq!(is_here(&url), expected, "{host}");
        }
    }

    struct Always(&'static [&'static str]);

    impl Resolve for Always {
        fn resolve(&self, _: Name) -> Resolving {
            let addresses = self.0.iter().map(|ip| ip.parse().unwrap());
            let addresses: Vec<IpAddr> = addresses.collect();
            let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Box::pin(async move { Ok(Box::new(addresses) as Addrs) })
        }
    }

    #[tokio::test]
    async fn removes_local_addresses_of_a_guarded_name() {
        type Row = (&'static str, Addresses, Result<Addresses, &'static str>);
        type Addresses = &'static [&'static str];
        let rows: [Row; 5] = [
            ("keys.example", &["192.0.2.1"], Ok(&["192.0.2.1"])),
            ("Keys.Example", &["::1", "192.0.2.1"], Ok(&["192.0.2.1"])),
            ("keys.example", &["127.0.0.1"], Err("127.0.0.1")),
            (
                "keys.example",
                &["::ffff:127.0.0.1", "::"],
                Err("::ffff:127.0.0.1"),
            ),
            ("proxy.example", &["127.0.0.1"], Ok(&["127.0.0.1"])),
        ];
        for (name, resolved, expected) in rows {
            let guard = Guard::new("keys.example", Always(resolved));
            let found = guard.resolve(name.parse().unwrap()).await;
            let found = found.map(|found| found.map(|at| at.ip().to_string()).collect::<Vec<_>>());
            let found = found.map_err(|error| error.downcast::<Local>().unwrap().0.to_string());
            let expected = expected.map(|ips| ips.iter().map(|&ip| ip.to_owned()).collect());
            assert_eq!(found, expected.map_err(str::to_owned), "{name}");
        }
    }

    #[tokio::test]
    async fn guard_rejects_what_the_system_resolver_returns_for_localhost() {
        let resolved = System.resolve("localhost".parse().unwrap()).await.unwrap();
        assert!(resolved.map(|at| at.ip()).all(is_local));
        let guard = Guard::new("localhost", System);
        let refused = guard.resolve("localhost".parse().unwrap()).await;
        assert!(refused.err().unwrap().is::<Local>());
    }
}
