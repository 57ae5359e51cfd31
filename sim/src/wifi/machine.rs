//! An emulated machine with simulated radios: Debian's own kernel, unpacked and never installed,
//! with `mac80211_hwsim`, because few machines have radios and no test may need them.
//!
//! 1. The kernel's package is fetched and unpacked into a folder that only this uses, beside the
//!    build output or else in the cache folder of the user; once per machine.
//! 2. An initial file system is made of busybox, the modules that its root needs, and [`INIT`].
//! 3. The machine sees every file of this one, read only, under a layer in memory, so that all
//!    installed programs and all build outputs are there by the same path; and one writable folder.
//! 4. Its first serial line is the output of the one program that it runs; the kernel has the
//!    second.
//!
//! Emulation in software is enough: nothing of the host is needed but memory, and no privilege.

mod archive;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::{find, hostap};
use archive::Archive;

/// Programs that this needs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 11] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("modprobe", "kmod"),
    ("depmod", "kmod"),
    ("ip", "iproute2"),
    ("iw", "iw"),
    ("hostapd", "hostapd"),
    ("wpa_supplicant", "wpasupplicant"),
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("dpkg-deb", "dpkg"),
];

/// The package that always depends on Debian's present kernel.
const KERNEL: &str = "linux-image-amd64";

/// What the initial file system needs to find the host's files.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_rng", "9pnet_virtio", "9p", "overlay"];

/// The first program of the machine.
const INIT: &str = include_str!("machine/init.sh");

/// Memory of the machine, in MiB.
const MEMORY: u32 = 1024;

/// How often a machine is asked whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the machine has the folder that it may write to.
pub const OUTPUT: &str = "/mnt/out";

/// The variable that tells programs in the machine where the kernel was unpacked.
pub const KERNEL_FOLDER: &str = "VOUCHSAFE_KERNEL";

/// What is not here of what a machine needs, by name; nothing where everything is.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| (*package).to_owned())
        .collect();
    missing.dedup();
    if !cfg!(target_arch = "x86_64") {
        missing.push("a processor that runs amd64 programs".to_owned());
    }
    missing
}

/// A kernel and its initial file system, ready to boot.
#[derive(Debug, Clone)]
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// The one that is here, or a new one.
    ///
    /// # Errors
    /// Debian's archive cannot be reached, or a program is missing.
    pub fn prepare() -> anyhow::Result<Self> {
        let missing = missing();
        ensure!(missing.is_empty(), "not here: {}", missing.join(", "));
        let cache = cache()?;
        fs::create_dir_all(&cache)?;
        // Tests are processes that may come here at the same time.
        let lock = File::create(cache.join("lock"))?;
        lock.lock()?;
        let folder = cache.join("image");
        if !folder.is_dir() {
            unpack(&cache, &folder)?;
        }
        let made_by = folder.join("init.sh");
        if fs::read_to_string(&made_by).is_ok_and(|init| init == INIT) {
            return Ok(Self { folder });
        }
        let initial = initial_file_system(&folder.join("root"))?;
        fs::write(folder.join("initial"), initial)?;
        fs::write(made_by, INIT)?;
        Ok(Self { folder })
    }

    fn kernel(&self) -> anyhow::Result<PathBuf> {
        kernel_file(&self.folder.join("root"))
    }
}

/// Beside the build output if this program is part of one.
fn cache() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file());
    if let Some(target) = target {
        return Ok(target.join("radio"));
    }
    let user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let user = user
        .or_else(home)
        .context("no cache folder: HOME is not set")?;
    Ok(user.join("vouchsafe/radio"))
}

/// Step 1.
fn unpack(cache: &Path, folder: &Path) -> anyhow::Result<()> {
    let work = tempfile::tempdir_in(cache)?;
    let package = match kernel_package() {
        Ok(package) => package,
        Err(_) => {
            // A machine that was just set up has no lists yet; only root may fetch them.
            run(Command::new("apt-get").args(["update", "-qq"]))?;
            kernel_package()?
        }
    };
    let mut download = Command::new("apt-get");
    run(download
        .current_dir(work.path())
        .args(["download", "-q", &package]))?;
    let archive = entries(work.path())?
        .into_iter()
        .next()
        .context("apt-get downloaded nothing")?;
    let made = work.path().join("image");
    let root = made.join("root");
    fs::create_dir_all(&root)?;
    run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root))?;
    run(tool("depmod")?.arg("-b").arg(&root).arg(version(&root)?))?;
    fs::rename(made, folder)?;
    Ok(())
}

/// Debian's present kernel.
fn kernel_package() -> anyhow::Result<String> {
    let depends = run(Command::new("apt-cache").args(["depends", KERNEL]))?;
    let named = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .with_context(|| format!("apt knows no {KERNEL}"))?;
    Ok(named.to_owned())
}

