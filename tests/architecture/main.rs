//! Checks the imports in `src/` against the rules of ARCHITECTURE.md, and that there are no cycles.
//!
//! We parse every file with `syn` and follow each path, through re-exports, to the file that
//! defines its item, ignoring test modules, doc comments, and paths that begin with a module that
//! the file itself declares (e.g. `serve::run()` in `cli/mod.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Item, ItemMacro, UseTree,
    visit::{self, Visit},
};

/// A module's path from the crate's root. Empty for the root.
type ModulePath = Vec<String>;

/// Everything in `src/` except tests.
struct Sources {
    modules: BTreeMap<ModulePath, Module>,
}

#[derive(Default)]
struct Module {
    /// Relative to `src/`.
    file: String,
    /// The path of the item behind each re-exported name.
    exports: BTreeMap<String, ModulePath>,
    /// Every path in the file, in absolute form.
    paths: BTreeSet<ModulePath>,
    crates: BTreeSet<String>,
}

impl Sources {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut modules = BTreeMap::new();
        for file in files_below(&root) {
            let relative = file.strip_prefix(&root).unwrap().to_str().unwrap();
            let path = module_path(relative);
            let syntax = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
            let mut reader = Reader {
                module: path.clone(),
                is_public: false,
                found: Module {
                    file: relative.to_owned(),
                    ..Module::default()
                },
            };
            reader.visit_file(&syntax);
            modules.insert(path, reader.found);
        }
        Self { modules }
    }

    /// Follows re-exports to the module that defines the item. `None` if there isn't one.
    fn definition(&self, path: &[String]) -> Option<&Module> {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let depth = (0..=path.len())
                .rev()
                .find(|depth| self.modules.contains_key(&path[..*depth]))?;
            let module = &self.modules[&path[..depth]];
            let Some(target) = path.get(depth).and_then(|name| module.exports.get(name)) else {
                return Some(module);
            };
            let rest = path[depth + 1..].to_vec();
            path = [target.clone(), rest].concat();
        }
        None
    }

    /// For each file, the files it imports (never itself).
    fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut imports = BTreeMap::new();
        for module in self.modules.values() {
            let targets = module.paths.iter();
            let targets = targets
                .filter_map(|path| self.definition(path))
                .map(|target| target.file.as_str())
                .filter(|file| *file != module.file && *file != "lib.rs");
            imports.insert(module.file.as_str(), targets.collect());
        }
        imports
    }
}

/// Collects what one file names and re-exports.
struct Reader {
    module: ModulePath,
    is_public: bool,
    found: Module,
}

impl Reader {
    /// `None` if the path leads to another crate.
    fn absolute(&self, segments: &[String]) -> Option<ModulePath> {
        let ups = segments.iter().take_while(|s| *s == "super").count();
        match segments.first()?.as_str() {
            // `main.rs` is a separate crate, which calls this one by its name.
            "crate" | "$crate" | "warp_bearer" => Some(segments[1..].to_vec()),
            "self" => Some([&self.module[..], &segments[1..]].concat()),
            "super" => {
                let base = &self.module[..self.module.len().checked_sub(ups)?];
                Some([base, &segments[ups..]].concat())
            }
            _ => None,
        }
    }

