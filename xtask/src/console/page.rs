//! What the console must show, and how.

use std::path::Path;

use serde_json::{Value, json};

use super::browser::Browser;
use super::served::Served;
use crate::failure::Failure;

/// All that one visit fetches, `/stats.json` once included.
const MAX_PAGE_BYTES: f64 = 100.0 * 1024.0;

/// Text against what is behind it, and every place where that falls short of WCAG 2.2 AA (1.4.3).
const CONTRAST: &str = r"(() => {
  const channel = (value) => { value /= 255; return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => { const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number); return { r, g, b, a }; };
  const light = ({ r, g, b }) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const ground = parse(getComputedStyle(at).backgroundColor);
      if (ground.a === 1) return ground;
    }
    return { r: 255, g: 255, b: 255 };
  };
  const wrong = [];
  for (const element of document.body.querySelectorAll('*')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.tagName === 'NOSCRIPT') continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parse(style.color)), light(behind(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) wrong.push(`${element.tagName} ${element.className} '${element.textContent.trim().slice(0, 30)}' ${ratio.toFixed(2)}`);
  }
  return wrong;
})()";

/// Names, headings, labels and rows that a reader without eyes for the page needs.
const STRUCTURE: &str = r"(() => {
  const wrong = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  for (const landmark of ['header', 'main', 'footer']) if (all(landmark).length !== 1) wrong.push(`${landmark}: not once`);
  if (document.documentElement.lang === '') wrong.push('no language');
  if (all('h1').length !== 1) wrong.push('h1: not once');
  let level = 0;
  for (const heading of all('h1, h2, h3').filter((one) => one.checkVisibility())) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) wrong.push(`${heading.textContent}: a level is left out`);
    level = own;
  }
  for (const section of all('section')) if (!document.getElementById(section.getAttribute('aria-labelledby'))) wrong.push('a section without a name');
  for (const scroll of all('.scroll')) if (scroll.tabIndex !== 0 || !scroll.hasAttribute('aria-labelledby')) wrong.push('what scrolls cannot be reached by keys');
  for (const image of all('[role=img]')) if ((image.getAttribute('aria-label') ?? '').length < 20) wrong.push('a chart without words');
  for (const cell of all('thead th')) if (cell.scope !== 'col') wrong.push(`${cell.textContent}: no scope`);
  for (const row of all('tbody tr')) if (row.cells[0].tagName !== 'TH' || row.cells[0].scope !== 'row') wrong.push('a row without a header');
  for (const meter of all('meter')) if (meter.labels.length === 0) wrong.push('a meter without a label');
  for (const live of all('[aria-live], [role=status], [role=alert]')) if (live.id !== 'banner') wrong.push(`${live.id} speaks by itself`);
  for (const id of all('[id]')) if (all(`#${id.id}`).length > 1) wrong.push(`${id.id} is there twice`);
  return wrong;
})()";

/// Where the keyboard comes to, and whether one sees it there.
const FOCUS: &str = r"(() => {
  const wrong = [];
  const reached = [...document.querySelectorAll('a, button, [tabindex=\'0\']')].filter((one) => one.checkVisibility());
  for (const element of reached) {
    element.focus({ focusVisible: true });
    const style = getComputedStyle(element);
    if (document.activeElement !== element || style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) wrong.push(element.outerHTML.slice(0, 80));
  }
  document.activeElement?.blur();
  scrollTo(0, 0);
  return reached.length < 5 ? ['too little can be reached'] : wrong;
})()";

/// What is wider than the window, or sticks out of its box without a way to scroll there.
const OVERFLOW: &str = r"(() => {
  const wrong = [];
  const over = document.documentElement.scrollWidth - innerWidth;
  if (over > 0) wrong.push(`the page is ${over} px too wide`);
  for (const section of document.querySelectorAll('section')) {
    const inside = section.getBoundingClientRect();
    const edge = inside.right - parseFloat(getComputedStyle(section).paddingRight);
    for (const element of section.querySelectorAll('*')) {
      if (element.closest('.scroll') && !element.matches('.scroll')) continue;
      const right = element.getBoundingClientRect().right;
      if (right > edge + 1) wrong.push(`${element.tagName} #${element.id} sticks out by ${(right - edge).toFixed(0)} px`);
    }
  }
  return wrong;
})()";

