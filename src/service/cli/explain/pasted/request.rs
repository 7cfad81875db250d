//! [`Head`]: the head of a whole request in a text, read line by line as the server reads it.
//!
//! A request begins with a request line, with or without the `> ` of `curl -v`. We ignore lines
//! without a colon, because people shorten what they paste.

use std::{borrow::Cow, fmt, ops::Range};

use crate::{
    auth::display::ShownText,
    service::cli::explain::pasted::{
        found::{FoundRequest, Lines, RequestFault},
        strings::is_invisible,
    },
};

/// A shell adds these around a text, and hyper removes them from a header value
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

#[derive(Debug)]
pub(super) struct Head<'t> {
    /// The place of the request line and the headers
    lines: Range<usize>,
    request_line: Range<usize>,
    fields: Vec<HeadField<'t>>,
    /// Why a server rejects the request without reading its headers, if it does
    pub(super) fault: Option<RequestFault>,
    /// The lines have the `> ` of `curl -v`
    is_marked: bool,
    /// The body, up to an empty line. Empty if there is none.
    body: Range<usize>,
}

#[derive(Debug)]
struct HeadField<'t> {
    /// Without spaces or quotes around it
    name: &'t str,
    /// The whole line
    line: Range<usize>,
    /// Without surrounding whitespace
    value: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'h> {
    RequestLine,
    Field(&'h str),
    Body,
}

impl Part<'_> {
    pub(super) fn is_named(self, name: &str) -> bool {
        matches!(self, Self::Field(field) if field.eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLine => f.write_str("the request line"),
            Self::Field(name) => write!(f, "the field {}", ShownText::new(name)),
            Self::Body => f.write_str("the body"),
        }
    }
}

impl<'t> Head<'t> {
    pub(super) fn values<'h>(
        &'h self,
        text: &'h str,
        name: &'h str,
    ) -> impl Iterator<Item = &'h str> {
        let fields = self.fields.iter();
        let fields = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
        fields.map(|field| &text[field.value.clone()])
    }

    pub(super) fn request(&self, text: &str) -> (String, String) {
        let mut words = text[self.request_line.clone()]
            .split(' ')
            .map(str::to_owned);
        let method = words.next().unwrap_or_default();
        (method, words.next().unwrap_or_default())
    }

    /// The line of a header, which begins at `start`
    fn read_field(&mut self, line: &'t str, start: usize) {
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let bare = name.trim_matches(BLANKS);
        let mut fault = None;
        let invisible = name.chars().find(|c| is_invisible(*c));
        if let Some(invisible) = invisible {
            self.fault = self
                .fault
                .or(Some(RequestFault::InvisibleInName(invisible)));
        }
        let bare = if is_field_name(bare) {
            if name.starts_with(BLANKS) {
                fault = Some(RequestFault::BeforeName);
            } else if name.ends_with(BLANKS) {
                fault = Some(RequestFault::SpaceBeforeColon);
            }
            bare
        } else {
            fault = Some(RequestFault::BeforeName);
            bare.trim_matches(|c: char| !c.is_ascii_alphanumeric())
        };
        if !is_field_name(bare) && invisible.is_none() {
            return;
        }
        self.fault = self.fault.or(fault);
        let begin = start + name.len() + 1 + value.len() - value.trim_start_matches(BLANKS).len();
        let value = begin..begin + value.trim_matches(BLANKS).len();
        let line = start..start + line.len();
        let name = bare;
        self.fields.push(HeadField { name, line, value });
    }
}

pub(super) fn heads(text: &str) -> Vec<Head<'_>> {
    let mut heads: Vec<Head<'_>> = Vec::new();
    let mut is_open = false;
    let mut is_body = false;
    let mut start = 0;
    for whole in text.split_inclusive('\n') {
        let (at, end) = (start, start + whole.len());
        start = end;
        let line = whole.trim_end_matches(['\r', '\n']);
        let (is_marked, bare) = unmarked(line);
        let begin = at + line.len() - bare.len();
        if is_request_line(bare) {
            // clients don't send the fragment of a URL
            let has_fragment = is_as_sent(bare) && bare.contains('#');
            heads.push(Head {
                lines: at..end,
                request_line: begin..begin + bare.len(),
                fields: Vec::new(),
                fault: has_fragment.then_some(RequestFault::Fragment),
                is_marked,
                body: end..end,
            });
            is_open = true;
            is_body = false;
            continue;
        }
        if let Some(head) = heads.last_mut().filter(|_| is_body) {
            // a response may follow the body
            let ends = ["HTTP/", "<", "*", "###"];
            is_body = !line.trim().is_empty() && !ends.iter().any(|end| line.starts_with(end));
            if is_body {
                head.body.end = end;
            }
            continue;
        }
        let Some(head) = heads.last_mut().filter(|_| is_open) else {
            continue;
        };
        if head.is_marked && !is_marked {
            // `curl -v` also writes lines about the connection
            continue;
        }
        if bare.trim_matches(BLANKS).is_empty() {
            is_open = false;
            is_body = !is_marked && may_have_body(&text[head.request_line.clone()]);
            head.body = end..end;
            continue;
        }
        head.lines.end = end;
        head.read_field(bare, begin);
    }
    heads
}

fn may_have_body(request_line: &str) -> bool {
    let method = request_line.split(' ').next().unwrap_or_default();
    ["POST", "PUT", "PATCH", "DELETE", "QUERY"].contains(&method)
}

