//! TLS: protocols, versions, certificates and failed handshakes.

use std::{fs, path::Path, sync::Arc, time::Duration};

use rcgen::{CertifiedKey, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion, crypto,
        pki_types::{CertificateDer, ServerName},
        version::{TLS12, TLS13},
    },
};
use warp_bearer::service::{
    Access, Limits, Listener, Metrics, RequestLog, Shutdown, Tls,
    http::tls::{ClientAuth, Files},
    routes, serve,
};

use crate::support::Tenant;
use crate::support::clock::StoppedClock;

const GET: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A key for a curve that TLS libraries don't support
const SECP256K1: &str = "\
-----BEGIN PRIVATE KEY-----
MIGEAgEAMBAGByqGSM49AgEGBSuBBAAKBG0wawIBAQQgOcsKghqxuWjGncDB0Dmw
EQcX220RUxbfbO26Q1sj8fShRANCAASXEytLJjCtfGVElGggBNWkaEUOjEabgz24
575/tihUfhdm5j0gs8yXXgCEBrckk3FPyJ1fFRjcjsgY6JsM9P53
-----END PRIVATE KEY-----
";
const FOREVER: Duration = Duration::from_secs(20);

struct Pair {
    directory: TempDir,
}

impl Pair {
    fn new() -> (Self, CertificateDer<'static>) {
        let pair = Self {
            directory: TempDir::new().unwrap(),
        };
        let certificate = pair.renew();
        (pair, certificate)
    }

    fn files(&self) -> Files {
        Files {
            clients: ClientAuth::Off,
            certificate: self.directory.path().join("tls.crt"),
            key: self.directory.path().join("tls.key"),
        }
    }

    /// Replaces the certificate and its key.
    fn renew(&self) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.files().certificate, cert.pem()).unwrap();
        fs::write(self.files().key, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }
}

struct Service {
    address: std::net::SocketAddr,
    tls: Tls,
    metrics: Metrics,
    shutdown: Shutdown,
    served: tokio::task::JoinHandle<()>,
    _tenant: Tenant,
}

impl Service {
    async fn start(pair: &Pair, limits: Limits) -> Self {
        Self::with_files(pair.files(), limits).await
    }

    async fn with_files(files: Files, limits: Limits) -> Self {
        let tenant = Tenant::start().await;
        let tls = Tls::load(files).unwrap();
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.address().unwrap();
        let shutdown = Shutdown::new();
        let metrics = Metrics::new(&tenant.auth);
        let served = tokio::spawn(serve(
            listener.with_tls(tls.clone()),
            routes(&Access::from(&tenant.auth), &shutdown),
            limits,
            None,
            RequestLog::with_metrics(metrics.clone()),
            shutdown.clone(),
        ));
        Self {
            address,
            tls,
            metrics,
            shutdown,
            served,
            _tenant: tenant,
        }
    }

    async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect(&self, client: Client<'_>) -> TlsStream<TcpStream> {
        client.connect(self.tcp().await).await.unwrap()
    }
}

/// A client that trusts one certificate, and offers this TLS version and these protocols.
#[derive(Clone, Copy)]
struct Client<'a> {
    trusts: &'a CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    offers: &'a [&'a [u8]],
}

impl<'a> Client<'a> {
    fn trusting(trusts: &'a CertificateDer<'static>) -> Self {
        Self {
            trusts,
            version: &TLS13,
            offers: &[],
        }
    }

    async fn connect(self, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusts.clone()).unwrap();
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = self.offers.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
    }
}

async fn status(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(GET.as_bytes()).await.unwrap();
    let mut heard = [0; 4096];
    let length = timeout(FOREVER, stream.read(&mut heard))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&heard[..length])
        .chars()
        .take(12)
        .collect()
}

