//! Formats an explanation as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::{
    auth::{
        AuthError,
        display::ShownText,
        explain::{Step, StepValue},
    },
    service::cli::{
        explain::{
            advice::Advice,
            explanation::{Explanation, PARSER_STEP, ProxyAnswer, Refused, Repair, RouteVerdict},
        },
        terminal::{Mark, Terminal},
        time_format,
    },
};

/// The length of the longest step name
const WIDTH: usize = 13;

impl Explanation {
    pub(in crate::service) fn text(&self, terminal: Terminal) -> String {
        let mut lines = vec![String::new()];
        lines.extend(
            self.notes
                .iter()
                .map(|note| format!("{}\n", Terminal::clean(note))),
        );
        let repaired = self.repair.iter().flat_map(|repair| &repair.trace.steps);
        for step in self.trace.steps.iter().chain(repaired) {
            lines.push(self.step_line(step, terminal));
        }
        lines.push(String::new());
        match &self.refusal {
            None => {
                let accepted = terminal.strong(Mark::Good, "Accepted: the token is valid.");
                lines.push(accepted);
                lines.extend(self.routes.iter().map(|route| route_line(route, terminal)));
            }
            Some(refused) => {
                let heading = format!("Rejected: {}.", refused.status_and_code());
                let heading = terminal.strong(Mark::Bad, &heading);
                lines.push(format!("{heading} {}", refused.detail));
                lines.extend(self.facts.iter().map(|fact| Terminal::clean(fact)));
                lines.extend(fix(&refused.advice, terminal));
            }
        }
        if let Some(repair) = &self.repair {
            lines.extend(repair_lines(repair, terminal));
        }
        if let Some(proxy) = &self.proxy {
            lines.extend(self.proxy_lines(proxy, terminal));
        } else if let Some(refused) = self.first_route() {
            lines.extend(fix(&refused.advice, terminal));
        }
        lines.push(String::new());
        lines.join("\n")
    }

    pub(in crate::service) fn json(&self) -> Value {
        let refusal = self.refusal.as_ref();
        let advice = refusal
            .or(self.first_route())
            .map(|refused| &refused.advice);
        let routes = self.routes.iter().map(|route| {
            json!({
                "route": route.route,
                "status": status(route.refusal.as_ref()),
                "code": route.refusal.as_ref().and_then(|refused| refused.code),
            })
        });
        let repair = self.repair.as_ref().map(|repair| {
            let refusal = repair.refusal.as_ref();
            let advice = refusal.map(|refused| &refused.advice);
            json!({
                "accepted": refusal.is_none(),
                "status": status(refusal),
                "code": refusal.and_then(|refused| refused.code),
                "cause": advice.map(|advice| &advice.what),
                "fix": advice.map(|advice| &advice.fix),
                "settings": settings(advice),
                "steps": self.steps(&repair.trace.steps),
                "header": repair.trace.header,
                "claims": repair.trace.payload,
            })
        });
        let proxy = self.proxy.as_ref().map(|proxy| {
            let fields: serde_json::Map<_, _> = proxy
                .fields
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            json!({
                "target": proxy.target,
                "query": proxy.query,
                "status": status(refusal),
                "code": refusal.and_then(|refused| refused.code),
                "fields": fields,
            })
        });
        json!({
            "accepted": self.is_accepted(),
            "status": status(refusal),
            "code": refusal.and_then(|refused| refused.code),
            "detail": refusal.map(|refused| refused.detail),
            "cause": advice.map(|advice| &advice.what),
            "fix": advice.map(|advice| &advice.fix),
            "settings": settings(advice),
            "facts": self.facts,
            "notes": self.notes,
            "steps": self.steps(&self.trace.steps),
            "repair": repair,
            "routes": routes.collect::<Vec<_>>(),
            "proxy": proxy,
            "header": self.trace.header,
            "claims": self.trace.payload,
        })
    }