pub(super) fn shows_what_the_sidecar_does(
    browser: &mut Browser,
    served: &Served,
    pictures: &Path,
) -> Result<(), Failure> {
    browser.scheme("light")?;
    browser.size(1280, 900)?;
    browser.open(served.console())?;
    let text = |id: &str| format!("document.getElementById('{id}').textContent");
    for (what, expression) in [
        ("the stage is told", format!("{} === 'serving'", text("stage"))),
        ("reads are counted", format!("/^[1-9]/.test({})", text("t-reads"))),
        ("the hit ratio is told", format!("/^[0-9.]+ %$/.test({})", text("t-ratio"))),
        ("loads are counted", format!("/^[0-9]/.test({})", text("t-loads"))),
        ("loads saved are counted", format!("/^[1-9]/.test({})", text("t-saved"))),
        ("entries are counted", format!("/^[1-9]/.test({})", text("t-entries"))),
        (
            "a cache is listed, and the figures of those that are not declared stand below",
            "(([one, others, none]) => one && /^[1-9]/.test(others?.cells[3].textContent) && /%/.test(others.cells[4].textContent) && !none)(document.querySelectorAll('#caches tr'))".to_owned(),
        ),
        (
            "stale answers have their reason",
            "[...document.querySelectorAll('#stale tr')].some((row) => row.cells[0].textContent === 'one caller refreshes it' && /^[1-9]/.test(row.cells[2].textContent))".to_owned(),
        ),
        (
            "calls are listed by method",
            "[...document.querySelectorAll('#methods tr')].some((row) => row.cells[0].textContent === 'Get' && /^[1-9]/.test(row.cells[1].textContent))".to_owned(),
        ),
        ("changes are listed", "document.querySelector('#changes tr').textContent.includes('serving')".to_owned()),
        ("memory is told", "/MiB resident/.test(document.getElementById('memory').textContent)".to_owned()),
        ("the configuration is told", "/none: flags/.test(document.getElementById('config').textContent)".to_owned()),
        (
            "the charts have lines of 8 points and say so in words",
            "[...document.querySelectorAll('.chart > svg')].every((chart) => (chart.querySelector('path:not(.area)').getAttribute('d').match(/[ML]/g) ?? []).length >= 8 && /now [0-9]/.test(chart.getAttribute('aria-label')))".to_owned(),
        ),
    ] {
        browser.until(what, &expression)?;
    }
    let reads = "document.getElementById('t-saved').textContent";
    let before = browser.value(reads)?;
    browser.until("the figures move", &format!("{reads} !== {before}"))?;

    browser.value("document.getElementById('pause').click()")?;
    browser.until(
        "a page that is paused says how old it is",
        "document.getElementById('pause').getAttribute('aria-pressed') === 'true' && /old/.test(document.getElementById('age').textContent)",
    )?;
    browser.value("document.getElementById('pause').click()")?;
    browser.until("it goes on", "document.getElementById('age').hidden")?;

    quiet_and_at_home(browser, served.console())?;
    none(browser, "structure", STRUCTURE)?;
    none(browser, "focus", FOCUS)?;
    looks(browser, pictures, "live")
}

/// What no sidecar in a test comes to: every state at once, and names that mean harm.
pub(super) fn shows_whatever_it_is_told(
    browser: &mut Browser,
    served: &Served,
    pictures: &Path,
) -> Result<(), Failure> {
    const HARM: &str =
        "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>";
    let told = served.get("/stats.json")?;
    let mut stats: Value = serde_json::from_str(&told)
        .map_err(|error| Failure::new(format!("/stats.json: {error}")))?;
    stats["stage"] = "draining".into();
    let cache = |name: &str, mode: &str, ends: Option<u64>| {
        let mut cache = stats["caches"][0].clone();
        cache["name"] = name.into();
        cache["mode"] = mode.into();
        cache["switched"] = ends.is_some().into();
        cache["mode_ends_in_ms"] = ends.into();
        cache["counts"] = json!({ "hits": 900, "stale": 0, "misses": 100, "loads": 100 });
        cache
    };
    let long = "a".repeat(64);
    stats["caches"] = json!([
        cache("users", "on", None),
        cache("carts", "bypass", Some(3_540_000)),
        cache("prices", "observe", Some(12_000)),
        cache(&long, "on", None),
        cache(HARM, "on", None),
    ]);
    stats["changes"] = (0..64)
        .map(|age| json!({ "age_ms": age * 61_000, "kind": "mode", "what": format!("users: on → bypass ({HARM})") }))
        .collect();
    stats["config"] = json!({
        "file": "/etc/millpond/millpond.yaml", "hash": "9f86d081884c7d65", "loaded_ms_ago": 86_400_000_u64,
        "reloads": 3, "reloads_refused": 1, "after_restart": ["workers: 3 is said, 2 is in force"], "refused": [format!("caches.users.fresh: {HARM}"), "memory: expected a size"],
    });
    for method in stats["methods"].as_array_mut().into_iter().flatten() {
        method["p50_us"] = 180.into();
        method["p99_us"] = 12_500.into();
    }
    stats["memory"]["in_flight_bytes"] = 65_536.into();
    stats["memory"]["in_flight_budget_bytes"] = (64 << 20).into();
    stats["cache"]["hits"] = "9007199254740993".into();
    browser.answer_with(Some(stats.to_string()))?;
    for (what, expression) in [
        (
            "draining is said aloud",
            "/draining/.test(document.getElementById('banner').textContent)",
        ),
        (
            "a hostile name is text",
            "[...document.querySelectorAll('#caches th')].some((cell) => cell.textContent.startsWith('<img src=x'))",
        ),
        (
            "a mode that ends says when",
            "/bypass, for another 59 min/.test(document.getElementById('caches').textContent)",
        ),
        (
            "a refused file says why",
            "document.querySelectorAll('#refused-list li').length === 2",
        ),
        (
            "all changes are listed",
            "document.querySelectorAll('#changes tr').length === 64",
        ),
        (
            "latencies are told",
            "/180 µs12.5 ms/.test(document.getElementById('methods').textContent)",
        ),
        (
            "nothing came of it",
            "document.title === 'Millpond' && document.querySelectorAll('img, body script').length === 0",
        ),
    ] {
        browser.until(what, expression)?;
    }
    none(browser, "structure", STRUCTURE)?;
    quiet_and_at_home(browser, served.console())?;
    looks(browser, pictures, "everything")?;
    browser.answer_with(None)
}

