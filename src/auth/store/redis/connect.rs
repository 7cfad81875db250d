//! Opens a connection to Redis. TLS always uses `aws-lc-rs`, even if the build enables another
//! provider.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, PushInfo, RedisError,
    aio::{MultiplexedConnection, SendError},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, crypto, pki_types::ServerName},
};

use crate::auth::{blocking::Blocking, display::ShownText, store::redis::url::Address};

/// The timeout for connecting, including the TLS handshake and the login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long one address may take before we try the next address of the same name in parallel. The
/// value is that of RFC 8305 §5.
const NEXT_ADDRESS_DELAY: Duration = Duration::from_millis(250);

/// The number of commands that can be queued for the connection's task. The crate's default is 50,
/// with which claims would wait for each other.
const QUEUE: usize = 1024;

#[derive(Debug)]
pub(super) enum OpenError {
    Tcp(io::Error),
    Tls(io::Error),
    Login(RedisError),
    TimedOut,
}

impl From<OpenError> for RedisError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Tcp(error) | OpenError::Tls(error) => error.into(),
            OpenError::Login(error) => error,
            OpenError::TimedOut => io::Error::from(io::ErrorKind::TimedOut).into(),
        }
    }
}

/// An open connection. Dropping it closes the socket.
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    driver: JoinHandle<()>,
}

/// Formats an error of the connection to this address. The server's text may repeat the password --
/// a server that doesn't know `HELLO` will repeat the arguments.
pub(super) fn shown(address: &Address, error: &RedisError) -> ShownText {
    let text = error.to_string();
    let text = text.split(", with args").next().unwrap_or_default();
    let password = address.login.password().unwrap_or_default();
    let repeats_password = !password.is_empty() && text.contains(password);
    match error.code() {
        Some(code @ ("WRONGPASS" | "NOAUTH")) => ShownText::message(code),
        code if repeats_password => {
            ShownText::message(code.unwrap_or("not shown, because it contains the password"))
        }
        _ => ShownText::message(text),
    }
}

impl Connection {
    /// Connects and logs in. Messages from subscribed channels are passed to `on_push`.
    pub(super) async fn open(
        address: &Address,
        tls: &Tls,
        lookup: &Lookup,
        command_timeout: Duration,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let connecting = Self::connect(address, tls, lookup, deadline, command_timeout, on_push);
        let connected = timeout_at(deadline, connecting).await;
        connected.unwrap_or(Err(OpenError::TimedOut))
    }

    async fn connect(
        address: &Address,
        tls: &Tls,
        lookup: &Lookup,
        deadline: Instant,
        command_timeout: Duration,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let addresses = lookup.addresses(address).await;
        let addresses = addresses.map_err(OpenError::Tcp)?;
        let tcp = connect_any(addresses, TcpStream::connect).await;
        let tcp = tcp.map_err(OpenError::Tcp)?;
        tcp.set_nodelay(true).map_err(OpenError::Tcp)?;
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(command_timeout))
            .set_pipeline_buffer_size(QUEUE)
            .set_push_sender(move |push| {
                on_push(push);
                Ok::<_, SendError>(())
            });
        let logged_in = if address.tls {
            // A server without TLS might never respond; it typically waits for the end of a line.
            let handshake = timeout_at(deadline, handshake(address, tls, tcp)).await;
            let stream = handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let stream = stream.map_err(OpenError::Tls)?;
            Self::log_in(address, stream, config).await
        } else {
            Self::log_in(address, tcp, config).await
        };
        logged_in.map_err(OpenError::Login)
    }

    async fn log_in(
        address: &Address,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        config: AsyncConnectionConfig,
    ) -> Result<Self, RedisError> {
        let (commands, driver) =
            MultiplexedConnection::new_with_config(&address.login, stream, config).await?;
        Ok(Self {
            commands,
            driver: tokio::spawn(driver),
        })
    }

    pub(super) async fn closed(&mut self) {
        let _ = (&mut self.driver).await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Looks up the addresses of the server. If the lookup takes longer than an attempt to connect, the
/// next attempt uses its result, as each lookup keeps a blocking thread busy.
#[derive(Default)]
pub(super) struct Lookup(Blocking<Vec<SocketAddr>, io::Error>);

impl Lookup {
    async fn addresses(&self, address: &Address) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (address.host.clone(), address.port);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![(ip, port).into()]);
        }
        let lookup = move || Ok((&*host, port).to_socket_addrs()?.collect());
        self.0.run(lookup).await?
    }
}