    fn steps(&self, steps: &[Step]) -> Value {
        let steps = steps.iter().map(|step| {
            let error = step.outcome.err().filter(|_| step.name != PARSER_STEP);
            json!({
                "step": step.name,
                "holds": step.outcome.is_ok(),
                "expected": self.words(&step.expected),
                "found": self.words(&step.found),
                "code": error.map(AuthError::code),
            })
        });
        steps.collect()
    }

    fn first_route(&self) -> Option<&Refused> {
        self.routes.iter().find_map(|route| route.refusal.as_ref())
    }

    fn step_line(&self, step: &Step, terminal: Terminal) -> String {
        let (expected, found) = (self.words(&step.expected), self.words(&step.found));
        let more = if step.outcome.is_ok() && expected == found {
            String::new()
        } else {
            format!("expected: {expected}")
        };
        terminal.line(mark(step.outcome.is_ok()), step.name, WIDTH, &found, &more)
    }

    fn proxy_lines(&self, proxy: &ProxyAnswer, terminal: Terminal) -> Vec<String> {
        let answer = match &self.refusal {
            None => "200 and these fields".to_owned(),
            Some(refused) => refused.status_and_code(),
        };
        let target = ShownText::new(&proxy.target);
        let text = format!("{target} answers a proxy with {answer}");
        let mut lines = vec![terminal.line(mark(self.is_accepted()), "", 0, &text, "")];
        lines.extend(proxy.fields.iter().map(|(name, value)| {
            let value = ShownText::new(value);
            Terminal::clean(&format!("      {name}: {value}"))
        }));
        lines
    }

    fn words(&self, value: &StepValue) -> String {
        match value {
            StepValue::Words(words) => words.clone(),
            StepValue::Date(date) => time_format::both(*date, self.now),
            StepValue::After(date, leeway) => {
                format!("after {}", time_format::both(date - leeway, self.now))
            }
            StepValue::Before(date, leeway) => {
                format!("not after {}", time_format::both(date + leeway, self.now))
            }
        }
    }
}

fn mark(holds: bool) -> Mark {
    if holds { Mark::Good } else { Mark::Bad }
}

fn status(refusal: Option<&Refused>) -> u16 {
    refusal.map_or(200, |refused| refused.status)
}

fn settings(advice: Option<&Advice>) -> Vec<String> {
    let settings = advice.into_iter().flat_map(|advice| &advice.settings);
    settings.map(ToString::to_string).collect()
}

fn route_line(route: &RouteVerdict, terminal: Terminal) -> String {
    let answer = match (&route.refusal, &route.needs) {
        (None, _) => "200".to_owned(),
        (Some(refused), Some(needs)) => {
            format!("{}, the route requires {needs}", refused.status_and_code())
        }
        (Some(refused), None) => refused.status_and_code(),
    };
    let text = format!("{}: {answer}", route.route);
    terminal.line(mark(route.refusal.is_none()), "", 0, &text, "")
}

fn repair_lines(repair: &Repair, terminal: Terminal) -> Vec<String> {
    match &repair.refusal {
        None => {
            let form = &repair.form;
            let good = format!("The token in it is valid: the service accepts it if {form}.");
            vec![terminal.strong(Mark::Good, &good)]
        }
        Some(refused) => {
            let too = format!(
                "The token in it would be rejected as well: {}.",
                refused.status_and_code()
            );
            let mut lines = vec![format!(
                "{} {}",
                terminal.strong(Mark::Bad, &too),
                refused.detail
            )];
            lines.extend(fix(&refused.advice, terminal));
            lines
        }
    }
}

fn fix(advice: &Advice, terminal: Terminal) -> [String; 2] {
    let label = terminal.strong(Mark::Note, "To fix it:");
    let mut fix = format!("{label} {}", Terminal::clean(&advice.fix));
    for setting in &advice.settings {
        let _ = write!(fix, "\n  {}", Terminal::clean(&setting.to_string()));
    }
    [Terminal::clean(&advice.what), fix]
}
