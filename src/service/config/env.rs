//! The variables of the environment and of `.env`, and which of the two each came from.
//!
//! Nothing is judged here but whether it can be read. The environment is never changed.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fmt, fs,
    io::{self, ErrorKind},
};

use crate::service::config::{
    dotenv, external_checks,
    fault::{Fault, Faults},
    variables,
};

/// Every variable that is meant for the service, where it stands and what it says.
///
/// The environment wins over `.env`. Into the iterator go names and values, as
/// [`Config::from_vars`](crate::service::config::Config::from_vars) takes them.
#[derive(Clone)]
pub struct Vars(BTreeMap<String, (String, Origin)>);

/// Where a variable stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the environment of the process.
    Environment,
    /// In the `.env` of the current directory, on this line.
    DotEnv(usize),
}

impl Vars {
    /// Reads the environment, and `.env` where the current directory has one. Directories above
    /// are not looked into: what configures a service should not depend on where it was unpacked.
    ///
    /// # Errors
    /// A `.env` that is there and cannot be read, with the number of the line.
    pub fn read() -> Result<Self, Faults> {
        Self::merge(env::vars_os(), fs::read(".env"))
    }

    /// The first `AUTH0_` variable there is, known or not, and where it stands.
    pub fn auth0(&self) -> Option<(&str, Origin)> {
        self.0
            .iter()
            .find(|(name, _)| variables::is_auth0(name))
            .map(|(name, (_, origin))| (name.as_str(), *origin))
    }

    /// What a variable says, and where.
    pub fn get(&self, name: &str) -> Option<(&str, Origin)> {
        let (value, origin) = self.0.get(name)?;
        Some((value, *origin))
    }

    /// What the configuration relies on, where it is set: certificate authorities and proxies.
    pub fn surroundings(&self) -> impl Iterator<Item = (&'static str, &str, Origin)> {
        external_checks::names().filter_map(|name| {
            let (value, origin) = self.get(name)?;
            Some((name, value, origin))
        })
    }

    /// Whether requests over https leave by a proxy.
    pub fn is_proxied(&self) -> bool {
        external_checks::is_proxied(self)
    }

    /// Whether a terminal may get colours.
    pub fn color(&self) -> bool {
        let text = |name| Some(self.get(name)?.0);
        color(text("NO_COLOR"), text("TERM"))
    }

    /// Whether a terminal can take back what it shows.
    pub fn is_dumb(&self) -> bool {
        self.get("TERM").is_some_and(|(term, _)| term == DUMB)
    }

    fn merge(
        environment: impl Iterator<Item = (OsString, OsString)>,
        dotenv: io::Result<Vec<u8>>,
    ) -> Result<Self, Faults> {
        let dotenv = match dotenv {
            Ok(bytes) => dotenv::parse(&bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(unreadable(&error).into()),
        };
        let dotenv = dotenv
            .into_iter()
            .map(|entry| (entry.name, (entry.value, Origin::DotEnv(entry.line))));
        let environment = environment.filter_map(|(name, value)| {
            // What is not UTF-8 comes out marked, and is refused where the value is judged.
            let value = value.to_string_lossy().into_owned();
            Some((name.into_string().ok()?, (value, Origin::Environment)))
        });
        // Of two, the later stays.
        let vars = dotenv
            .chain(environment)
            .filter(|(name, _)| is_ours(name))
            .collect();
        Ok(Self(vars))
    }
}

fn unreadable(error: &io::Error) -> Fault {
    Fault::new(
        ".env",
        format_args!(
            "cannot be read ({}); make it a file that the service may read, or take it away",
            error.kind()
        ),
    )
}

/// Everybody's, and so not in the table: <https://no-color.org>, and the terminal's name.
pub(super) const OF_TERMINALS: [&str; 2] = ["NO_COLOR", "TERM"];

/// A terminal that shows what it is sent and can do nothing else.
const DUMB: &str = "dumb";

/// Whether a terminal may get colours.
pub(super) fn color(no_color: Option<&str>, term: Option<&str>) -> bool {
    no_color.is_none_or(str::is_empty) && term != Some(DUMB)
}

fn is_ours(name: &str) -> bool {
    variables::is_known(name)
        || variables::is_auth0(name)
        || external_checks::names().any(|known| known == name)
        || OF_TERMINALS.contains(&name)
}

impl IntoIterator for Vars {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        let vars: Vec<_> = self
            .0
            .into_iter()
            .map(|(name, (value, _))| (name, value))
            .collect();
        vars.into_iter()
    }
}

