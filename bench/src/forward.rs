//! Measures what a proxy pays for asking the service about each request.
//!
//! Each proxy forwards to an application in three setups: alone, verifying the token itself if it
//! can, and asking `/auth` first. The application is the reference server, which answers at once.
//! We report requests per second of the processor time of proxy, service and application together,
//! and how much longer a request takes at a fixed rate. All of them share one processor, while the
//! load generator has the other to itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    ground::{Ground, SEEN, WARM},
    load::Load,
    pace, peers, processor,
    server::{Server, free_address},
    spread::Spread,
};

#[derive(clap::Args)]
pub struct Options {
    /// The service's binary.
    #[arg(long)]
    service: PathBuf,
    /// The folder with the configurations of the proxies.
    #[arg(long, default_value = "examples/proxies")]
    examples: PathBuf,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Requests in one measurement, which ends after a second at the latest.
    #[arg(long, default_value_t = 5_000)]
    requests: usize,
    /// The proxies, by name.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "nginx,haproxy,caddy,envoy"
    )]
    proxies: Vec<String>,
}

/// The rate, in requests per second, at which latency is measured.
const RATE: f64 = 1_000.0;
const CONNECTIONS: usize = 64;

struct Stack {
    proxy: Server,
    service: Option<Server>,
    application: Server,
}

/// The program that verifies the token before the application gets the request.
#[derive(Clone, Copy, PartialEq)]
enum Gate {
    Open,
    /// The proxy itself, as `bench/peers` configures it.
    Proxy,
    /// The service, as `examples/proxies` configures it.
    Service,
}

struct Case {
    name: &'static str,
    gate: Gate,
    status: u16,
    /// The warm-up requests, and the measured ones.
    requests: fn(&Ground) -> (Vec<Vec<u8>>, Vec<Vec<u8>>),
}

const CASES: [Case; 5] = [
    Case {
        name: "alone",
        gate: Gate::Open,
        status: 200,
        requests: seen,
    },
    Case {
        name: "its own verification",
        gate: Gate::Proxy,
        status: 200,
        requests: seen,
    },
    Case {
        name: "seen tokens",
        gate: Gate::Service,
        status: 200,
        requests: seen,
    },
    Case {
        name: "fresh tokens",
        gate: Gate::Service,
        status: 200,
        requests: fresh,
    },
    Case {
        name: "refused",
        gate: Gate::Service,
        status: 401,
        requests: expired,
    },
];

fn seen(ground: &Ground) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let tokens = ground.callers()[..1_000].to_vec();
    (tokens.clone(), tokens)
}

fn fresh(ground: &Ground) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (warm, rest) = ground.callers().split_at(WARM.min(SEEN) / 5);
    (warm.to_vec(), rest.to_vec())
}

fn expired(ground: &Ground) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    (ground.expired().to_vec(), ground.expired().to_vec())
}

/// The measurements of one case, with a value for each round.
#[derive(Default)]
struct Values {
    rate: Vec<f64>,
    median: Vec<f64>,
    slow: Vec<f64>,
}

