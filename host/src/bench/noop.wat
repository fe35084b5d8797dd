;; The smallest handler: one function, `noop`, which looks at nothing and answers `null`.
;; All that it answers lies in its memory as the canonical ABI has it: addresses and
;; lengths, in little endian.
(component
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
    (type $function-info' (record (field "name" string) (field "summary" string)
      (field "message-schema" (option string))))
    (export "function-info" (type (eq $function-info')))))
  (alias export $types "job" (type $job))
  (alias export $types "output" (type $output))
  (alias export $types "failure" (type $failure))
  (alias export $types "function-info" (type $function-info))
  (core module $module
    (memory (export "memory") 1)
    ;; An instance handles one job: what is given to it is never taken back.
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
      (result i32) (local $at i32)
      (local.set $at (i32.and
        (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $size)))
      (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))) (then
        (if (i32.eq (i32.const -1)
          (memory.grow (i32.add (i32.const 1) (i32.div_u (local.get $size) (i32.const 65536)))))
          (then unreachable))))
      (local.get $at))
    ;; ok, no short result, the content type, the data.
    (data (i32.const 528) "\00\00\00\00\00\04\00\00\10\00\00\00\10\04\00\00\04\00\00\00")
    (data (i32.const 1024) "application/jsonnull")
    (data (i32.const 1048) "noop")
    (data (i32.const 1056) "Does nothing.")
    ;; The list of one function, and the record it points to.
    (data (i32.const 1080) "\48\04\00\00\01\00\00\00")
    (data (i32.const 1096) "\18\04\00\00\04\00\00\00\20\04\00\00\0d\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
    (func (export "handle") (param $job i32) (result i32) (i32.const 512))
    (func (export "functions") (result i32) (i32.const 1080)))
  (core instance $main (instantiate $module))
  (func $handle (param "job" $job) (result (result $output (error $failure)))
    (canon lift (core func $main "handle") (memory $main "memory") (realloc (func $main "realloc"))))
  (func $functions (result (list $function-info))
    (canon lift (core func $main "functions") (memory $main "memory") (realloc (func $main "realloc"))))
  (instance $handler (export "functions" (func $functions)) (export "handle" (func $handle)))
  (export "skep:jobs/handler@0.1.0" (instance $handler)))
