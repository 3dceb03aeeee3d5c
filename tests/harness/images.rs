//! The container images as files, built by `deploy/images/build` as everyone builds them. They are kept in
//! the cache, named by what goes in, so that only what has changed is built again. It knows neither how an
//! image is run nor what must be in it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use crate::assets;
use crate::pki::fingerprint;
use crate::process::run;
use crate::workdir;

/// For optimised programs from nothing, on a busy machine.
const BUILD: Duration = Duration::from_secs(3600);
/// Folders of one image each that stay in the cache: three states of the four images.
const KEPT: usize = 12;

/// All images that the tests run.
#[derive(Debug)]
pub struct Images {
    /// The operator, without its demo.
    pub operator: ImageArchive,
    /// The terminator.
    pub terminator: ImageArchive,
    /// A real smart-mqtt, listening on 1883; its settings come as `BROKER_…` from the environment.
    pub smart_mqtt: ImageArchive,
    /// mosquitto, listening on 1883; it keeps sessions and messages in `/mosquitto/data`.
    pub mosquitto: ImageArchive,
}

/// One image in a file, in the form of `docker save`.
#[derive(Debug)]
pub struct ImageArchive {
    /// As a manifest names it: `mqtt-tls-operator:0.1.0`.
    pub name: String,
    /// The archive.
    pub file: PathBuf,
}

impl Images {
    /// All of them, built if they are not in the cache. Optimised programs take minutes the first time.
    #[track_caller]
    pub fn built() -> &'static Self {
        static BUILT: OnceLock<Images> = OnceLock::new();
        BUILT.get_or_init(|| {
            let cache = assets::cache();
            fs::create_dir_all(&cache).expect("the cache folder can be made");
            // One at a time: another test process waits, and finds them made.
            let lock = File::create(cache.join("images.lock")).expect("the cache folder is ours");
            lock.lock().expect("a file can be locked");
            let images = Self::find_or_build(&cache);
            remove_old(&cache);
            images
        })
    }

    /// Each of them.
    pub fn all(&self) -> [&ImageArchive; 4] {
        let Self {
            operator,
            terminator,
            smart_mqtt,
            mosquitto,
        } = self;
        [operator, terminator, smart_mqtt, mosquitto]
    }

    fn find_or_build(cache: &Path) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let [operator, terminator] = programs();
        let ours = ["Cargo.toml", "Cargo.lock"];
        let brokers = ["tests/assets/versions", "deploy/images/closure"];
        let mosquitto = PathBuf::from(assets::installed("mosquitto").get_program());
        Self {
            operator: Recipe::of("operator", format!("mqtt-tls-operator:{version}"))
                .sources(&ours)
                .file(&operator)
                .archive(cache),
            terminator: Recipe::of("terminator", format!("mqtt-tls-terminator:{version}"))
                .sources(&ours)
                .file(&terminator)
                .archive(cache),
            smart_mqtt: Recipe::of(
                "smart-mqtt",
                format!("smart-mqtt:{}", assets::version("SMART_MQTT")),
            )
            .sources(&brokers)
            .sources(&["deploy/images/smart-mqtt.context"])
            .says(assets::installed("java").arg("-version"))
            .says(Command::new("ldd").arg("--version"))
            .archive(cache),
            mosquitto: Recipe::of("tests/assets/images/mosquitto", "mosquitto:test".to_owned())
                .sources(&brokers)
                .sources(&["tests/assets/images/mosquitto.context"])
                .sources(&["tests/assets/images/mosquitto.conf"])
                .file(&mosquitto)
                .says(Command::new("ldd").arg("--version"))
                .archive(cache),
        }
    }
}

/// `deploy/images/build`, writing where these tests write. For tests of that program itself.
pub fn build_command() -> Command {
    let mut command = Command::new(repository().join("deploy/images/build"));
    let target = workdir::output().parent();
    command.env(
        "CARGO_TARGET_DIR",
        target.expect("it lies in the target folder"),
    );
    command
}

/// The operator and the terminator as they go into the images. Cargo decides what there is to compile.
fn programs() -> [PathBuf; 2] {
    let mut command = build_command();
    command.arg("--programs");
    let printed = run(command, b"", BUILD).expect_success().stdout;
    let paths: Vec<_> = printed.lines().map(PathBuf::from).collect();
    paths
        .try_into()
        .unwrap_or_else(|other| panic!("two programs were to be named, not {other:?}"))
}