    fn name(&mut self, segments: &[String]) {
        if let Some(path) = self.absolute(segments) {
            self.found.paths.insert(path);
        } else if segments.len() > 1 {
            // Either a crate or a child module (e.g. `serve::run()` in `cli/mod.rs`), and we can't
            // tell which. So it goes into both lists: a child module that doesn't exist resolves to
            // this file itself, which is ignored.
            self.found.crates.insert(segments[0].clone());
            let child = [&self.module[..], segments].concat();
            self.found.paths.insert(child);
        }
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before);
                }
            }
            UseTree::Glob(_) => self.name(before),
            UseTree::Name(name) if name.ident == "self" => {
                let shown = before.last().cloned();
                self.bind(before, &shown.unwrap_or_default());
            }
            UseTree::Name(name) => self.bind(&with(&name.ident), &name.ident.to_string()),
            UseTree::Rename(name) => self.bind(&with(&name.ident), &name.rename.to_string()),
        }
    }

    fn bind(&mut self, segments: &[String], shown: &str) {
        if self.is_public {
            match self.absolute(segments) {
                Some(path) => {
                    self.found.exports.insert(shown.to_owned(), path);
                }
                None => self.name(segments),
            }
        } else {
            self.name(segments);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            Item::Mod(module) if is_for_tests(&module.attrs) => {}
            Item::Use(import) if is_for_tests(&import.attrs) => {}
            Item::Use(import) => {
                self.is_public = !matches!(import.vis, syn::Visibility::Inherited);
                self.import(&import.tree, &[]);
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.name(&segments);
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        let tokens = item.mac.tokens.to_string().replace(' ', "");
        for start in tokens.match_indices("$crate::").map(|(start, _)| start) {
            let path = tokens[start..].split(|c: char| !(c.is_alphanumeric() || "_:$".contains(c)));
            let path = path.into_iter().next().unwrap_or_default();
            let segments: Vec<_> = path.split("::").map(str::to_owned).collect();
            self.name(&segments);
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|condition| condition == "test")
    })
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn module_path(file: &str) -> ModulePath {
    let path = file.trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    let segments = path.split('/').filter(|segment| *segment != "lib");
    segments.map(str::to_owned).collect()
}

/// Groups of files that all import each other, directly or not.
///
/// This isn't Tarjan's algorithm: for a hundred files, comparing reachability in both directions is
/// shorter.
fn cycles<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<BTreeSet<&'a str>> {
    let reachable = |from: &'a str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(file) = next.pop() {
            for target in imports.get(file).into_iter().flatten() {
                if seen.insert(*target) {
                    next.push(target);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports
        .keys()
        .map(|file| (*file, reachable(file)))
        .collect();
    let files = imports.keys();
    files
        .filter(|file| reached[*file].contains(*file))
        .map(|file| {
            let mates = reached[file].iter();
            mates
                .filter(|mate| reached[*mate].contains(file))
                .copied()
                .collect()
        })
        .collect()
}

#[test]
fn there_are_no_import_cycles() {
    let sources = Sources::read();
    let imports = sources.imports();
    let cycles = cycles(&imports);
    for cycle in &cycles {
        println!("cycle: {cycle:?}");
        for file in cycle {
            let within: Vec<_> = imports[file].intersection(cycle).collect();
            println!("    {file} -> {within:?}");
        }
    }
    assert!(cycles.is_empty(), "{} cycles", cycles.len());
}

/// A group of files, which may import each other and some files of other groups.
struct Room {
    /// The path prefix of the files. The longest matching prefix decides to which room a file
    /// belongs.
    files: &'static str,
    /// The path prefixes of the files in other rooms that they may import.
    may_import: &'static [&'static str],
    /// Exceptions to `may_import`.
    but_not: &'static [&'static str],
}

