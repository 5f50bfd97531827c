//! What a call spends: tokens of one limit or of several, all or none.

use std::time::Duration;

use bytes::Bytes;
use millpond_core::cache::{BadField, TenantId};
use millpond_core::limit::{self, Call, MAX_CHARGES};
use millpond_core::tenant::LimitName;

use super::Options;
use super::deciding;
use super::decision::Decision;
use super::reservation::Reserved;
use crate::error::Error;
use crate::millpond::Backend;

/// Tokens of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    /// `None` is the tenant's own.
    pub(crate) limit: Option<LimitName>,
    pub(crate) key: Bytes,
    pub(crate) cost: u64,
}

impl Charge {
    pub(crate) fn of(limit: Option<LimitName>, cost: u64) -> Self {
        Self {
            limit,
            key: Bytes::new(),
            cost,
        }
    }

    pub(crate) fn limit(&self) -> &str {
        self.limit.as_ref().map_or("", LimitName::as_str)
    }

    pub(crate) fn core(&self) -> limit::Charge<'_> {
        limit::Charge {
            limit: self.limit(),
            key: &self.key,
            cost: self.cost,
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let (size, limit) = (self.key.len(), limit::Charge::MAX_KEY);
        if size <= limit {
            return Ok(());
        }
        Err(Error::BadField(BadField::TooLong {
            field: "key",
            limit,
            size,
            unit: "bytes",
        }))
    }
}

/// A limit's name; empty is the tenant's own.
pub(crate) fn named(limit: &str) -> Result<Option<LimitName>, Error> {
    if limit.is_empty() {
        return Ok(None);
    }
    Ok(Some(LimitName::parse(limit)?))
}

/// A checked call.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) tenant: TenantId,
    pub(crate) charges: Vec<Charge>,
    pub(crate) options: Options,
    pub(crate) hold: Option<Duration>,
}

impl Asked {
    pub(crate) fn new(tenant: &str, charges: &[Charge], options: Options) -> Result<Self, Error> {
        let tenant = TenantId::parse(tenant)?;
        let count = charges.len();
        if count > MAX_CHARGES || count == 0 {
            return Err(limit::CallError::Charges { count }.into());
        }
        charges.iter().try_for_each(Charge::check)?;
        Ok(Self {
            tenant,
            charges: charges.to_vec(),
            options,
            hold: None,
        })
    }

    pub(crate) fn holding(self, hold: Duration) -> Self {
        let hold = Some(hold.min(Call::MAX_HOLD));
        Self { hold, ..self }
    }

    /// How long the caller is ready to wait for its turn.
    pub(crate) fn patience(&self) -> Duration {
        let wait = self.options.wait.min(Call::MAX_PATIENCE);
        self.options.within.map_or(wait, |all| wait.min(all))
    }
}

/// Several charges that are spent together or not at all. Cheap to clone.
///
/// ```no_run
/// # async fn call(pond: &millpond_client::Millpond) -> Result<(), millpond_client::Error> {
/// let decision = pond
///     .charges()
///     .limit("messages", 1)?
///     .keyed("recipients", "+15550100", 1)?
///     .acquire("acme")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "charges are spent by acquire"]
pub struct Charges {
    backend: Backend,
    charges: Vec<Charge>,
    options: Options,
}

impl Charges {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            charges: Vec::new(),
            options: Options::default(),
        }
    }

    /// Adds `cost` tokens of a limit, `[a-z0-9._-]{1,64}`; empty is the tenant's own.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name.
    pub fn limit(self, limit: &str, cost: u64) -> Result<Self, Error> {
        self.keyed(limit, Bytes::new(), cost)
    }

    /// Adds `cost` tokens of a key's bucket of a limit. At most 1 024 bytes.
    ///
    /// # Errors
    /// [`Error::BadField`] for the name or the key.
    pub fn keyed(mut self, limit: &str, key: impl Into<Bytes>, cost: u64) -> Result<Self, Error> {
        let charge = Charge {
            limit: named(limit)?,
            key: key.into(),
            cost,
        };
        charge.check()?;
        self.charges.push(charge);
        Ok(self)
    }

    deciding!();

    /// Spends on all of them, or on none. At most 8.
    ///
    /// # Errors
    /// As [`Limit::acquire`](crate::Limit::acquire); [`Error::Rejected`] for none of
    /// them, or too many.
    pub async fn acquire(&self, tenant: &str) -> Result<Decision, Error> {
        let asked = Asked::new(tenant, &self.charges, self.options)?;
        self.backend.acquire(asked).await
    }

    /// What [`acquire`](Self::acquire) would answer without waiting. Spends nothing.
    ///
    /// # Errors
    /// As there.
    pub async fn peek(&self, tenant: &str) -> Result<Decision, Error> {
        let asked = Asked::new(tenant, &self.charges, self.options)?;
        self.backend.peek_limits(asked).await
    }

    /// Holds what they cost for at most `hold`, up to 10 minutes: settle it by
    /// [`Reservation::commit_each`](crate::Reservation::commit_each).
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub async fn reserve(&self, tenant: &str, hold: Duration) -> Result<Reserved, Error> {
        let asked = Asked::new(tenant, &self.charges, self.options)?;
        self.backend.reserve(asked.holding(hold)).await
    }
}
