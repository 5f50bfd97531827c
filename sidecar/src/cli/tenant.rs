//! `millpond tenant`.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use millpond_proto::v1::{
    self, ListTenantsRequest, PurgeTenantRequest, PutTenantRequest, SetTenantStateRequest,
    Tenant as Told,
};
use serde_json::json;

use super::bytes;
use super::exit::{Failure, STATUSES, Status};
use super::operator::{Operator, reply};
use super::terminal::printable;

mod told;

use told::{described, in_a_line, in_json, rate, receipt_in_json, received, word};

const EXAMPLES: &str = "Examples:
  millpond tenant list
  millpond tenant show acme --json
  millpond tenant put acme --tier pro
  millpond tenant put acme --tier pro --set rate=500/s --set limits.exports.rate=10/h
  millpond tenant suspend acme --why 'unpaid since March'
  millpond tenant resume acme
  millpond tenant state acme pending_offboard
  millpond tenant purge acme --why 'ticket 4711' --json > receipt.json";

/// How long a purge may take: it visits everything that the sidecar holds.
const PURGE_PATIENCE: Duration = Duration::from_secs(60);

/// Show, put, suspend or purge tenants.
///
/// A tenant has the settings of its tier, and its own over them. Putting it again
/// changes its tier or its settings at once; what it has spent stays spent. A
/// suspended tenant is refused everything until it is resumed, and keeps what is held
/// of it.
///
/// All of this is done in this sidecar only, and is written to its audit log. It
/// outlives a reload of the configuration, unless that says something else of this very
/// tenant, and not the process.
#[derive(Args, Debug)]
#[command(after_help = format!("{EXAMPLES}\n\n{STATUSES}"))]
pub(crate) struct Tenant {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tenants that are known here, by name
    List {
        /// Only those whose names come after this one
        #[arg(
            long,
            value_name = "TENANT",
            default_value = "",
            hide_default_value = true
        )]
        after: String,

        /// At most so many [default: all of them]
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,

        #[command(flatten)]
        to: To,
    },
    /// One tenant: its tier, its state, and what it may
    Show {
        /// The tenant
        tenant: String,

        #[command(flatten)]
        to: To,
    },
    /// Put a tenant, new or known, with all that it has over its tier
    Put {
        /// The tenant
        tenant: String,

        /// Its tier
        #[arg(long)]
        tier: String,

        /// What it has over its tier, as the configuration writes it: rate=100/min; of a
        /// limit, limits.exports.rate=10/h. What is not said is as the tier has it; but a
        /// limit of which anything is set has nothing of the tier's
        #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,

        /// Its state [default: the one it has; active when it is new]
        #[arg(long)]
        state: Option<State>,

        #[command(flatten)]
        by: By,

        #[command(flatten)]
        to: To,
    },
    /// Refuse all of its calls, until it is resumed
    Suspend {
        /// The tenant
        tenant: String,

        #[command(flatten)]
        by: By,

        #[command(flatten)]
        to: To,
    },
    /// Serve it again
    Resume {
        /// The tenant
        tenant: String,

        #[command(flatten)]
        by: By,

        #[command(flatten)]
        to: To,
    },
    /// Set where it is in its life
    State {
        /// The tenant
        tenant: String,

        /// Its state
        state: State,

        #[command(flatten)]
        by: By,

        #[command(flatten)]
        to: To,
    },
    /// Refuse all of its calls, remove what is held of it, and print a receipt
    ///
    /// It cannot be undone: putting the tenant again begins anew, with nothing. Ends with
    /// status 1 when something was still held afterwards: then purge it again.
    Purge {
        /// The tenant
        tenant: String,

        /// Also one that is still served
        #[arg(long)]
        force: bool,

        #[command(flatten)]
        by: By,

        #[command(flatten)]
        to: To,
    },
}

/// Who asks, and what for.
#[derive(Args, Debug)]
struct By {
    /// Who asks; goes to the audit log
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(default_value = "", hide_default_value = true)]
    actor: String,

    /// What for; goes to the audit log
    #[arg(long, value_name = "TEXT")]
    #[arg(default_value = "", hide_default_value = true)]
    why: String,
}

/// To whom, and how it is told.
#[derive(Args, Debug)]
struct To {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    operator: Operator,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum State {
    Active,
    Trial,
    Suspended,
    Maintenance,
    PendingOffboard,
    Offboarded,
}

impl From<State> for v1::TenantState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Trial => Self::Trial,
            State::Suspended => Self::Suspended,
            State::Maintenance => Self::Maintenance,
            State::PendingOffboard => Self::PendingOffboard,
            State::Offboarded => Self::Offboarded,
        }
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, such as rate=100/min".to_owned()),
    }
}