/// Connects to the first address that accepts a connection. Since the deadline covers all of them,
/// we try the next address when the one before has failed, or hasn't answered for a while.
async fn connect_any<S, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut addresses = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        let ended = match addresses.next() {
            Some(address) => {
                attempts.spawn(connect(address));
                let Ok(ended) = timeout(NEXT_ADDRESS_DELAY, attempts.join_next()).await else {
                    continue;
                };
                ended
            }
            None => attempts.join_next().await,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(panic)) => failure = panic.into(),
            None => return Err(failure),
        }
    }
}

async fn handshake(
    address: &Address,
    tls: &Tls,
    tcp: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let shaken = tls.connector().await?.connect(name, tcp).await;
    if shaken.is_err() {
        tls.failed().await;
    }
    shaken
}

/// The minimum time for which we use the certificate authorities. Reading them takes about 70 ms,
/// which every attempt to connect to an untrusted server would otherwise repeat.
const AUTHORITIES_TTL: Duration = Duration::from_secs(60);

/// The settings of TLS: we trust the certificate authorities of the system or of `SSL_CERT_FILE`.
#[derive(Default)]
pub(super) struct Tls {
    authorities: Mutex<Option<Authorities>>,
    reading: Blocking<TlsConnector, io::Error>,
}

struct Authorities {
    connector: TlsConnector,
    read: Instant,
}

impl Tls {
    /// Gets the settings, reading them on a blocking thread. Reading them here would stop
    /// everything else on this thread. If an attempt to connect does not wait until they are read, the
    /// next attempt uses the result.
    async fn connector(&self) -> io::Result<TlsConnector> {
        self.connector_from(tls_connector).await
    }

    async fn connector_from(
        &self,
        read: impl FnOnce() -> io::Result<TlsConnector> + Send + 'static,
    ) -> io::Result<TlsConnector> {
        let mut authorities = self.authorities.lock().await;
        if let Some(Authorities { connector, .. }) = &*authorities {
            return Ok(connector.clone());
        }
        let connector = self.reading.run(read).await??;
        let read = Instant::now();
        *authorities = Some(Authorities {
            connector: connector.clone(),
            read,
        });
        Ok(connector)
    }

    /// Makes the next connection read the settings again after a failed handshake. The server might
    /// have a new certificate authority.
    async fn failed(&self) {
        let mut authorities = self.authorities.lock().await;
        authorities.take_if(|authorities| authorities.read.elapsed() >= AUTHORITIES_TTL);
    }
}