/// The part of a request at this place. `None` if the place isn't in a request.
pub(super) fn part_at<'h>(heads: &'h [Head<'_>], place: usize) -> Option<Part<'h>> {
    let before = heads.partition_point(|head| head.lines.start <= place);
    let head = heads.get(before.checked_sub(1)?)?;
    if head.request_line.contains(&place) {
        return Some(Part::RequestLine);
    }
    if head.body.contains(&place) {
        return Some(Part::Body);
    }
    let before = head
        .fields
        .partition_point(|field| field.line.start <= place);
    let field = head.fields.get(before.checked_sub(1)?)?;
    field
        .line
        .contains(&place)
        .then_some(Part::Field(field.name))
}

pub(super) fn with_field(text: &str, heads: &[Head<'_>], name: &str) -> Vec<FoundRequest> {
    let lines = Lines::of(text);
    let requests = heads.iter().map(|head| {
        let mut request = FoundRequest::default();
        let fields = head.fields.iter();
        for field in fields.filter(|field| field.name.eq_ignore_ascii_case(name)) {
            let at = format!("on {}", lines.line(field.value.start));
            request.add(&text[field.value.clone()], at, head.fault);
        }
        request
    });
    requests
        .filter(|request| !request.fields.is_empty())
        .collect()
}

/// Whether a text has nothing but the heads of requests
pub(super) fn is_only(text: &str, heads: &[Head<'_>]) -> bool {
    let mut end = 0;
    let is_blank = |between: &str| between.chars().all(|c| c.is_whitespace() || c == '>');
    let are_adjacent = heads.iter().all(|head| {
        let between = &text[end..head.lines.start];
        end = head.lines.end;
        is_blank(between)
    });
    are_adjacent && is_blank(&text[end..])
}

/// Strips the `> ` of `curl -v` from a line. `true` if there was one.
fn unmarked(line: &str) -> (bool, &str) {
    match line.trim_start_matches(BLANKS).strip_prefix('>') {
        Some(rest) => (true, rest.strip_prefix(' ').unwrap_or(rest)),
        None => (false, line),
    }
}

/// Removes the common indentation of a request, and the comments in a REST client's file. Lines
/// keep their numbers.
pub(super) fn cleaned(text: &str) -> String {
    uncommented(&dedented(&without_escaped_breaks(text)))
}

/// Removes the `\r\n` that Wireshark shows at the end of each line of a request.
fn without_escaped_breaks(text: &str) -> Cow<'_, str> {
    const BREAK: &str = "\\r\\n";
    let mut lines = text.lines().map(str::trim);
    if !lines.any(|line| line.strip_suffix(BREAK).is_some_and(is_request_line)) {
        return text.into();
    }
    let lines = text.split_inclusive('\n').map(|whole| {
        let line = whole.trim_end_matches(['\r', '\n']);
        let bare = line.strip_suffix(BREAK).unwrap_or(line);
        [bare, &whole[line.len()..]].concat()
    });
    lines.collect::<String>().into()
}

/// All lines must be indented like the request line, or else the text is returned unchanged.
fn dedented(text: &str) -> Cow<'_, str> {
    let lines = text.trim_start_matches(['\r', '\n']);
    let empty_lines = &text[..text.len() - lines.len()];
    let request = lines.trim_start_matches([' ', '\t']);
    let indent = &lines[..lines.len() - request.len()];
    let first = request.lines().next().unwrap_or_default();
    if indent.is_empty() || !is_request_line(first) {
        return text.into();
    }
    let is_blank = |line: &str| line.trim().is_empty();
    let fits = |line: &str| is_blank(line) || line.starts_with(indent);
    let mut head = lines.lines().take_while(|line| !is_blank(line));
    if !head.all(fits) {
        return text.into();
    }
    // Below the head, there may be another request without an indentation, so we only dedent these
    // lines if all of them are indented.
    let are_all = lines.lines().all(fits);
    let mut is_head = true;
    let lines = lines.split_inclusive('\n').map(|line| {
        is_head = is_head && !is_blank(line);
        let bare = line.strip_prefix(indent).filter(|_| is_head || are_all);
        bare.unwrap_or(line)
    });
    std::iter::once(empty_lines)
        .chain(lines)
        .collect::<String>()
        .into()
}

/// Replaces comments with a single `#` in the requests of a REST client's file. A request as it is
/// sent has no comments.
fn uncommented(text: &str) -> String {
    let mut is_of_file = false;
    let lines = text.split_inclusive('\n').map(|whole| {
        let line = whole.trim();
        if is_request_line(line) {
            is_of_file = !is_as_sent(line);
        } else if line.is_empty() {
            is_of_file = false;
        } else if is_of_file && (line.starts_with('#') || line.starts_with("//")) {
            return if whole.ends_with('\n') { "#\n" } else { "#" };
        }
        whole
    });
    lines.collect()
}

/// Whether this is a request line as it is sent, i.e. with a path and a version. In a REST client's
/// file, it has a URL, or no version.
fn is_as_sent(line: &str) -> bool {
    line.contains(" /") && line.contains(" HTTP/")
}

/// A line such as `GET /path HTTP/1.1`. Files of REST clients leave out the version.
fn is_request_line(line: &str) -> bool {
    let mut words = line.trim_end_matches(BLANKS).split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return false;
    };
    let is_version = |word: &str| word.starts_with("HTTP/");
    method.starts_with(|c: char| c.is_ascii_uppercase())
        && method.chars().all(|c| c.is_ascii_uppercase() || c == '-')
        && ["/", "*", "http://", "https://", "{{"]
            .iter()
            .any(|start| target.starts_with(start))
        && words.next().is_none_or(is_version)
        && words.next().is_none()
}

/// Checks the name of a header (RFC 9110 §5.1).
pub(super) fn is_field_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.chars().all(fits)
}