pub(crate) fn run(tenant: Tenant) -> Result<Status, Failure> {
    match tenant.what {
        What::List { after, limit, to } => list(after, limit, &to),
        What::Show { tenant, to } => show(tenant, &to),
        What::Put {
            tenant,
            tier,
            settings,
            state,
            by,
            to,
        } => {
            let request = PutTenantRequest {
                tenant,
                tier,
                settings: settings.into_iter().collect::<HashMap<_, _>>(),
                state: state.map_or(0, |state| v1::TenantState::from(state).into()),
                actor: by.actor,
                why: by.why,
            };
            let done = to
                .operator
                .run(async |mut sidecar| reply(sidecar.put_tenant(request).await))?;
            changed(done.before.as_ref(), done.after.as_ref(), &to)
        }
        What::Suspend { tenant, by, to } => set(tenant, State::Suspended, by, &to),
        What::Resume { tenant, by, to } => set(tenant, State::Active, by, &to),
        What::State {
            tenant,
            state,
            by,
            to,
        } => set(tenant, state, by, &to),
        What::Purge {
            tenant,
            force,
            by,
            to,
        } => purge(tenant, force, by, &to),
    }
}

fn list(mut after: String, limit: Option<usize>, to: &To) -> Result<Status, Failure> {
    /// What a sidecar tells at once at most.
    const PAGE: u32 = 1_000;
    let (tenants, total) = to.operator.run(async |mut sidecar| {
        let mut tenants: Vec<Told> = Vec::new();
        loop {
            let left = limit.map_or(usize::MAX, |limit| limit - tenants.len());
            let page = u32::try_from(left).map_or(PAGE, |left| left.min(PAGE));
            if page == 0 {
                return Ok((tenants, None));
            }
            let request = ListTenantsRequest {
                after,
                limit: page,
                ..ListTenantsRequest::default()
            };
            let listed = reply(sidecar.list_tenants(request).await)?;
            tenants.extend(listed.tenants);
            after = listed.next;
            if after.is_empty() {
                return Ok((tenants, Some(listed.total)));
            }
        }
    })?;
    if to.json {
        let tenants: Vec<_> = tenants.iter().map(in_json).collect();
        let told = json!({ "tenants": tenants, "total": total, "scope": "pod" });
        return done(&format!("{told}\n"));
    }
    if tenants.is_empty() {
        return done("no tenant is known here\n");
    }
    let mut text = String::new();
    for tenant in &tenants {
        let (name, tier) = (printable(&tenant.name), printable(&tenant.tier));
        let rate = rate(tenant.request.as_ref());
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{name:<32} {tier:<12} {:<16} {rate}",
            word(tenant.state())
        );
    }
    done(&text)
}

fn show(tenant: String, to: &To) -> Result<Status, Failure> {
    let request = ListTenantsRequest {
        tenant: tenant.clone(),
        ..ListTenantsRequest::default()
    };
    let mut listed = to
        .operator
        .run(async |mut sidecar| reply(sidecar.list_tenants(request).await))?;
    let Some(told) = listed.tenants.pop() else {
        let tenant = printable(&tenant);
        let why = format!("{tenant}: nobody has named it, and it has no buckets of its own here");
        return Err(Failure::from(why));
    };
    if to.json {
        return done(&format!("{}\n", in_json(&told)));
    }
    done(&described(&told))
}

fn set(tenant: String, state: State, by: By, to: &To) -> Result<Status, Failure> {
    let request = SetTenantStateRequest {
        tenant,
        state: v1::TenantState::from(state).into(),
        actor: by.actor,
        why: by.why,
    };
    let done = to
        .operator
        .run(async |mut sidecar| reply(sidecar.set_tenant_state(request).await))?;
    changed(done.before.as_ref(), done.after.as_ref(), to)
}

fn changed(before: Option<&Told>, after: Option<&Told>, to: &To) -> Result<Status, Failure> {
    let after =
        after.ok_or_else(|| Failure::refused("this sidecar does not say what came of it"))?;
    if to.json {
        let before = before.map(in_json);
        let told = json!({ "before": before, "after": in_json(after), "scope": "pod" });
        return done(&format!("{told}\n"));
    }
    let name = printable(&after.name);
    let is = in_a_line(after);
    let was = before.map_or_else(|| "not known".to_owned(), in_a_line);
    let was = match was == is {
        true => "as before".to_owned(),
        false => format!("was {was}"),
    };
    done(&format!("{name}: {is}, in this sidecar ({was})\n"))
}

fn purge(tenant: String, force: bool, by: By, to: &To) -> Result<Status, Failure> {
    let request = PurgeTenantRequest {
        tenant,
        force,
        actor: by.actor,
        why: by.why,
    };
    let done = to.operator.run_for(PURGE_PATIENCE, async |mut sidecar| {
        reply(sidecar.purge_tenant(request).await)
    })?;
    let receipt = done
        .receipt
        .ok_or_else(|| Failure::refused("this sidecar gives no receipt"))?;
    let told = if to.json {
        format!("{}\n", receipt_in_json(&receipt))
    } else {
        received(&receipt)
    };
    bytes::print(told.as_bytes())?;
    Ok(if receipt.not_verified.is_empty() {
        Status::Done
    } else {
        Status::Failed
    })
}

fn done(told: &str) -> Result<Status, Failure> {
    bytes::print(told.as_bytes())?;
    Ok(Status::Done)
}