#[tokio::test]
async fn speaks_both_tls_versions_and_offers_http2() {
    let (pair, certificate) = Pair::new();
    let service = Service::start(&pair, Limits::default()).await;
    let client = Client::trusting(&certificate);
    #[rustfmt::skip]
    let rows = [
        ("1.3", Client { version: &TLS13, ..client }, ProtocolVersion::TLSv1_3, None),
        ("1.2", Client { version: &TLS12, ..client }, ProtocolVersion::TLSv1_2, None),
        ("HTTP/1.1", Client { offers: &[b"http/1.1"], ..client }, ProtocolVersion::TLSv1_3, Some(&b"http/1.1"[..])),
        ("either", Client { offers: &[b"http/1.1", b"h2"], ..client }, ProtocolVersion::TLSv1_3, Some(b"h2")),
        ("either in 1.2", Client { version: &TLS12, offers: &[b"h2", b"http/1.1"], ..client }, ProtocolVersion::TLSv1_2, Some(b"h2")),
    ];
    for (case, client, version, protocol) in rows {
        let mut stream = service.connect(client).await;
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(version), "{case}");
        assert_eq!(session.alpn_protocol(), protocol, "{case}");
        if protocol != Some(b"h2") {
            assert_eq!(status(&mut stream).await, "HTTP/1.1 200", "{case}");
            continue;
        }
        let (executor, stream) = (
            hyper_util::rt::TokioExecutor::new(),
            hyper_util::rt::TokioIo::new(stream),
        );
        let (mut http2, connection) = hyper::client::conn::http2::handshake(executor, stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::get("https://localhost/livez")
            .body(String::new())
            .unwrap();
        let answer = http2.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{case}");
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate() {
    let (pair, first) = Pair::new();
    let service = Service::start(&pair, Limits::default()).await;
    let mut before = service.connect(Client::trusting(&first)).await;
    assert_eq!(status(&mut before).await, "HTTP/1.1 200");

    let second = pair.renew();
    service.tls.reload();
    let mut after = service.connect(Client::trusting(&second)).await;
    assert_eq!(status(&mut after).await, "HTTP/1.1 200");
    assert_eq!(
        status(&mut before).await,
        "HTTP/1.1 200",
        "the old connection still works"
    );
    let tcp = service.tcp().await;
    assert!(Client::trusting(&first).connect(tcp).await.is_err());
}

#[tokio::test]
async fn notices_changed_files() {
    let (pair, _) = Pair::new();
    let service = Service::start(&pair, Limits::default()).await;
    let clock = StoppedClock::stop();
    tokio::spawn(service.tls.clone().watch());
    for _ in 0..2 {
        let renewed = pair.renew();
        let is_seen = async || {
            let tcp = service.tcp().await;
            Client::trusting(&renewed).connect(tcp).await.is_ok()
        };
        for tries in 0.. {
            if is_seen().await {
                break;
            }
            assert!(tries < 100, "the new certificate is not used in time");
            clock.pass(Duration::from_millis(500)).await;
        }
    }
}

#[tokio::test]
async fn unusable_pair_does_not_replace_a_usable_one() {
    let (pair, first) = Pair::new();
    let service = Service::start(&pair, Limits::default()).await;
    let files = pair.files();
    let garbage = |file: &Path| fs::write(file, "-----BEGIN NOTHING-----").unwrap();
    let breaks: [(&str, &dyn Fn()); 4] = [
        ("half a renewal", &|| {
            let key = KeyPair::generate().unwrap().serialize_pem();
            fs::write(&files.key, key).unwrap();
        }),
        ("no key", &|| garbage(&files.key)),
        ("no certificate", &|| garbage(&files.certificate)),
        ("a missing file", &|| {
            fs::remove_file(&files.certificate).unwrap();
        }),
    ];
    for (case, destroy) in breaks {
        destroy();
        service.tls.reload();
        let mut stream = service.connect(Client::trusting(&first)).await;
        assert_eq!(status(&mut stream).await, "HTTP/1.1 200", "{case}");
    }
    let mended = pair.renew();
    service.tls.reload();
    service.connect(Client::trusting(&mended)).await;
}

#[tokio::test]
async fn unusable_authorities_do_not_block_a_new_certificate() {
    let (pair, _) = Pair::new();
    let authorities = pair.directory.path().join("clients.crt");
    fs::copy(pair.files().certificate, &authorities).unwrap();
    let files = Files {
        clients: ClientAuth::Request {
            authorities: Some(authorities.clone()),
        },
        ..pair.files()
    };
    let service = Service::with_files(files, Limits::default()).await;
    let breaks: [(&str, &dyn Fn()); 2] = [
        ("garbage", &|| fs::write(&authorities, "garbage").unwrap()),
        ("a missing file", &|| fs::remove_file(&authorities).unwrap()),
    ];
    for (case, destroy) in breaks {
        destroy();
        let renewed = pair.renew();
        service.tls.reload();
        let mut stream = service.connect(Client::trusting(&renewed)).await;
        assert_eq!(status(&mut stream).await, "HTTP/1.1 200", "{case}");
    }
}

#[test]
fn reports_unusable_files_at_start() {
    let (pair, _) = Pair::new();
    let good = pair.files();
    let file = |name: &str, text: &str| {
        let path = pair.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let other = file("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let version_1 = file("v1.pem", include_str!("../vectors/x509_v1.pem"));
    let secp256k1 = file("secp256k1.key", SECP256K1);
    let nothing = file("nothing", "");
    let broken = file(
        "broken",
        "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n",
    );
    let absent = pair.directory.path().join("absent");
    let directory = pair.directory.path().to_owned();
    #[rustfmt::skip]
    let rows = [
        ("no certificate", absent.clone(), good.key.clone(), "the certificate", "does not exist"),
        ("a directory", directory, good.key.clone(), "the certificate", "is a directory"),
        ("an empty file", nothing.clone(), good.key.clone(), "the certificate", "has no certificate in it"),
        ("a key instead of a certificate", good.key.clone(), good.key.clone(), "the certificate", "has no certificate in it"),
        ("not PEM", broken, good.key.clone(), "the certificate", "is not PEM"),
        ("no key", good.certificate.clone(), absent, "the key", "does not exist"),
        ("an empty key", good.certificate.clone(), nothing, "the key", "has no private key in it that can be read"),
        ("an X.509 v1 certificate with its key", version_1.clone(), version_1, "the certificate", "cannot be used: it is not a valid X.509 v3 certificate"),
        ("a kind of key without support", good.certificate.clone(), secp256k1, "the key", "cannot be used: only RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521) and Ed25519 keys are supported"),
        ("another key", good.certificate.clone(), other, "the key", "does not belong to the certificate"),
    ];
    for (case, certificate, key, which, why) in rows {
        let error = Tls::load(Files {
            certificate,
            key,
            clients: ClientAuth::Off,
        })
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with(which) && error.ends_with(why),
            "{case}: {error}"
        );
    }
}

#[tokio::test]
async fn handshake_is_limited_by_the_idle_timeout() {
    let (pair, _) = Pair::new();
    let limits = Limits {
        idle: Duration::from_millis(300),
        grace: Duration::from_millis(50),
        ..Limits::default()
    };
    let service = Service::start(&pair, limits).await;
    // The beginning of a handshake record that announces 200 bytes
    let hello = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    for (case, words) in [
        ("silence", &hello[..0]),
        ("a byte", &hello[..1]),
        ("half", &hello),
    ] {
        let start = Instant::now();
        let mut tcp = service.tcp().await;
        tcp.write_all(words).await.unwrap();
        let mut heard = Vec::new();
        let _ = timeout(FOREVER, tcp.read_to_end(&mut heard))
            .await
            .expect(case);
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(290) && took < Duration::from_secs(2),
            "{case}: {took:?}"
        );
    }
}

#[tokio::test]
async fn unfinished_handshake_does_not_delay_shutdown() {
    let (pair, _) = Pair::new();
    let limits = Limits {
        grace: Duration::from_millis(50),
        drain: Duration::from_millis(300),
        ..Limits::default()
    };
    let service = Service::start(&pair, limits).await;
    let mut tcp = service.tcp().await;
    tcp.write_all(&[22, 3, 1]).await.unwrap();
    let start = Instant::now();
    service.shutdown.request();
    timeout(FOREVER, service.served).await.unwrap().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn plain_http_on_the_tls_port_gets_no_answer() {
    let (pair, _) = Pair::new();
    let service = Service::start(&pair, Limits::default()).await;
    let mut tcp = service.tcp().await;
    tcp.write_all(GET.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    let _ = timeout(FOREVER, tcp.read_to_end(&mut heard)).await.unwrap();
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    let text = service.metrics.render();
    assert!(
        text.contains("warp_bearer_connections_unreadable_total 1"),
        "{text}"
    );
}
