//! A bar chart of the servers: the rate with tokens, relative to hyper with one RSA verification.

use std::fmt::Write;

pub struct Bar<'a> {
    pub title: &'a str,
    pub share: f64,
    /// True for the service itself.
    pub own: bool,
}

const WIDTH: f64 = 800.0;
const LEFT: f64 = 280.0;
const RIGHT: f64 = 60.0;
const ROW: f64 = 24.0;
const TOP: f64 = 34.0;

/// Colours that are legible on both white and black. A page's colour scheme may differ from the
/// reader's, so we can't just choose by `prefers-color-scheme`.
const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #768390 }
.note { font-size: 12px }
.own { fill: #2f81f7 } .peer { fill: #8b949e }
line { stroke: #768390; stroke-dasharray: 3 3 }";

#[expect(clippy::cast_precision_loss)]
pub fn svg(bars: &[Bar<'_>]) -> String {
    let most = bars.iter().map(|bar| bar.share).fold(1.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let height = TOP + ROW * bars.len() as f64 + 8.0;
    let hundred = LEFT + scale;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Requests with tokens per second of processor time, of hyper with one RSA verification\">\n\
         <style>\n{STYLE}\n</style>\n\
         <text class=\"note\" x=\"8\" y=\"18\">requests with tokens per second of processor time, of hyper with one RSA verification</text>\n",
    );
    for (i, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * i as f64;
        let (width, class) = (bar.share * scale, if bar.own { "own" } else { "peer" });
        let (text, end) = (y + 14.0, LEFT + width + 6.0);
        let title = bar.title.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{text}\" text-anchor=\"end\">{title}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" rx=\"2\"/>\
             <text x=\"{end:.1}\" y=\"{text}\">{:.0} %</text>",
            LEFT - 8.0,
            bar.share * 100.0,
        )
        .unwrap();
    }
    let bottom = height - 4.0;
    writeln!(
        svg,
        "<line x1=\"{hundred:.1}\" y1=\"{}\" x2=\"{hundred:.1}\" y2=\"{bottom}\"/>\n</svg>",
        TOP - 6.0
    )
    .unwrap();
    svg
}