/// Names and origins alone: a value may be a secret.
impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = self.0.iter().map(|(name, (_, origin))| (name, origin));
        f.debug_map().entries(origins).finish()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("the environment"),
            Self::DotEnv(line) => write!(f, ".env, line {line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(vars: &[(&str, &str)]) -> impl Iterator<Item = (OsString, OsString)> {
        let vars: Vec<_> = vars.iter().map(|(n, v)| (n.into(), v.into())).collect();
        vars.into_iter()
    }

    fn no_file() -> io::Error {
        ErrorKind::NotFound.into()
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let vars = [("LISTEN", "a"), ("PATH", "/bin")];
        let vars = Vars::merge(environment(&vars), Ok("LISTEN=b\nRUST_LOG=c".into())).unwrap();
        let vars: Vec<_> = vars.into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(vars, [pair("LISTEN", "a"), pair("RUST_LOG", "c")]);
    }

    #[test]
    fn a_configuration_is_seen_wherever_it_stands() {
        #[rustfmt::skip]
        let rows = [
            ("none", &[("PATH", "/bin"), ("LISTEN", "x")][..], Err(no_file()), None),
            ("environment", &[("AUTH0_DOMAIN", "x")], Err(no_file()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("file", &[], Ok("AUTH0_DOMAIN = x".into()), Some(("AUTH0_DOMAIN", Origin::DotEnv(1)))),
            ("both", &[("AUTH0_DOMAIN", "x")], Ok("AUTH0_DOMAIN=y".into()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("set to nothing", &[("AUTH0_DOMAIN", "")], Err(no_file()), Some(("AUTH0_DOMAIN", Origin::Environment))),
            ("misspelt", &[("AUTH0_DOMIAN", "x")], Err(no_file()), Some(("AUTH0_DOMIAN", Origin::Environment))),
        ];
        for (case, vars, dotenv, expected) in rows {
            let vars = Vars::merge(environment(vars), dotenv).unwrap();
            assert_eq!(vars.auth0(), expected, "{case}");
        }
    }

    #[test]
    fn a_file_that_is_there_and_cannot_be_read_is_one_fault() {
        #[rustfmt::skip]
        let rows = [
            ("no right to", Err(ErrorKind::PermissionDenied.into()), ".env: cannot be read (permission denied); make it a file that the service may read, or take it away"),
            ("a directory", Err(ErrorKind::IsADirectory.into()), ".env: cannot be read (is a directory); make it a file that the service may read, or take it away"),
            ("no sense", Ok("AUTH0_DOMAIN".into()), ".env: line 1 cannot be read; write NAME=value, and quote a value that has blanks, quotes, \"$\" or \"\\\""),
        ];
        for (case, dotenv, fault) in rows {
            let faults = Vars::merge(environment(&[]), dotenv).unwrap_err();
            assert_eq!(faults.to_string(), fault, "{case}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_not_utf_8_are_a_fault_where_they_are_ours() {
        use std::os::unix::ffi::OsStringExt;

        use crate::service::config::Config;

        let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let vars = [
            (bytes(b"AUTH0_DOMAIN"), bytes(b"tenant.auth0.com")),
            (bytes(b"AUTH0_API_AUDIENCE"), bytes(b"https://a\xff")),
            (bytes(b"AUTH0_\xff"), bytes(b"x")),
            (bytes(b"LC_NAME"), bytes(b"\xff")),
        ];
        let vars = Vars::merge(vars.into_iter(), Err(no_file())).unwrap();
        let faults = Config::from_vars(vars).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "AUTH0_API_AUDIENCE: found bytes that are not UTF-8; give the identifier of your API, such as https://api.example.com"
        );
    }

    #[test]
    fn debug_shows_no_value() {
        let vars = Vars::merge(
            environment(&[("AUTH0_CLIENT_SECRET", "hunter2")]),
            Err(no_file()),
        );
        assert_eq!(
            format!("{:?}", vars.unwrap()),
            r#"{"AUTH0_CLIENT_SECRET": Environment}"#
        );
    }
}