/// What goes into an image: each source by name and fingerprint.
struct Recipe {
    image: &'static str,
    name: String,
    inputs: String,
}

impl Recipe {
    fn of(image: &'static str, name: String) -> Self {
        let folder = if image.contains('/') {
            ""
        } else {
            "deploy/images/"
        };
        Self {
            image,
            name,
            inputs: String::new(),
        }
        .sources(&["deploy/images/build"])
        .sources(&[&format!("{folder}{image}.Containerfile")])
    }

    /// Files of the checkout.
    fn sources(self, paths: &[&str]) -> Self {
        paths
            .iter()
            .fold(self, |recipe, path| recipe.file(&repository().join(path)))
    }

    fn file(self, path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.input(&bytes)
    }

    /// What a program tells about itself, where its bytes are many and its version says enough.
    fn says(self, command: &mut Command) -> Self {
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        self.input(&[output.stdout, output.stderr].concat())
    }

    fn input(mut self, bytes: &[u8]) -> Self {
        writeln!(self.inputs, "{}", fingerprint(bytes)).expect("a String takes everything");
        self
    }

    /// The image's file in the cache; it is built if it is not there.
    fn archive(self, cache: &Path) -> ImageArchive {
        let hash = fingerprint(self.inputs.as_bytes());
        let folder = cache.join(format!("images-{}", &hash[..12]));
        let stem = self.image.rsplit('/').next().unwrap_or(self.image);
        let file = folder.join(format!("{stem}.tar"));
        if file.exists() {
            mark_used(&folder);
        } else {
            // Under another name until it is whole: a run that is killed leaves nothing that looks like one.
            let part = cache.join(format!("images-{}.part", &hash[..12]));
            let mut command = build_command();
            command.current_dir(repository());
            command.arg("--out").arg(&part).arg(self.image);
            run(command, b"", BUILD).expect_success();
            fs::rename(&part, &folder).expect("both lie in the cache");
        }
        ImageArchive {
            name: self.name,
            file,
        }
    }
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the checkout")
}

fn mark_used(folder: &Path) {
    File::open(folder)
        .and_then(|opened| opened.set_modified(SystemTime::now()))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

/// Images are large. What was not used for longest goes, and what a killed run has left.
fn remove_old(cache: &Path) {
    let mut folders: Vec<_> = fs::read_dir(cache)
        .expect("the cache is a folder")
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"images-"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    folders.sort_by(|one, other| other.cmp(one));
    let (parts, whole): (Vec<_>, Vec<_>) = folders
        .into_iter()
        .partition(|(_, path)| path.extension().is_some());
    for (_, folder) in parts.iter().chain(whole.iter().skip(KEPT)) {
        fs::remove_dir_all(folder)
            .unwrap_or_else(|error| panic!("cannot remove {}: {error}", folder.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_used_last_stay_in_the_cache() {
        let cache = workdir::scratch("cache");
        for age in 0..KEPT as u64 + 2 {
            let folder = cache.join(format!("images-{age}"));
            fs::create_dir(&folder).expect("the folder is ours");
            let then = SystemTime::now() - Duration::from_secs(3600 * (age + 1));
            File::open(&folder)
                .and_then(|opened| opened.set_modified(then))
                .expect("it is ours");
        }
        fs::create_dir(cache.join("images-0.part")).expect("the folder is ours");
        fs::create_dir(cache.join("smart-mqtt-0.42")).expect("the folder is ours");
        mark_used(&cache.join(format!("images-{}", KEPT + 1)));
        remove_old(&cache);

        let there = |name: String| cache.join(name).exists();
        assert!(
            there(format!("images-{}", KEPT + 1)),
            "it was used just now"
        );
        assert!(there("images-0".to_owned()));
        assert!(!there(format!("images-{}", KEPT - 1)), "one too many");
        assert!(!there(format!("images-{KEPT}")));
        assert!(!there("images-0.part".to_owned()));
        assert!(there("smart-mqtt-0.42".to_owned()), "it is no image");
    }
}