pub fn run(options: &Options) {
    processor::keep_to_the_generators();
    let ground = Ground::new(&options.service, options.requests);
    let folder = std::env::temp_dir().join(format!("warp-bearer-forward-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    println!(
        "| proxy | case | thousand requests per second of all processor time | of the proxy alone | added p50, µs | added p99, µs |"
    );
    println!("|---|---|---|---|---|---|");
    for proxy in &options.proxies {
        let mut values: [Values; 5] = Default::default();
        for round in 0..options.rounds {
            let mut order: Vec<_> = CASES.iter().zip(&mut values).collect();
            // Reverses the order each round, as in `main.rs`
            if round % 2 == 1 {
                order.reverse();
            }
            for (case, values) in order {
                if case.gate == Gate::Proxy && !verifies(proxy) {
                    continue;
                }
                measure(&ground, options, &folder, proxy, case, values);
            }
        }
        let alone = &values[0];
        for (case, values) in CASES.iter().zip(&values) {
            if values.rate.is_empty() {
                continue;
            }
            let thousands = values.rate.iter().map(|rate| rate / 1e3);
            println!(
                "| {proxy} | {} | {} | {} | {} | {} |",
                case.name,
                median(thousands, 2),
                median(pairs(&values.rate, &alone.rate, |of, to| of / to), 3),
                median(pairs(&values.median, &alone.median, |of, to| of - to), 0),
                median(pairs(&values.slow, &alone.slow, |of, to| of - to), 0),
            );
        }
    }
    fs::remove_dir_all(&folder).unwrap();
}

fn verifies(proxy: &str) -> bool {
    matches!(proxy, "haproxy" | "envoy")
}

fn pairs(of: &[f64], to: &[f64], with: fn(f64, f64) -> f64) -> impl Iterator<Item = f64> {
    of.iter().zip(to).map(move |(of, to)| with(*of, *to))
}

/// A dash if there are none.
fn median(values: impl Iterator<Item = f64>, digits: usize) -> String {
    let spread = Spread::of(values.collect());
    spread.map_or("–".to_owned(), |it| format!("{:.digits$}", it.median))
}

fn measure(
    ground: &Ground,
    options: &Options,
    folder: &Path,
    proxy: &str,
    case: &Case,
    values: &mut Values,
) {
    let (warm, requests) = (case.requests)(ground);
    let stack = Stack::start(ground, &options.examples, folder, proxy, case.gate);
    let mut load = Load::open(stack.proxy.address, CONNECTIONS);
    load.run_slowly(&warm, warm.len().max(1_000), case.status);
    let before = stack.processor_time();
    let answered = load.run(&requests, options.requests, case.status);
    let took = stack.processor_time().saturating_sub(before);
    #[expect(clippy::cast_precision_loss)]
    let answered = answered as f64;
    values.rate.push(answered / took.as_secs_f64());
    drop(load);
    if case.status == 200 {
        // The tokens must be fresh here too, so we take those that haven't been sent yet.
        let rest = &requests[options.requests.min(requests.len() / 2)..];
        let count = rest.len().min(1_500);
        let took = pace::run(stack.proxy.address, &rest[..count], RATE);
        values.median.push(pace::percentile(&took, 50));
        values.slow.push(pace::percentile(&took, 99));
    }
}

impl Stack {
    fn start(ground: &Ground, examples: &Path, folder: &Path, proxy: &str, gate: Gate) -> Self {
        let mut application = Command::new(std::env::current_exe().unwrap());
        application.arg("reference");
        let application = Server::start(application, "PORT", 1);
        let service = (gate == Gate::Service).then(|| ground.service());
        let listen = free_address();
        let setup = Setup {
            ground,
            examples,
            folder,
            gate,
            ports: [
                ("8080", listen.port()),
                ("9000", application.address.port()),
                ("8000", service.as_ref().map_or(1, |it| it.address.port())),
            ],
        };
        let command = match proxy {
            "nginx" => setup.nginx(),
            "haproxy" => setup.haproxy(),
            "caddy" => setup.caddy(),
            "envoy" => setup.envoy(),
            other => panic!("no proxy is called {other}"),
        };
        let proxy = processor::on_the_servers(1, || Server::spawn_at(command, listen));
        let token = ground.callers()[0].clone();
        proxy.await_status(&token, 200);
        Self {
            proxy,
            service,
            application,
        }
    }

    fn processor_time(&self) -> Duration {
        let servers = [
            Some(&self.proxy),
            self.service.as_ref(),
            Some(&self.application),
        ];
        servers
            .into_iter()
            .flatten()
            .map(Server::processor_time)
            .sum()
    }
}

struct Setup<'s> {
    ground: &'s Ground,
    examples: &'s Path,
    folder: &'s Path,
    gate: Gate,
    /// Each port in the configurations, and its replacement.
    ports: [(&'static str, u16); 3],
}

impl Setup<'_> {
    /// Reads an example and replaces its ports. Its routes need no other change: the tokens of the
    /// benchmark grant their scopes.
    fn example(&self, name: &str) -> String {
        let path = self.examples.join(name);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.with_ports(&text)
    }

    fn with_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (documented, port) in self.ports {
            // In Envoy's configuration, the port is a separate field
            for before in [":", "port_value: "] {
                text = text.replace(&format!("{before}{documented}"), &format!("{before}{port}"));
            }
        }
        text
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.folder.join(name);
        fs::write(&file, text).unwrap();
        file
    }

    /// nginx can't verify a JWT, so any gate but the service means plain forwarding.
    fn nginx(&self) -> Command {
        let text = match self.gate {
            Gate::Service => self.example("nginx.conf"),
            _ => self.with_ports(NGINX_ALONE),
        };
        let text = text.replace("worker_processes auto;", "worker_processes 1;");
        let file = self.write("nginx.conf", text);
        let pid = self.folder.join("nginx.pid");
        let mut command = Command::new("nginx");
        command
            .arg("-p")
            .arg(self.folder)
            .arg("-c")
            .arg(file)
            .arg("-g")
            .arg(format!("daemon off; pid {};", pid.display()))
            .stderr(Stdio::null());
        command
    }

    fn haproxy(&self) -> Command {
        let text = match self.gate {
            Gate::Open => self.with_ports(HAPROXY_ALONE),
            Gate::Proxy => self.with_ports(&haproxy_verifying()),
            Gate::Service => {
                let lua = self.write("haproxy.lua", self.example("haproxy.lua"));
                self.example("haproxy.cfg")
                    .replace("global\n", "global\n    nbthread 1\n")
                    .replace(
                        "lua-load haproxy.lua",
                        &format!("lua-load {}", lua.display()),
                    )
            }
        };
        let issuer = &self.ground.issuer;
        let mut command = Command::new("haproxy");
        command
            .arg("-f")
            .arg(self.write("haproxy.cfg", text))
            .env(
                "PUBLIC_KEY",
                self.write("public.pem", peers::public_pem(issuer)),
            )
            .env("ISSUER", issuer.url())
            .env("AUDIENCE", issuer.audience())
            .stderr(Stdio::null());
        command
    }

    fn caddy(&self) -> Command {
        const OFF: &str = "{\n\tadmin off\n\tauto_https off\n";
        let text = match self.gate {
            Gate::Service => self.example("Caddyfile"),
            _ => self.with_ports(CADDY_ALONE),
        };
        // Both begin with the block of global options
        let text = text.replacen("{\n", OFF, 1);
        let mut command = Command::new("caddy");
        command
            .args(["run", "--adapter", "caddyfile", "--config"])
            .arg(self.write("Caddyfile", text))
            .env("HOME", self.folder)
            .env("XDG_DATA_HOME", self.folder)
            .env("XDG_CONFIG_HOME", self.folder)
            .env("GOMAXPROCS", "1")
            .stderr(Stdio::null());
        command
    }

    fn envoy(&self) -> Command {
        let text = match self.gate {
            Gate::Open => self.with_ports(ENVOY_ALONE),
            Gate::Proxy => self.with_ports(&envoy_verifying(self.ground)),
            Gate::Service => self.example("envoy.yaml"),
        };
        let mut command = Command::new(peers::program("envoy", "envoy"));
        command
            .arg("--config-path")
            .arg(self.write("envoy.yaml", text))
            .args(["--concurrency", "1", "--log-level", "off"])
            .arg("--disable-hot-restart")
            .stderr(Stdio::null());
        command
    }
}

