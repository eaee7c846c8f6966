#!/bin/sh
# One day's job: nightly.sh [DAY]; DAY is today unless it is given, as 2026-11-22.
# Scores inbox/DAY into scores/DAY, checks what was written, and looks for drift. Killed at any
# moment, run it again: it goes on. Ends with the exit code of what went wrong; 99: all was done before.
# Drift is told, in one line, and is no failure: the scores are published.
set -u
day=${1:-$(date +%F)}
cd "${SCORING_HOME:-/srv/scoring}" || exit 2
PATH=$PWD/venv/bin:$PATH
mkdir -p scores logs
out=scores/$day
log=logs/$day.jsonl

for pause in ${PAUSES-60 300 900} end; do
    fintech-dl --log json score artefact "inbox/$day" -o "$out" -q 2>>"$log"
    code=$?
    if [ $code -ne 75 ] || [ "$pause" = end ]; then break; fi # 75: may pass by itself
    sleep "$pause"
done
case $code in 0 | 99) ;; *) exit $code ;; esac

fintech-dl --log json verify "$out" -q 2>>"$log" || exit $?
run=$(fintech-dl --log json monitor "$out" --strict -q 2>>"$log")
drift=$?
case $drift in
0) ;;
3) echo "drift: see monitor.html, or monitor.json, in $run" ;;
*) exit $drift ;;
esac
exit $code
