//! Components written as text: what a compiler would not write. Each imports all of
//! skep's `queue` and `log` that a guest without options can use, and exports `handler`.
//!
//! What goes through memory is laid out by hand, as the canonical ABI has it: a string
//! or a list is an address and a length, so that a guest can lie about both.

/// A guest's parts, each as text of a core module. The defaults make one that lists the
/// function `stranger` and answers `ok`.
pub(crate) struct Guest {
    /// The memory, in pages: the least, and perhaps the most.
    pub(crate) memory: String,
    /// The body of `handle (param $job i32) (result i32)`.
    pub(crate) handle: String,
    /// The body of `functions (result i32)`.
    pub(crate) functions: String,
    /// What `realloc (param i32 i32 i32 i32) (result i32)` does instead of its work.
    pub(crate) realloc: &'static str,
    /// More imports of the module, from `host`.
    pub(crate) imports: String,
    /// More fields of the module.
    pub(crate) module: String,
    /// More of the component, before its module: imports, and core functions of them.
    pub(crate) component: String,
    /// How these core functions are handed to the module, as `(export "f" (func $f))`.
    pub(crate) handed: String,
    /// More options of the lifted `handle`.
    pub(crate) lift: &'static str,
    /// The encoding of strings.
    pub(crate) encoding: &'static str,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            memory: "4".to_owned(),
            handle: answer("ok"),
            functions: "i32.const 1080".to_owned(),
            realloc: "",
            imports: String::new(),
            module: String::new(),
            component: String::new(),
            handed: String::new(),
            lift: "",
            encoding: "utf8",
        }
    }
}

/// Where texts of a test's own may lie; from 4096 on nothing else does.
pub(crate) const FREE: usize = 4096;

/// A body that answers this text, at most 100 bytes.
pub(crate) fn answer(text: &str) -> String {
    format!(
        "(call $answer (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 10) {})",
        literal(text)
    )
}

/// The address and the length of a text that is written to memory for it, byte by byte.
fn literal(text: &str) -> String {
    let stores: String = text
        .bytes()
        .enumerate()
        .map(|(at, byte)| format!("(i32.store8 (i32.const {}) (i32.const {byte}))", 2048 + at))
        .collect();
    format!(
        "(block (result i32) {stores} (i32.const 2048)) (i32.const {})",
        text.len()
    )
}

impl Guest {
    /// A guest with this body of `handle`.
    pub(crate) fn that(handle: impl Into<String>) -> Self {
        Self {
            handle: handle.into(),
            ..Self::default()
        }
    }

    /// The component.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let text = self.text();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn text(&self) -> String {
        let Self {
            memory,
            handle,
            functions,
            realloc,
            imports,
            module,
            component,
            handed,
            lift,
            encoding,
        } = self;
        let lowered: String = [
            ("queue", "update-progress"),
            ("queue", "store-data"),
            ("queue", "fetch-data"),
            ("queue", "block-until-result"),
            ("queue", "block-until-results"),
            ("log", "write"),
        ]
        .map(|(interface, name)| {
            format!(
                r#"(core func ${name} (canon lower (func ${interface} "{name}")
                    (memory $libc "memory") (realloc (func $libc "realloc")) string-encoding={encoding}))
                "#
            )
        })
        .concat();
        format!(
            r#"(component
            {TYPES}
            {QUEUE}
            (core module $libc-module
                (memory (export "memory") {memory})
                (global $next (mut i32) (i32.const 131072))
                (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
                    (result i32) (local $at i32)
                    {realloc}
                    (local.set $at (i32.and
                        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get $align))))
                    (global.set $next (i32.add (local.get $at) (local.get $size)))
                    (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (then
                        (if (i32.eq (i32.const -1)
                            (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $size) (i32.const 65536)))))
                            (then unreachable))))
                    (local.get $at)))
            (core instance $libc (instantiate $libc-module))
            {lowered}
            {component}
            (core module $module
                (import "libc" "memory" (memory 0))
                (import "host" "update-progress" (func $update-progress (param i32 i32 i32 i32 i32)))
                (import "host" "store-data" (func $store-data (param i32 i32 i32 i32 i32 i32 i64 i32)))
                (import "host" "fetch-data" (func $fetch-data (param i32 i32 i32)))
                (import "host" "block-until-result" (func $block-until-result (param i32 i32 i32 i64 i32)))
                (import "host" "block-until-results" (func $block-until-results (param i32 i32 i32 i64 i32)))
                (import "host" "write" (func $write (param i32 i32 i32)))
                {imports}
                (data (i32.const 1024) "text/plain")
                (data (i32.const 1040) "stranger")
                ;; The list of one function, and the record it points to.
                (data (i32.const 1080) "\48\04\00\00\01\00\00\00")
                (data (i32.const 1096) "\10\04\00\00\08\00\00\00\10\04\00\00\08\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
                ;; An output: has a short result, the short result, the content type, the data.
                (func $output (param $short i32) (param i32 i32) (param i32 i32) (param i32 i32) (result i32)
                    (i32.store8 (i32.const 512) (i32.const 0))
                    (i32.store8 (i32.const 520) (local.get $short))
                    (i32.store (i32.const 524) (local.get 1)) (i32.store (i32.const 528) (local.get 2))
                    (i32.store (i32.const 532) (local.get 3)) (i32.store (i32.const 536) (local.get 4))
                    (i32.store (i32.const 540) (local.get 5)) (i32.store (i32.const 544) (local.get 6))
                    (i32.const 512))
                ;; An output without a short result.
                (func $answer (param i32 i32) (param i32 i32) (param i32 i32) (result i32)
                    (call $output (i32.const 0) (local.get 0) (local.get 1) (local.get 2) (local.get 3)
                        (local.get 4) (local.get 5)))
                ;; A failure of a kind: 0 invalid, 1 failed.
                (func $fail (param $kind i32) (param $at i32) (param $length i32) (result i32)
                    (i32.store8 (i32.const 512) (i32.const 1))
                    (i32.store8 (i32.const 520) (local.get $kind))
                    (i32.store (i32.const 528) (local.get $at)) (i32.store (i32.const 532) (local.get $length))
                    (i32.const 512))
                {module}
                (func (export "handle") (param $job i32) (result i32) (local $i i32) (local $j i32)
                    {handle})
                (func (export "functions") (result i32) (local $i i32) {functions}))
            (core instance $main (instantiate $module
                (with "libc" (instance $libc))
                (with "host" (instance
                    (export "update-progress" (func $update-progress))
                    (export "store-data" (func $store-data))
                    (export "fetch-data" (func $fetch-data))
                    (export "block-until-result" (func $block-until-result))
                    (export "block-until-results" (func $block-until-results))
                    (export "write" (func $write))
                    {handed}))))
            (func $handle (param "job" $job) (result (result $output (error $failure)))
                (canon lift (core func $main "handle") (memory $libc "memory")
                    (realloc (func $libc "realloc")) string-encoding={encoding} {lift}))
            (func $functions (result (list $function-info))
                (canon lift (core func $main "functions") (memory $libc "memory")
                    (realloc (func $libc "realloc"))))
            (instance $handler (export "functions" (func $functions)) (export "handle" (func $handle)))
            (export "skep:jobs/handler@0.1.0" (instance $handler)))"#
        )
    }
}