const NGINX_ALONE: &str = "
worker_processes 1;
error_log stderr;
events {}
http {
    access_log off;
    upstream application {
        server 127.0.0.1:9000;
    }
    server {
        listen 127.0.0.1:8080;
        large_client_header_buffers 4 32k;
        proxy_buffer_size 32k;
        proxy_buffers 4 32k;
        location / {
            proxy_set_header Host $http_host;
            proxy_http_version 1.1;
            proxy_set_header Connection close;
            proxy_pass http://application;
        }
    }
}
";

const HAPROXY_ALONE: &str = "
global
    nbthread 1
    tune.bufsize 65536
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend clients
    bind 127.0.0.1:8080
    default_backend application
backend application
    server application 127.0.0.1:9000
";

/// `HAProxy` without the service, but with the checks of the peer in `bench/peers`. (The peer just
/// answers valid requests itself, while this configuration forwards them to the application.)
fn haproxy_verifying() -> String {
    let peer = peers::configuration("haproxy", "haproxy.cfg");
    let checks: String = peer
        .lines()
        .filter(|line| line.contains("http-request") && !line.contains("return status 200"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert!(checks.contains("jwt_verify"), "{checks}");
    let backend = "    default_backend application\n";
    HAPROXY_ALONE.replace(backend, &format!("{checks}{backend}"))
}

const CADDY_ALONE: &str = "{
}
http://:8080 {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:9000
}
";

const ENVOY_ALONE: &str = r#"
static_resources:
  listeners:
    - address:
        socket_address: { address: 127.0.0.1, port_value: 8080 }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: clients
                max_request_headers_kb: 96
                route_config:
                  virtual_hosts:
                    - name: everything
                      domains: ["*"]
                      routes:
                        - match: { prefix: / }
                          route: { cluster: application, timeout: 0s }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
    - name: application
      load_assignment:
        cluster_name: application
        endpoints:
          - lb_endpoints:
              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: 9000 } } }
"#;

/// Envoy without the service, but with the JWT filter of the peer in `bench/peers`.
fn envoy_verifying(ground: &Ground) -> String {
    let peer = peers::configuration("envoy", "envoy.yaml");
    let between = |from: &str, to: &str| {
        let start = peer.find(from).expect("the peer's configuration");
        let end = start + peer[start..].find(to).expect("the peer's configuration");
        peer[start..end].to_owned()
    };
    let router = "                  - name: envoy.filters.http.router";
    let filter = between(
        "                  - name: envoy.filters.http.jwt_authn",
        router,
    );
    let issuer = &ground.issuer;
    let filter = filter
        .replace("issuer: ISSUER", &format!("issuer: {}", issuer.url()))
        .replace("AUDIENCE", issuer.audience())
        .replace("JWKS_URI", &issuer.jwks_uri())
        .replace("                          CACHE\n", "")
        .replace("TIME_TO_LIVE", "cache_duration: 3600s");
    let cluster = "    - name: issuer\n      load_assignment:\n        cluster_name: issuer\n        endpoints:\n          - lb_endpoints:\n              - endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ISSUERS_PORT } } }\n";
    ENVOY_ALONE.replace(router, &format!("{filter}{router}"))
        + &cluster.replace("ISSUERS_PORT", &issuer.addr().port().to_string())
}