fn tls_connector() -> io::Result<TlsConnector> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(BuilderVerifierExt::with_platform_verifier)
        .map_err(io::Error::other)?
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    };

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tries_the_next_address_while_one_does_not_answer() {
        use Answer::{Accepts, Refuses, Silent};

        /// What an address does with a connection.
        #[derive(Debug, Clone, Copy)]
        enum Answer {
            Accepts(Duration),
            Refuses,
            Silent,
        }

        type Row<'a> = (&'a str, &'a [Answer], Result<usize, io::ErrorKind>, u64);

        const AT_ONCE: Answer = Accepts(Duration::ZERO);
        const SLOWLY: Answer = Accepts(Duration::from_millis(300));
        #[rustfmt::skip]
        let rows: [Row<'_>; 9] = [
            ("only one", &[AT_ONCE], Ok(0), 0),
            ("the first of two", &[AT_ONCE, AT_ONCE], Ok(0), 0),
            ("after one that refuses", &[Refuses, AT_ONCE], Ok(1), 0),
            ("after one that is silent", &[Silent, AT_ONCE], Ok(1), 250),
            ("after three that are silent", &[Silent, Silent, Silent, AT_ONCE], Ok(3), 750),
            ("after several", &[Silent, Refuses, Silent, AT_ONCE], Ok(3), 500),
            ("the first one, late", &[SLOWLY, Silent], Ok(0), 300),
            ("all refuse", &[Refuses, Refuses], Err(io::ErrorKind::ConnectionRefused), 0),
            ("no address", &[], Err(io::ErrorKind::NotFound), 0),
        ];
        for (case, answers, expected, millis) in rows {
            let ports = 0..u16::try_from(answers.len()).unwrap();
            let addresses = ports.map(|port| ([127, 0, 0, 1], port).into());
            let answers = answers.to_vec();
            let begin = Instant::now();
            let connected = connect_any(addresses.collect(), |address| {
                let number = usize::from(address.port());
                let answer = answers[number];
                async move {
                    match answer {
                        Accepts(after) => tokio::time::sleep(after).await,
                        Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                        Silent => std::future::pending().await,
                    }
                    Ok(number)
                }
            });
            let connected = timeout(CONNECT_TIMEOUT, connected).await.unwrap();
            assert_eq!(connected.map_err(|error| error.kind()), expected, "{case}");
            let took = begin.elapsed();
            // timers have a resolution of a millisecond
            let slack = Duration::from_millis(5);
            let expected = Duration::from_millis(millis);
            assert!(
                took >= expected && took <= expected + slack,
                "{case}: {took:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reads_the_certificate_authorities_again_after_a_failed_handshake() {
        let tls = Tls::default();
        let mut last = tls.connector().await.unwrap();
        for (case, seconds, fails, expected) in [
            ("at once", 0, false, false),
            ("later", 100, false, false),
            ("after a failure", 0, true, true),
            ("after another one, too early", 59, true, false),
            ("after a minute", 1, true, true),
        ] {
            advance(Duration::from_secs(seconds)).await;
            if fails {
                tls.failed().await;
            }
            let connector = tls.connector().await.unwrap();
            let is_new = !Arc::ptr_eq(connector.config(), last.config());
            assert_eq!(is_new, expected, "{case}");
            last = connector;
        }
    }

    #[tokio::test]
    async fn slow_read_of_the_certificate_authorities_is_used_by_the_next_connection() {
        const ATTEMPT: Duration = Duration::from_millis(20);
        let tls = Tls::default();
        let reads = Arc::new(AtomicUsize::new(0));
        let (go_on, end) = mpsc::channel::<()>();
        let end = Arc::new(StdMutex::new(end));
        let connect = async || {
            let (reads, end) = (Arc::clone(&reads), Arc::clone(&end));
            let read = move || {
                reads.fetch_add(1, Relaxed);
                let _ = end.lock().unwrap().recv();
                tls_connector()
            };
            timeout(ATTEMPT, tls.connector_from(read)).await
        };
        for _ in 0..5 {
            assert!(connect().await.is_err(), "still reading");
        }
        drop(go_on);
        while connect().await.is_err() {}
        assert_eq!(reads.load(Relaxed), 1);
    }

    #[test]
    fn errors_do_not_show_the_password() {
        let address = Address::parse("redis://:sEcret99@127.0.0.1").unwrap();
        let rows = [
            ("WRONGPASS invalid username-password pair", "WRONGPASS"),
            ("WRONGPASS invalid sEcret99", "WRONGPASS"),
            ("NOAUTH HELLO must be called", "NOAUTH"),
            (
                "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'default' 'sEcret99'",
                "unknown command 'HELLO'",
            ),
            ("ODD the word is sEcret99", "ODD"),
            ("ERR DB index is out of range", "DB index is out of range"),
        ];
        for (reply, expected) in rows {
            let reply = format!("-{reply}\r\n");
            let reply = redis::parse_redis_value(reply.as_bytes()).unwrap();
            let error = reply.extract_error().unwrap_err();
            let text = shown(&address, &error).to_string();
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("sEcret99"), "{text}");
        }
    }
}
