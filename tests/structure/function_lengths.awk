# Fails where a function has more than `most` lines, from its first line to its closing brace. It reads code that
# clang-format has formatted: a function of a namespace ends with a line "}", and one that is defined in its class with
# a line "  }". No other statement that begins in the same column of the same scope ends so, except a namespace, whose
# brace has a comment behind it.
FNR == 1 { in_class = begin[0] = begin[2] = 0 }
/^(struct|class|union) .*\{$/ { in_class = 1; begin[2] = 0 }
{ follow(0) }
in_class { follow(2) }
/^};/ { in_class = 0 }

# Follows the statements whose first and last lines are indented by `indent`.
function follow(indent,    at) {
  match($0, /^ */)
  at = RLENGTH
  if (at < indent || $0 ~ /^ *(\/\/|#|$)/) return
  if (at == indent && !begin[indent]) {
    begin[indent] = FNR
    body[indent] = 0
  }
  if ($0 ~ /\{$/) body[indent] = 1
  if (at == indent && $0 ~ /^ *}$/) report(begin[indent])
  # The last line of a statement; in a body, only lines that are indented like its first one can be.
  if (/(;|[^{]}|^ *}|^ *}  \/\/ .*|:)$/ && (at == indent || !body[indent])) begin[indent] = 0
  if (/^namespace .*\{$/) begin[indent] = 0
}

function report(first,    lines) {
  functions += 1
  lines = FNR - first + 1
  if (lines > longest) {
    longest = lines
    where = FILENAME ":" first
  }
  if (lines > most) {
    printf "%s:%d: a function of %d lines, more than %d\n", FILENAME, first, lines, most
    failed = 1
  }
}

END {
  printf "%d functions; the longest has %d lines: %s\n", functions, longest, where
  if (functions == 0) {
    print "this test looks at the wrong files"
    failed = 1
  }
  exit failed
}
