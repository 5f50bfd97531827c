//! Chromium without a window, over its debugging protocol.
//!
//! `--remote-debugging-pipe` reads commands from descriptor 3 and writes answers and events to
//! descriptor 4, each a JSON object ended by a zero byte. A shell puts named pipes there. So nothing
//! here needs a socket, a WebSocket or a port.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use super::base64;
use crate::{command, failure::Failure, stopwatch::Stopwatch};

/// How long one command may take, and how long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a page is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// No name resolves, nothing is asked of its makers, no sandbox inside a container.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
];

/// A browser with one page; ended when this is dropped.
pub(super) struct Browser {
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    session: String,
    sent: u64,
    profile: PathBuf,
    /// What the page told since it was last asked.
    events: Vec<Value>,
    /// Answers instead of the sidecar's, for requests of `/stats.json`.
    answer: Option<String>,
}

impl Browser {
    pub(super) fn start(chromium: &str, folder: &Path) -> Result<Self, Failure> {
        let profile = folder.join(format!("profile-{}", std::process::id()));
        fs::create_dir_all(&profile)?;
        let (to, from) = (profile.join("to"), profile.join("from"));
        command::run(Command::new("mkfifo").args([&to, &from]))?;
        let child = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<\"$MILLPOND_TO\" 4>\"$MILLPOND_FROM\"",
                chromium,
            ])
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("about:blank")
            .env("MILLPOND_TO", &to)
            .env("MILLPOND_FROM", &from)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("chromium.log"))?)
            .spawn()?;
        // Opening a pipe waits for its other end; the shell opens them in this order.
        let commands = OpenOptions::new().write(true).open(&to)?;
        let answers = BufReader::new(File::open(&from)?);
        let (tell, messages) = channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else {
                    continue;
                };
                if tell.send(message).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            commands,
            messages,
            session: String::new(),
            sent: 0,
            profile,
            events: Vec::new(),
            answer: None,
        };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach)?;
        browser.session = text(&attached["sessionId"])?;
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Runs a command of the protocol.
    pub(super) fn call(&mut self, method: &str, parameters: Value) -> Result<Value, Failure> {
        let id = self.send(method, parameters)?;
        let watch = Stopwatch::start();
        while let Some(left) = PATIENCE.checked_sub(watch.elapsed()) {
            let Some(message) = self.next(left)? else {
                break;
            };
            if message["id"] != id {
                continue;
            }
            if message["error"].is_object() {
                return Err(Failure::new(format!("{method}: {}", message["error"])));
            }
            return Ok(message["result"].clone());
        }
        Err(Failure::new(format!("{method}: no answer in {PATIENCE:?}")))
    }

    fn send(&mut self, method: &str, parameters: Value) -> Result<u64, Failure> {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.commands.write_all(message.to_string().as_bytes())?;
        self.commands.write_all(&[0])?;
        Ok(self.sent)
    }

    /// The next message; events are kept, and requests that wait are answered.
    fn next(&mut self, patience: Duration) -> Result<Option<Value>, Failure> {
        let message = match self.messages.recv_timeout(patience) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::new(
                    "Chromium ended: see target/console/chromium.log",
                ));
            }
        };
        if message["method"] == "Fetch.requestPaused" {
            let id = message["params"]["requestId"].clone();
            match self.answer.clone() {
                Some(body) => {
                    let reply = json!({
                        "requestId": id,
                        "responseCode": 200,
                        "responseHeaders": [{ "name": "content-type", "value": "application/json" }],
                        "body": base64::encode(body.as_bytes()),
                    });
                    self.send("Fetch.fulfillRequest", reply)?;
                }
                None => {
                    self.send("Fetch.continueRequest", json!({ "requestId": id }))?;
                }
            }
        } else if message["method"].is_string() {
            self.events.push(message.clone());
        }
        Ok(Some(message))
    }

    /// What the page told since this was last asked.
    pub(super) fn events(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn open(&mut self, address: &str) -> Result<(), Failure> {
        let opened = self.call("Page.navigate", json!({ "url": address }))?;
        match opened["errorText"].as_str() {
            None => Ok(()),
            Some(error) => Err(Failure::new(format!("{address}: {error}"))),
        }
    }

    /// Answers `/stats.json` with this from now on; `None`: the sidecar does.
    pub(super) fn answer_with(&mut self, body: Option<String>) -> Result<(), Failure> {
        let asks = body.is_some();
        self.answer = body;
        if asks {
            let patterns = json!({ "patterns": [{ "urlPattern": "*/stats.json" }] });
            self.call("Fetch.enable", patterns)?;
        } else {
            self.call("Fetch.disable", json!({}))?;
        }
        Ok(())
    }

    /// What an expression of the page comes to.
    pub(super) fn value(&mut self, expression: &str) -> Result<Value, Failure> {
        let asked = json!({
            "expression": expression, "returnByValue": true, "awaitPromise": true,
        });
        let reply = self.call("Runtime.evaluate", asked)?;
        if reply["exceptionDetails"].is_object() {
            return Err(Failure::new(format!(
                "{expression}: {}",
                reply["exceptionDetails"]
            )));
        }
        Ok(reply["result"]["value"].clone())
    }

    /// Waits until an expression is true. One that cannot be worked out yet, because the page is
    /// still on its way, is not.
    pub(super) fn until(&mut self, what: &str, expression: &str) -> Result<(), Failure> {
        let expression = format!(
            "(() => {{ try {{ return {expression}; }} catch (error) {{ return String(error); }} }})()"
        );
        let watch = Stopwatch::start();
        let mut last = Value::Null;
        while watch.elapsed() < PATIENCE {
            last = self.value(&expression)?;
            if last == true {
                return Ok(());
            }
            // Events that come meanwhile are read by the next command.
            thread::sleep(LOOK_EVERY);
        }
        let page = self.value("document.body?.innerText")?;
        let page = page.as_str().unwrap_or_default();
        Err(Failure::new(format!(
            "never so: {what} ({last}); the page says:\n{page}"
        )))
    }

    pub(super) fn size(&mut self, width: u32, height: u32) -> Result<(), Failure> {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics)?;
        Ok(())
    }

    pub(super) fn scheme(&mut self, scheme: &str) -> Result<(), Failure> {
        let media = json!({
            "features": [
                { "name": "prefers-color-scheme", "value": scheme },
                { "name": "prefers-reduced-motion", "value": "reduce" },
            ],
        });
        self.call("Emulation.setEmulatedMedia", media)?;
        Ok(())
    }

    /// The whole page as a picture.
    pub(super) fn picture(&mut self, file: &Path) -> Result<(), Failure> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", whole)?;
        let bytes = base64::decode(&text(&picture["data"])?);
        let bytes = bytes.ok_or_else(|| Failure::new("the picture is not base64"))?;
        fs::write(file, bytes)?;
        Ok(())
    }
}

fn text(value: &Value) -> Result<String, Failure> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| Failure::new(format!("expected a text, got {value}")))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, it ends its own processes; killed, it might leave some.
        self.session.clear();
        drop(self.send("Browser.close", json!({})));
        let watch = Stopwatch::start();
        while watch.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
        drop(self.child.kill());
        drop(self.child.wait());
        drop(fs::remove_dir_all(&self.profile));
    }
}