pub(super) fn says_when_the_sidecar_is_away(
    browser: &mut Browser,
    served: Served,
    pictures: &Path,
) -> Result<(), Failure> {
    browser.until(
        "it is back",
        "document.getElementById('stage').textContent === 'serving'",
    )?;
    served.drain()?;
    browser.until(
        "the page says that the sidecar is away, and how old its figures are",
        "/does not answer/.test(document.getElementById('banner').textContent) && document.getElementById('stage').textContent === 'away' && / old/.test(document.getElementById('age').textContent)",
    )?;
    looks(browser, pictures, "away")
}

/// The page's policy holds even for its own script. Last, because the browser complains of it.
pub(super) fn is_kept_from_asking_elsewhere(browser: &mut Browser) -> Result<(), Failure> {
    browser.events();
    let asked =
        browser.value("fetch('http://127.0.0.1:1/').then(() => 'allowed', () => 'refused')")?;
    let complaint = browser
        .events()
        .iter()
        .any(|event| event.to_string().contains("Content Security Policy"));
    if asked == "refused" && complaint {
        println!("ok      the page's policy keeps it from asking elsewhere");
        Ok(())
    } else {
        Err(Failure::new("the page may ask other hosts"))
    }
}

/// Nothing in the browser's console, every request to ourselves, and few bytes.
fn quiet_and_at_home(browser: &mut Browser, home: &str) -> Result<(), Failure> {
    let events = browser.events();
    let said: Vec<String> = events
        .iter()
        .filter(|event| {
            let method = event["method"].as_str().unwrap_or_default();
            [
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
                "Log.entryAdded",
            ]
            .contains(&method)
        })
        .map(|event| event["params"].to_string())
        .collect();
    if !said.is_empty() {
        return Err(Failure::new(format!(
            "the browser's console: {}",
            said.join("\n")
        )));
    }
    let of = |method: &'static str| events.iter().filter(move |event| event["method"] == method);
    let mut asked: Vec<(Value, String)> = Vec::new();
    for request in of("Network.requestWillBeSent") {
        let (id, url) = (
            &request["params"]["requestId"],
            &request["params"]["request"]["url"],
        );
        asked.push((id.clone(), url.as_str().unwrap_or_default().to_owned()));
    }
    if asked.is_empty() {
        return Err(Failure::new("no request was seen: the check is blind"));
    }
    if let Some((_, url)) = asked
        .iter()
        .find(|(_, url)| !url.starts_with(&format!("{home}/")))
    {
        return Err(Failure::new(format!("a request leaves the host: {url}")));
    }
    let mut seen: Vec<&str> = Vec::new();
    let mut weight = 0.0;
    for (id, url) in &asked {
        if seen.contains(&url.as_str()) {
            continue;
        }
        seen.push(url);
        weight += of("Network.loadingFinished")
            .filter(|done| done["params"]["requestId"] == *id)
            .filter_map(|done| done["params"]["encodedDataLength"].as_f64())
            .sum::<f64>();
    }
    if weight > MAX_PAGE_BYTES {
        return Err(Failure::new(format!(
            "the page weighs {weight} bytes, limit {MAX_PAGE_BYTES}"
        )));
    }
    println!(
        "ok      {} requests, all to {home}; {} files, {weight} bytes; nothing in the browser's console",
        asked.len(),
        seen.len()
    );
    Ok(())
}

/// Pictures in both schemes and two widths; contrast and fit in each.
fn looks(browser: &mut Browser, pictures: &Path, name: &str) -> Result<(), Failure> {
    // 640 is a window of 1280 at 200 %.
    for (scheme, width, height) in [
        ("light", 1280, 900),
        ("dark", 1280, 900),
        ("light", 360, 800),
        ("dark", 640, 450),
    ] {
        browser.scheme(scheme)?;
        browser.size(width, height)?;
        let view = format!("{name}, {scheme}, {width} px");
        browser.picture(&pictures.join(format!("{name}-{scheme}-{width}.png")))?;
        none(browser, &format!("{view}: fit"), OVERFLOW)?;
        none(browser, &format!("{view}: contrast"), CONTRAST)?;
    }
    browser.scheme("light")?;
    browser.size(1280, 900)
}

fn none(browser: &mut Browser, what: &str, expression: &str) -> Result<(), Failure> {
    let wrong = browser.value(expression)?;
    let list = wrong
        .as_array()
        .ok_or_else(|| Failure::new(format!("{what}: {wrong}")))?;
    if list.is_empty() {
        println!("ok      {what}");
        return Ok(());
    }
    Err(Failure::new(format!("{what}: {wrong:#}")))
}
