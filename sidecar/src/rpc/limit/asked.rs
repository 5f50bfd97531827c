//! Fields of requests for tokens, checked and made into core's types. What is wrong
//! is named with its place in the list.

use millpond_core::limit::{Charge, MAX_CHARGES};
use millpond_core::tenant::LimitName;
use millpond_proto::v1;
use tonic::Status;

use crate::rpc::{fields, status};

/// The charges of one call, on the stack.
#[derive(Debug)]
pub(super) struct Charges<'a> {
    charges: [Charge<'a>; MAX_CHARGES],
    count: usize,
}

impl<'a> Charges<'a> {
    /// None are one of the tenant's own.
    pub(super) fn of(asked: &'a [v1::Charge]) -> Result<Self, Status> {
        const OWN: Charge<'_> = Charge {
            limit: "",
            key: &[],
            cost: 1,
        };
        let mut charges = [OWN; MAX_CHARGES];
        if asked.is_empty() {
            return Ok(Self { charges, count: 1 });
        }
        fields::count("charges", asked.len(), MAX_CHARGES)?;
        for (at, (place, asked)) in charges.iter_mut().zip(asked).enumerate() {
            let field = |name| format!("charges[{at}].{name}");
            *place = Charge {
                limit: limit(|| field("limit"), &asked.limit)?,
                key: key(|| field("key"), &asked.key)?,
                cost: asked.cost.unwrap_or(1),
            };
        }
        let count = asked.len();
        Ok(Self { charges, count })
    }

    pub(super) fn all(&self) -> &[Charge<'a>] {
        &self.charges[..self.count]
    }

    /// What it costs, when it is one charge of the tenant's own.
    pub(super) fn own_alone(&self) -> Option<u64> {
        match self.all() {
            [own] if own.limit.is_empty() => Some(own.cost),
            _ => None,
        }
    }
}

/// A limit's name, or none.
pub(super) fn limit(field: impl FnOnce() -> String, name: &str) -> Result<&str, Status> {
    if name.is_empty() {
        return Ok(name);
    }
    match LimitName::check(name) {
        Ok(()) => Ok(name),
        Err(wrong) => Err(status::bad_field_at(&field(), &wrong)),
    }
}

/// A key of a limit, or none.
pub(super) fn key(field: impl FnOnce() -> String, key: &[u8]) -> Result<&[u8], Status> {
    let (size, limit) = (key.len(), Charge::MAX_KEY);
    if size > limit {
        return Err(status::bad(
            field(),
            format_args!("{size} bytes, limit {limit}"),
        ));
    }
    Ok(key)
}
