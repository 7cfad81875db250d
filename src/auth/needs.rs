//! [`Needs`]: the scopes that a client must request to meet a policy, or the stronger or more
//! recent authentication of the user (RFC 9470).

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Needs<'r> {
    pub(super) scopes: Vec<&'r str>,
    /// Authentication context classes in order of preference. One of them is enough.
    pub(super) acr_values: Vec<&'r str>,
    /// The maximum time since the user authenticated, in seconds.
    pub(super) max_age: Option<u64>,
}

impl<'r> Needs<'r> {
    pub(super) fn scope(name: &'r str) -> Self {
        Self {
            scopes: vec![name],
            ..Self::default()
        }
    }

    pub(super) fn acr(value: &'r str) -> Self {
        Self {
            acr_values: vec![value],
            ..Self::default()
        }
    }

    pub(super) fn max_age(seconds: u64) -> Self {
        Self {
            max_age: Some(seconds),
            ..Self::default()
        }
    }

    /// Must the user authenticate again?
    pub(super) fn is_step_up(&self) -> bool {
        !self.acr_values.is_empty() || self.max_age.is_some()
    }

    fn needs_only_acr(&self) -> bool {
        self.scopes.is_empty() && self.max_age.is_none() && !self.acr_values.is_empty()
    }

    /// What is needed to meet every rule. `None` if a rule cannot be met.
    pub(super) fn all(rules: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        let mut all = Self::default();
        for needs in rules {
            let needs = needs?;
            add_new(&mut all.scopes, needs.scopes);
            add_new(&mut all.acr_values, needs.acr_values);
            all.max_age = match (all.max_age, needs.max_age) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Some(all)
    }

    /// What is needed to meet the first rule that can be met. If only a context class is missing,
    /// we add the classes of the other alternatives.
    pub(super) fn any(rules: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        let mut others = rules.flatten();
        let mut first = others.next()?;
        if first.needs_only_acr() {
            for other in others.filter(Self::needs_only_acr) {
                add_new(&mut first.acr_values, other.acr_values);
            }
        }
        Some(first)
    }
}

fn add_new<'r>(to: &mut Vec<&'r str>, names: Vec<&'r str>) {
    for name in names {
        if !to.contains(&name) {
            to.push(name);
        }
    }
}