const fn room(files: &'static str, may_import: &'static [&'static str]) -> Room {
    Room {
        files,
        may_import,
        but_not: &[],
    }
}

const ROOMS: &[Room] = &[
    room("main.rs", &["service/cli/mod.rs"]),
    room("lib.rs", &[]),
    room("algorithm.rs", &[]),
    // The library. Its core must not depend on its adapters for warp and tower.
    Room {
        files: "auth/",
        may_import: &["algorithm.rs", "auth/"],
        but_not: &["auth/tower/", "auth/warp/"],
    },
    // Two imports point upwards: a requirement that fails is refused with a `Refusal`, and a
    // verified token remembers the key set that verified it.
    room(
        "auth/token/",
        &[
            "algorithm.rs",
            "auth/challenge.rs",
            "auth/clock.rs",
            "auth/display.rs",
            "auth/error.rs",
            "auth/keys/key_set.rs",
            "auth/revocation/list.rs",
        ],
    ),
    // An introspection answer becomes claims just like a payload does, and we fetch from the
    // endpoint just like from a key set.
    room(
        "auth/introspection/",
        &[
            "auth/clock.rs",
            "auth/context.rs",
            "auth/display.rs",
            "auth/error.rs",
            "auth/keys/",
            "auth/token/",
        ],
    ),
    // Must not depend on tokens: callers pass the claims to look up
    room(
        "auth/revocation/",
        &[
            "auth/clock.rs",
            "auth/display.rs",
            "auth/error.rs",
            "auth/files.rs",
            "auth/store/",
            "auth/token/json/",
            "auth/worker.rs",
        ],
    ),
    room(
        "auth/keys/",
        &[
            "algorithm.rs",
            "auth/blocking.rs",
            "auth/context.rs",
            "auth/display.rs",
            "auth/error.rs",
            "auth/files.rs",
            "auth/token/json/",
        ],
    ),
    // Exception: the probe takes an `Auth`. `check` has to use its options when it asks an issuer.
    room("auth/keys/probe.rs", &["auth/keys/", "auth/verifier.rs"]),
    // A proof is a JWT, so it uses the parser and the verifier of tokens
    room(
        "auth/credential/",
        &[
            "algorithm.rs",
            "auth/challenge.rs",
            "auth/error.rs",
            "auth/keys/jwk.rs",
            "auth/keys/thumbprint.rs",
            "auth/store/",
            "auth/token/confirmation.rs",
            "auth/token/json/",
            "auth/token/jws.rs",
        ],
    ),
    // Exception: these tests have their own file, and need proofs from the test issuer
    room(
        "auth/credential/proof_tests.rs",
        &["algorithm.rs", "auth/", "issuer/"],
    ),
    // A store only sees keys and lines, so it must not depend on tokens
    room(
        "auth/store/",
        &["auth/blocking.rs", "auth/display.rs", "auth/worker.rs"],
    ),
    Room {
        files: "auth/tower/",
        may_import: &["auth/"],
        but_not: &["auth/warp/"],
    },
    Room {
        files: "auth/warp/",
        may_import: &["auth/"],
        but_not: &["auth/tower/"],
    },
    // The test issuer shares only the names of algorithms with the code that it tests. If it shared
    // more, tests wouldn't find a mistake that both have.
    room("issuer/", &["algorithm.rs"]),
    // The service. `api` and `http` must not know each other, and `observe` must know neither.
    room("service/mod.rs", &["service/"]),
    room("service/api/", &["auth/"]),
    room("service/http/", &["auth/", "service/observe/"]),
    room("service/observe/", &["auth/"]),
    // `config` creates the values with which other rooms are started, but starts nothing itself.
    room(
        "service/config/",
        &[
            "algorithm.rs",
            "auth/",
            "service/http/cors.rs",
            "service/http/limits.rs",
            "service/http/tls.rs",
            "service/observe/logging/",
        ],
    ),
    room("service/cli/", &["algorithm.rs", "auth/", "service/"]),
    room(
        "service/cli/dev/",
        &["algorithm.rs", "auth/", "issuer/", "service/"],
    ),
    // This test compares `explain` with the routes, and needs real tokens
    room(
        "service/cli/explain/tests.rs",
        &["algorithm.rs", "auth/", "issuer/", "service/"],
    ),
    // Exception: under `dev` the service only accepts loopback names, as the test issuer does, and
    // we just use the issuer's filter for that.
    room(
        "service/cli/app.rs",
        &["auth/", "issuer/hosts.rs", "service/"],
    ),
];

/// The files that may use a web framework. All others may use at most the types of `http`.
const ON_A_FRAMEWORK: [&str; 4] = ["auth/tower/", "auth/warp/", "issuer/", "service/"];

const FRAMEWORKS: [&str; 9] = [
    "axum",
    "axum_core",
    "hyper",
    "hyper_util",
    "tonic",
    "tower",
    "tower_layer",
    "tower_service",
    "warp",
];

fn room_of(file: &str) -> Option<&'static Room> {
    let rooms = ROOMS.iter().filter(|room| file.starts_with(room.files));
    rooms.max_by_key(|room| room.files.len())
}

#[test]
fn rooms_import_only_allowed_files() {
    let sources = Sources::read();
    let mut faults = Vec::new();
    for (file, targets) in sources.imports() {
        let Some(room) = room_of(file) else {
            faults.push(format!("{file} belongs to no room"));
            continue;
        };
        for target in targets {
            let is_in = |rooms: &[&str]| rooms.iter().any(|room| target.starts_with(room));
            let is_at_home = room_of(target).is_some_and(|other| other.files == room.files);
            if !is_at_home && (!is_in(room.may_import) || is_in(room.but_not)) {
                faults.push(format!("{file} imports {target}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_row_is_used() {
    let sources = Sources::read();
    for room in ROOMS {
        let mut files = sources.modules.values().map(|module| &module.file);
        let owns = |file: &String| room_of(file).is_some_and(|of| of.files == room.files);
        assert!(files.any(owns), "no file is in {}", room.files);
    }
}

/// An adapter that grows probably contains logic that belongs in the core, where warp would get it
/// too.
#[test]
fn the_adapters_for_tower_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/auth/tower");
    let lines = files_below(&folder).into_iter().map(|file| {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("\n#[cfg(test)]\n").next().unwrap();
        code.lines().count()
    });
    let lines: usize = lines.sum();
    assert!(lines > 100 && lines < 600, "{lines} lines without tests");
}

#[test]
fn only_adapters_use_a_web_framework() {
    let sources = Sources::read();
    let mut faults = Vec::new();
    for module in sources.modules.values() {
        let may = ON_A_FRAMEWORK
            .iter()
            .any(|room| module.file.starts_with(room));
        let used = module.crates.iter();
        let used = used.filter(|name| !may && FRAMEWORKS.contains(&name.as_str()));
        faults.extend(used.map(|name| format!("{} uses {name}", module.file)));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let uses_warp = |module: &&Module| module.crates.contains("warp");
    assert!(sources.modules.values().filter(uses_warp).count() > 3);
}
