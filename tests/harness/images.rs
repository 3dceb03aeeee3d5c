//! The container images as files, built by `deploy/images/build` as for a release. They are cached by a hash of their
//! inputs, so that only changed images are built again. It must know neither how an image is run nor its content.

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

/// Upper bound for a full build of optimized programs on a busy machine.
const BUILD: Duration = Duration::from_secs(3600);
/// Number of images that stay in the cache: three versions of the four images.
const KEPT: usize = 12;

/// All images of the tests.
#[derive(Debug)]
pub struct Images {
    /// The operator, without its demo.
    pub operator: ImageArchive,
    /// The terminator.
    pub terminator: ImageArchive,
    /// A real smart-mqtt on port 1883; environment variables `BROKER_…` configure it.
    pub smart_mqtt: ImageArchive,
    /// mosquitto on port 1883; it keeps sessions and messages in `/mosquitto/data`.
    pub mosquitto: ImageArchive,
}

/// One image in a file, in the format of `docker save`.
#[derive(Debug)]
pub struct ImageArchive {
    /// The image's reference in manifests: `mqtt-tls-operator:0.1.0`.
    pub name: String,
    /// The archive.
    pub file: PathBuf,
}

impl Images {
    /// Returns all images, and builds those that are not in the cache. The first build takes minutes.
    #[track_caller]
    pub fn built() -> &'static Self {
        static BUILT: OnceLock<Images> = OnceLock::new();
        BUILT.get_or_init(|| {
            let cache = assets::cache();
            fs::create_dir_all(&cache).expect("the cache folder can be made");
            // Another test process waits, and then finds them in the cache.
            let lock =
                File::create(cache.join("images.lock")).expect("the cache folder is writable");
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
            .output_of(assets::installed("java").arg("-version"))
            .output_of(Command::new("ldd").arg("--version"))
            .archive(cache),
            mosquitto: Recipe::of("tests/assets/images/mosquitto", "mosquitto:test".to_owned())
                .sources(&brokers)
                .sources(&["tests/assets/images/mosquitto.context"])
                .sources(&["tests/assets/images/mosquitto.conf"])
                .file(&mosquitto)
                .output_of(Command::new("ldd").arg("--version"))
                .archive(cache),
        }
    }
}

/// `deploy/images/build` with the target folder of these tests.
pub fn build_command() -> Command {
    let mut command = Command::new(repository().join("deploy/images/build"));
    let target = workdir::output().parent();
    command.env(
        "CARGO_TARGET_DIR",
        target.expect("it is in the target folder"),
    );
    command
}

/// Builds the operator and the terminator for the images, if cargo finds changes, and returns their paths.
fn programs() -> [PathBuf; 2] {
    let mut command = build_command();
    command.arg("--programs");
    let printed = run(command, b"", BUILD).expect_success().stdout;
    let paths: Vec<_> = printed.lines().map(PathBuf::from).collect();
    paths
        .try_into()
        .unwrap_or_else(|other| panic!("expected the paths of two programs, got {other:?}"))
}

/// The inputs of an image, as fingerprints.
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

    /// Adds files of the checkout.
    fn sources(self, paths: &[&str]) -> Self {
        paths
            .iter()
            .fold(self, |recipe, path| recipe.file(&repository().join(path)))
    }

    fn file(self, path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.input(&bytes)
    }

    /// Adds a program's output, such as its version, in place of its large files.
    fn output_of(self, command: &mut Command) -> Self {
        let output = command
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        self.input(&[output.stdout, output.stderr].concat())
    }

    fn input(mut self, bytes: &[u8]) -> Self {
        writeln!(self.inputs, "{}", fingerprint(bytes)).expect("writing to a String succeeds");
        self
    }

    /// Returns the image's file in the cache, and builds it if it is missing.
    fn archive(self, cache: &Path) -> ImageArchive {
        let hash = fingerprint(self.inputs.as_bytes());
        let folder = cache.join(format!("images-{}", &hash[..12]));
        let stem = self.image.rsplit('/').next().unwrap_or(self.image);
        let file = folder.join(format!("{stem}.tar"));
        if file.exists() {
            mark_used(&folder);
        } else {
            // Built under a temporary name, so that a killed run leaves no incomplete image.
            let part = cache.join(format!("images-{}.part", &hash[..12]));
            let mut command = build_command();
            command.current_dir(repository());
            command.arg("--out").arg(&part).arg(self.image);
            run(command, b"", BUILD).expect_success();
            fs::rename(&part, &folder).expect("both are in the cache");
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
        .expect("tests/ is in the checkout")
}

fn mark_used(folder: &Path) {
    File::open(folder)
        .and_then(|opened| opened.set_modified(SystemTime::now()))
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
}

/// Removes the least recently used images, which are large, and what killed runs have left.
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
            .unwrap_or_else(|error| panic!("failed to remove {}: {error}", folder.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recently_used_images_stay_in_the_cache() {
        let cache = workdir::scratch("cache");
        for age in 0..KEPT as u64 + 2 {
            let folder = cache.join(format!("images-{age}"));
            fs::create_dir(&folder).expect("the folder is writable");
            let then = SystemTime::now() - Duration::from_secs(3600 * (age + 1));
            File::open(&folder)
                .and_then(|opened| opened.set_modified(then))
                .expect("the folder is writable");
        }
        fs::create_dir(cache.join("images-0.part")).expect("the folder is writable");
        fs::create_dir(cache.join("smart-mqtt-0.42")).expect("the folder is writable");
        mark_used(&cache.join(format!("images-{}", KEPT + 1)));
        remove_old(&cache);

        let there = |name: String| cache.join(name).exists();
        assert!(there(format!("images-{}", KEPT + 1)), "recently used");
        assert!(there("images-0".to_owned()));
        assert!(!there(format!("images-{}", KEPT - 1)), "one too many");
        assert!(!there(format!("images-{KEPT}")));
        assert!(!there("images-0.part".to_owned()));
        assert!(there("smart-mqtt-0.42".to_owned()), "not an image");
    }
}
