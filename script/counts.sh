# How script/test reads the logs of its parts. Sourced by bash; needs `logs`, where they are.

# Adds what a log says to the sums: count_NAME LOG STATUS prints "PASSED FAILED".
count_whole() { if [ "$2" = 0 ]; then echo "1 0"; else echo "0 1"; fi; }
count_cargo() {
    awk -v status="$2" '/^test result:/ { passed += $4; failed += $6 }
        END { if (status != 0 && failed == 0) failed = 1; print passed + 0, failed + 0 }' "$1"
}
count_pytest() {
    local line
    line=$(grep -E '^=+ .*(passed|failed|error|skipped|no tests ran).* in ' "$1" | tail -1)
    awk -v line="$line" -v status="$2" 'BEGIN {
        n = split(line, words, /[ ,=]+/)
        for (i = 2; i <= n; i++) {
            if (words[i] ~ /^passed/) passed = words[i - 1]
            if (words[i] ~ /^(failed|errors?)$/) failed += words[i - 1]
        }
        if (status != 0 && failed == 0) failed = 1
        print passed + 0, failed + 0 }'
}
count_matrix() {
    awk -v status="$2" '/ passed .* failed / {
            for (i = 2; i <= NF; i++) { if ($i == "passed") passed += $(i - 1); if ($i == "failed") failed += $(i - 1) } }
        END { if (status != 0 && failed == 0) failed = 1; print passed + 0, failed + 0 }' "$1"
}
# Several runs of pytest whose last line has the sums.
count_legs() {
    awk -v status="$2" '/^[0-9]+ passed, [0-9]+ failed$/ { passed = $1; failed = $3 }
        END { if (status != 0 && failed == 0) failed = 1; print passed + 0, failed + 0 }' "$1"
}

# The names of the tests that failed, sorted, one a line: failures COUNT LOG
failures() {
    case $1 in
        pytest | legs) sed -nE 's/^(FAILED|ERROR) (.*::.*)$/\2/; T; s/ - .*//; p' "$2" ;;
        cargo) sed -nE 's/^test ([^ ]+) \.\.\. FAILED$/\1/p' "$2" ;;
    esac | sort
}

# Prints a command, NUL after each word, that runs only what failed: again COUNT LOG COMMAND…
again() {
    local count=$1 log=$2 names
    shift 2
    case $count in
        pytest) printf '%s\0' "$@" --last-failed --last-failed-no-failures=none ;;
        legs) printf '%s\0' "$@" --last-failed ;;
        cargo)
            mapfile -t names < <(failures cargo "$log")
            printf '%s\0' "$@" -- --exact "${names[@]}"
            ;;
    esac
}