/// `skep:jobs/types`, as far as these guests use it.
const TYPES: &str = r#"
    (import "skep:jobs/types@0.1.0" (instance $types
        (type $payload' (record (field "content-type" string) (field "data" (list u8))))
        (export "payload" (type $payload (eq $payload')))
        (type $job' (record (field "id" string) (field "function" string) (field "message" $payload)
            (field "attempt" u32) (field "max-attempts" u32) (field "posted-at-ms" u64)
            (field "started-at-ms" u64) (field "timeout-ms" u64) (field "priority" u8)
            (field "functions" (list string)) (field "parent" (option string)) (field "depth" u32)))
        (export "job" (type (eq $job')))
        (type $output' (record (field "short-result" (option string)) (field "result" $payload)))
        (export "output" (type (eq $output')))
        (type $retry' (record (field "after-ms" u64) (field "reason" string)))
        (export "retry-request" (type $retry (eq $retry')))
        (type $failure' (variant (case "invalid" string) (case "failed" string) (case "retry" $retry)))
        (export "failure" (type (eq $failure')))
        (type $error' (variant (case "not-found" string) (case "limit-exceeded" string)
            (case "denied" string) (case "timed-out" string) (case "job-failed" string)
            (case "invalid-argument" string) (case "unavailable" string)))
        (export "error" (type (eq $error')))
        (type $function-info' (record (field "name" string) (field "summary" string)
            (field "message-schema" (option string))))
        (export "function-info" (type (eq $function-info')))))
    (alias export $types "job" (type $job))
    (alias export $types "output" (type $output))
    (alias export $types "failure" (type $failure))
    (alias export $types "error" (type $error))
    (alias export $types "function-info" (type $function-info))
"#;

/// What of `skep:jobs/queue` needs no options, and `skep:jobs/log`.
const QUEUE: &str = r#"
    (import "skep:jobs/queue@0.1.0" (instance $queue
        (alias outer 1 $error (type $error'))
        (export "error" (type $error (eq $error')))
        (alias outer 1 $output (type $output'))
        (export "output" (type $output (eq $output')))
        (export "update-progress" (func (param "percent" u8) (param "note" (option string))
            (result (result (error $error)))))
        (export "store-data" (func (param "data" (list u8)) (param "key" (option string))
            (param "expiry-seconds" (option u64)) (result (result string (error $error)))))
        (export "fetch-data" (func (param "key" string)
            (result (result (option (list u8)) (error $error)))))
        (export "block-until-result" (func (param "job" string) (param "timeout-ms" (option u64))
            (result (result $output (error $error)))))
        (export "block-until-results" (func (param "jobs" (list string)) (param "timeout-ms" (option u64))
            (result (result (list (result $output (error $error))) (error $error)))))))
    (import "skep:jobs/log@0.1.0" (instance $log
        (type $level' (enum "trace" "debug" "info" "warn" "error"))
        (export "level" (type $level (eq $level')))
        (export "write" (func (param "level" $level) (param "text" string)))))
"#;