/// Step 2.
fn initial_file_system(root: &Path) -> anyhow::Result<Vec<u8>> {
    let version = version(root)?;
    let mut archive = Archive::default();
    for folder in ["bin", "proc", "sys", "dev", "root", "m"] {
        archive.folder(folder);
    }
    let busybox = find("busybox").context("no busybox")?;
    archive.program("bin/busybox", &fs::read(busybox)?)?;
    archive.program("init", INIT.as_bytes())?;
    let mut list = Vec::new();
    for module in MODULES {
        let mut query = tool("modprobe")?;
        query.arg("-d").arg(root).arg("-S").arg(&version);
        let needed = run(query.args(["--show-depends", module]))?;
        for line in needed.lines() {
            let Some(file) = line.strip_prefix("insmod ") else {
                continue;
            };
            let file = PathBuf::from(file.trim());
            if !list.contains(&file) {
                list.push(file);
            }
        }
    }
    let mut names = String::new();
    for file in &list {
        let name = file.file_name().unwrap_or_default().display().to_string();
        archive.program(&format!("m/{name}"), &fs::read(file)?)?;
        names.push_str(&name);
        names.push('\n');
    }
    archive.program("m/list", names.as_bytes())?;
    Ok(archive.finish())
}

/// The kernel's version, as its folder of modules is called.
fn version(root: &Path) -> anyhow::Result<OsString> {
    let modules = entries(&root.join("lib/modules"))?;
    let folder = modules.first().and_then(|folder| folder.file_name());
    Ok(folder.context("the package has no modules")?.to_owned())
}

fn kernel_file(root: &Path) -> anyhow::Result<PathBuf> {
    let is_kernel = |file: &PathBuf| {
        file.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
    };
    let mut files = entries(&root.join("boot"))?.into_iter();
    files.find(is_kernel).context("the package has no kernel")
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths: std::io::Result<Vec<PathBuf>> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    Ok(paths?)
}

fn tool(name: &str) -> anyhow::Result<Command> {
    Ok(Command::new(
        find(name).with_context(|| format!("no {name}"))?,
    ))
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| shown.clone())?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{shown} ended with {}: {}",
        output.status,
        complaint.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    reader: Option<JoinHandle<()>>,
    folder: TempDir,
}

impl Machine {
    /// Boots, and runs one program with these arguments and environment. `each` gets every line that
    /// the program writes, and is dropped when the machine has ended.
    ///
    /// # Errors
    /// The emulator cannot be started.
    pub fn boot(
        image: &Image,
        program: &[OsString],
        environment: &[(&str, String)],
        mut each: impl FnMut(String) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("vouchsafe-radio-")
            .tempdir()?;
        fs::write(
            folder.path().join("run"),
            script(image, program, environment),
        )?;
        let console = folder.path().join("console");
        let share = |id: &str, path: &Path, more: &str| {
            let path = path.display();
            format!("local,id={id},path={path},security_model=none{more}")
        };
        let mut command = tool("qemu-system-x86_64")?;
        command
            .args(["-accel", "tcg", "-M", "q35", "-cpu", "max", "-smp", "1"])
            .args(["-m", &MEMORY.to_string()])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .arg("-no-reboot")
            .args(["-serial", "stdio"])
            .args(["-serial", &format!("file:{}", console.display())])
            .arg("-kernel")
            .arg(image.kernel()?)
            .arg("-initrd")
            .arg(image.folder.join("initial"))
            .args([
                "-append",
                "console=ttyS1 quiet loglevel=3 panic=-1 mitigations=off",
            ])
            .arg("-fsdev")
            .arg(share("h", Path::new("/"), ",readonly=on,multidevs=remap"))
            .args(["-device", "virtio-9p-pci,fsdev=h,mount_tag=host"])
            .arg("-fsdev")
            .arg(share("o", folder.path(), ""))
            .args(["-device", "virtio-9p-pci,fsdev=o,mount_tag=out"])
            .args(["-device", "virtio-rng-pci"]);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("emulator"))?)
            .spawn()
            .context("starting the emulator")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let reader = std::thread::spawn(move || {
            for line in output.split(b'\n').map_while(Result::ok) {
                each(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
        });
        Ok(Self {
            child,
            reader: Some(reader),
            folder,
        })
    }

    /// The folder that the machine has at [`OUTPUT`].
    #[must_use]
    pub fn output(&self) -> &Path {
        self.folder.path()
    }

    /// Waits for the end of the machine, and gives the exit code of its program. Every line was
    /// given away by then.
    ///
    /// # Errors
    /// It does not end in time, or it ended without having run the program.
    pub fn code(mut self, within: Duration) -> anyhow::Result<i32> {
        let deadline = Instant::now() + within;
        while self.child.try_wait()?.is_none() {
            ensure!(
                Instant::now() < deadline,
                "the machine does not end\n{}",
                self.complaints()
            );
            std::thread::sleep(PAUSE);
        }
        if let Some(reader) = self.reader.take() {
            // It ends with the output; what it may have panicked about was said there.
            let _ = reader.join();
        }
        let code = fs::read_to_string(self.folder.path().join("code")).ok();
        let code = code.and_then(|code| code.trim().parse().ok());
        code.with_context(|| format!("the machine ran no program\n{}", self.complaints()))
    }

    /// What emulator, kernel and program complained of.
    #[must_use]
    pub fn complaints(&self) -> String {
        let read = |name| fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("emulator") + &read("console") + &read("errors")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        hostap::end(&mut self.child);
    }
}

/// What the machine runs after it has found the host's files.
fn script(image: &Image, program: &[OsString], environment: &[(&str, String)]) -> String {
    let mut text = String::new();
    let folder = image.folder.join("root").display().to_string();
    let own = [(KERNEL_FOLDER, folder)];
    for (name, value) in own.iter().chain(environment) {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    let words: Vec<String> = program
        .iter()
        .map(|word| quoted(&word.to_string_lossy()))
        .collect();
    text.push_str(&format!("exec {}\n", words.join(" ")));
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
