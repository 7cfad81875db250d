//! [`Issuers`]: the trusted issuers of an `Auth`. A reload replaces the whole list at once.
//!
//! Lookups take constant time for any number of issuers. We look up the issuer of a new token by
//! name, and the issuer of a cached token by slot.

#[cfg(feature = "service")]
use std::sync::OnceLock;
use std::{collections::HashMap, sync::Arc};

use crate::algorithm::Algorithm;
#[cfg(feature = "service")]
use crate::auth::resource::Resources;
use crate::auth::{challenge::Challenge, token::payload::IssuerContext, trusted::Trusted};

/// Up to this number of names, comparing each one is faster than hashing.
const FEW: usize = 4;

pub(crate) struct Issuers {
    /// The issuers, indexed by slot. The context of each issuer contains its slot. When an issuer
    /// is removed, its slot stays empty, so that the others keep theirs.
    slots: Vec<Option<Arc<Trusted>>>,
    /// Maps a name to its slot. Empty if there are at most [`FEW`] issuers.
    by_name: HashMap<Arc<str>, usize>,
    /// The algorithms that an issuer may use. A token with any other algorithm is rejected before
    /// its issuer is looked up.
    pub(crate) algorithms: Arc<[Algorithm]>,
    /// True if every issuer uses the strict profile of RFC 9068.
    pub(crate) strict: bool,
    /// The challenge for a request without a token. It offers each scheme that an issuer accepts.
    pub(crate) challenge: Challenge,
    /// Created when it is first needed, since it takes long for many audiences.
    #[cfg(feature = "service")]
    pub(super) resources: OnceLock<Arc<Resources>>,
}

impl Issuers {
    /// Creates the list. No two issuers may have the same slot.
    ///
    /// `resolved` has the default algorithms of resolved issuers, if there is a resolver. Until
    /// such an issuer is resolved we cannot know which other asymmetric algorithms it allows, so in
    /// this case the list has to allow all of them.
    pub(crate) fn new(
        issuers: Vec<Arc<Trusted>>,
        resolved: Option<&[Algorithm]>,
        challenge: Challenge,
    ) -> Self {
        let mut algorithms = Vec::new();
        if let Some(by_default) = resolved {
            let asymmetric = Algorithm::ALL.iter().filter(|alg| !alg.is_symmetric());
            algorithms.extend(asymmetric.chain(by_default));
        }
        let mut strict = resolved.is_none();
        let end = issuers.iter().map(|issuer| issuer.context.slot + 1).max();
        let mut slots = vec![None; end.unwrap_or_default()];
        for issuer in issuers {
            algorithms.extend_from_slice(&issuer.rules.algorithms);
            strict &= issuer.rules.strict;
            let slot = issuer.context.slot;
            slots[slot] = Some(issuer);
        }
        algorithms.sort();
        algorithms.dedup();
        let mut by_name = HashMap::new();
        if slots.len() > FEW {
            for issuer in slots.iter().flatten() {
                by_name.insert(Arc::clone(&issuer.context.issuer), issuer.context.slot);
            }
        }
        Self {
            slots,
            by_name,
            algorithms: algorithms.into(),
            strict,
            challenge,
            #[cfg(feature = "service")]
            resources: OnceLock::new(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Trusted>> {
        self.slots.iter().flatten()
    }

    /// Names are compared exactly (RFC 7519 §4.1.1).
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Trusted>> {
        if self.slots.len() <= FEW {
            return self.iter().find(|issuer| issuer.name() == name);
        }
        self.slots[*self.by_name.get(name)?].as_ref()
    }

    /// The issuer that owns this context, or `None` if it was replaced.
    pub(crate) fn with_context(&self, context: &Arc<IssuerContext>) -> Option<&Trusted> {
        let issuer = self.slots.get(context.slot)?.as_deref()?;
        Arc::ptr_eq(&issuer.context, context).then_some(issuer)
    }

    /// The slots that no issuer uses, in ascending order.
    pub(crate) fn free_slots(taken: &[Arc<Trusted>]) -> impl Iterator<Item = usize> {
        let taken: std::collections::HashSet<_> =
            taken.iter().map(|issuer| issuer.context.slot).collect();
        (0..).filter(move |slot| !taken.contains(slot))
    }
}
