//! Replacements of the file: another folder, another link, or something that is not a regular file.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mqtt_tls_config::Config;
use mqtt_tls_terminator::Terminator;
use rustix::process::Signal;
use tests::pki::Ca;
use tests::process::run;
use tests::wait::eventually;
use tests::{ports, programs, workdir};

use crate::fixture::{Fixture, SOON, config, get, write};
use crate::program::{exit_code, start};

/// Half of the poll interval (terminator/src/watch.rs), within which only a watch notices a change.
const NOTICED: Duration = Duration::from_secs(5);

/// A terminator whose file is at `outer/inner/config.yaml` in its own folder.
struct Placed {
    root: PathBuf,
    config: Config,
    terminator: Terminator,
    version: u32,
}

impl Placed {
    /// Starts it; `lay` makes the folders and returns the path of the file.
    fn start(lay: impl FnOnce(&Path) -> PathBuf) -> Self {
        let root = workdir::scratch("replaced");
        let file = lay(&root);
        let leaf = Ca::new("root").leaf().dns("localhost").issue();
        let config = config(&leaf, ports::free_addr());
        fs::write(&file, config.to_yaml().expose()).unwrap();
        let terminator =
            Terminator::start(file.as_path().into(), None).map_err(|error| error.chain());
        Self {
            root,
            config,
            terminator: terminator.unwrap(),
            version: 0,
        }
    }

    /// Returns the text of a new configuration.
    fn next(&mut self) -> String {
        self.version += 1;
        self.config.version = Some(self.version.to_string());
        self.config.to_yaml().expose().to_owned()
    }

    #[track_caller]
    fn runs_the_newest(&self) {
        eventually(
            NOTICED,
            &format!("version {} is active", self.version),
            || {
                let running = self.terminator.status().configuration.version;
                (running == self.config.version).then_some(())
            },
        );
    }

    /// Checks that changes in the folder, by a rename and in place, are noticed without the poll.
    #[track_caller]
    fn notices_what_comes_at(&mut self, folder: &Path) {
        self.runs_the_newest();
        for _ in 0..2 {
            let new = folder.join("new");
            fs::write(&new, self.next()).unwrap();
            fs::rename(&new, folder.join("config.yaml")).unwrap();
            self.runs_the_newest();
            fs::write(folder.join("config.yaml"), self.next()).unwrap();
            self.runs_the_newest();
        }
    }
}

fn nested(root: &Path) -> PathBuf {
    let folder = root.join("outer/inner");
    fs::create_dir_all(&folder).unwrap();
    folder.join("config.yaml")
}

#[test]
fn a_folder_that_is_moved_away_and_made_again_is_watched() {
    let mut placed = Placed::start(nested);
    let folder = placed.root.join("outer/inner");
    for round in 0..2 {
        fs::rename(&folder, placed.root.join(format!("away-{round}"))).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.yaml"), placed.next()).unwrap();
        placed.notices_what_comes_at(&folder);
    }
}

/// The new folder may have the inode number of the old one.
#[test]
fn a_folder_that_is_removed_and_made_again_is_watched() {
    let mut placed = Placed::start(nested);
    let folder = placed.root.join("outer/inner");
    for _ in 0..2 {
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("config.yaml"), placed.next()).unwrap();
        placed.notices_what_comes_at(&folder);
    }
}

#[test]
fn a_folder_above_may_be_replaced_too() {
    let mut placed = Placed::start(nested);
    let outer = placed.root.join("outer");
    fs::rename(&outer, placed.root.join("away")).unwrap();
    let file = nested(&placed.root);
    fs::write(&file, placed.next()).unwrap();
    placed.notices_what_comes_at(file.parent().unwrap());
}

#[test]
fn a_link_to_the_folder_may_lead_elsewhere() {
    let mut placed = Placed::start(|root| {
        fs::create_dir(root.join("first")).unwrap();
        symlink("first", root.join("link")).unwrap();
        root.join("link/config.yaml")
    });
    let (second, link) = (placed.root.join("second"), placed.root.join("link"));
    fs::create_dir(&second).unwrap();
    fs::write(second.join("config.yaml"), placed.next()).unwrap();
    symlink("second", placed.root.join("new")).unwrap();
    fs::rename(placed.root.join("new"), &link).unwrap();
    placed.notices_what_comes_at(&second);
}

#[test]
fn a_link_to_a_file_elsewhere_is_followed() {
    let mut placed = Placed::start(|root| {
        let file = nested(root);
        symlink(&file, root.join("config.yaml")).unwrap();
        root.join("config.yaml")
    });
    let folder = placed.root.join("outer/inner");
    placed.notices_what_comes_at(&folder);
}

fn make_pipe(path: &Path) {
    let mut mkfifo = Command::new("mkfifo");
    mkfifo.arg(path);
    run(mkfifo, b"", SOON).expect_success();
}

/// What is not a regular file: its description, and how to make it.
type IrregularFile = (&'static str, fn(&Path));

fn irregular_files() -> [IrregularFile; 4] {
    [
        ("it is a named pipe", make_pipe),
        ("it is a folder", |path| fs::create_dir(path).unwrap()),
        ("it is a socket", |path| {
            drop(UnixListener::bind(path).unwrap());
        }),
        ("it is a device", |path| {
            symlink("/dev/zero", path).unwrap();
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_irregular_file_is_refused_and_blocks_nothing() {
    for (what, make) in irregular_files() {
        let fixture = Fixture::start(ports::free_addr());
        fs::remove_file(&fixture.file).unwrap();
        make(&fixture.file);
        eventually(SOON, what, || {
            let error = fixture.terminator.status().configuration.last_error?;
            assert_eq!(error.reason, "unreadable");
            error.message.contains(what).then_some(())
        });
        assert_eq!(fixture.get("/livez").0, 200);
        // And back.
        let away = fixture.file.with_extension("away");
        fs::rename(&fixture.file, &away).unwrap();
        let mut config = fixture.config.clone();
        config.version = Some("again".to_owned());
        fixture.rewrite(&config);
        fixture.wait_for_generation(2);
    }
}

#[test]
fn a_pipe_instead_of_the_file_blocks_no_signal() {
    let leaf = Ca::new("root").leaf().dns("localhost").issue();
    let config = config(&leaf, ports::free_addr());
    let file = write(&config);
    let process = start(&file, &[]);
    process.wait_for_line("serving", SOON);
    fs::remove_file(&file).unwrap();
    make_pipe(&file);
    process.wait_for_line("it is a named pipe", SOON);
    let admin = (config.admin.host, config.admin.port).into();
    assert_eq!(get(admin, "/livez").0, 200);
    process.signal(Signal::TERM);
    assert_eq!(exit_code(&process), Some(0));
}

#[test]
fn an_irregular_file_does_not_start() {
    for (what, make) in irregular_files() {
        let path = workdir::scratch("no-file").join("config.yaml");
        make(&path);
        let process = start(&path, &[]);
        assert_eq!(exit_code(&process), Some(78));
        process.wait_for_line(what, SOON);
        let mut check = Command::new(programs::terminator());
        check.arg("check").arg(&path);
        let finished = run(check, b"", SOON);
        assert_eq!(finished.status.code(), Some(1));
        assert!(finished.stderr.contains(what), "{}", finished.stderr);
    }
}
