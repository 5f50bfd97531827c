//! A limit before an axum server: so many requests for each tenant, then 429.
//!
//! `cargo run -p millpond-client --example axum_limit` runs on limits in
//! this process; with `MILLPOND_ADDR` set, on those of the sidecar there.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use axum::Router;
use axum::routing::get;
use millpond_client::tenants::{
    Config, Directory, Overrides, Pace, Strangers, Tier, TierName, Tiers,
};
use millpond_client::tower::LimitLayer;
use millpond_client::{EmbeddedConfig, Millpond, Quota};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Three requests at once, and one more each minute, for whoever comes.
fn config() -> Result<EmbeddedConfig, Box<dyn Error>> {
    let name = TierName::parse("trial")?;
    let quota = Quota::new(1, std::time::Duration::from_secs(60), 3)?;
    let settings = Overrides {
        request: Pace::from(quota),
        ..Overrides::default()
    };
    let trial = Tier {
        name: name.clone(),
        extends: None,
        settings,
    };
    let tenants = Config {
        tiers: Tiers::new(vec![trial]).map_err(|wrong| format!("{wrong:?}"))?,
        strangers: Strangers::Tier {
            tier: name,
            most: Strangers::MOST,
        },
        ..Config::default()
    };
    let directory = Directory::new(tenants).map_err(|wrong| format!("{wrong:?}"))?;
    Ok(EmbeddedConfig::default().directory(directory))
}

async fn request(at: std::net::SocketAddr, tenant: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = TcpStream::connect(at).await?;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: example\r\nx-tenant: {tenant}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pond = Millpond::from_env_or_embedded(config()?).await?;
    let by_tenant = LimitLayer::new(pond.requests(), |request| {
        let tenant = request.headers.get("x-tenant")?.to_str().ok()?;
        Some(tenant.to_owned())
    });
    let server = Router::new()
        .route("/", get(|| async { "hello" }))
        .layer(by_tenant);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let serving = tokio::spawn(async move { axum::serve(listener, server).await });

    let mut statuses = Vec::new();
    for _ in 0..4 {
        let response = request(at, "acme").await?;
        let head = response.split("\r\n\r\n").next().unwrap_or_default();
        println!("{head}\n");
        statuses.extend(response.split(' ').nth(1).map(str::to_owned));
    }
    serving.abort();
    // A sidecar has limits of its own.
    if std::env::var_os(millpond_client::ADDR_VARIABLE).is_none() {
        assert_eq!(statuses, ["200", "200", "200", "429"]);
    }
    Ok(())
}
