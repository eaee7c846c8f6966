"""What becomes of every row of a night's files, even when the job is killed halfway?

Fits a small credit model, lays out the files of a night, kills the job after its first shard and
runs it again: every row is scored or set aside with its reason, a table of a database shows all of
the night or nothing, and drift is looked for. Needs no data, no network and no server:

    python nightly_scoring.py
"""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from fintech_dl import load_frame, read_quarantine, read_scores, run_pipeline
from fintech_dl.cards import pipeline_card
from fintech_dl.scoring.monitor import monitor

# a model: the card as it is shipped, on fewer applications, with fewer epochs and one baseline
prior = {"use": "sklearn.dummy.DummyClassifier", "title": "The prior alone"}
card = pipeline_card("credit", {"baseline": [prior]}, dataset="synthetic_credit_book_small")
run_pipeline(card, "model", set_params={"model__epochs": 2})

# the night: the applications of a quarter, many times over; outcomes are unknown, two rows broken
rows = load_frame(card.dataset).tail(1000).drop(columns="defaulted")
night = Path("inbox/2026-11-22")
night.mkdir(parents=True)
for part in range(2):
    many = pd.concat([rows] * 150, ignore_index=True)
    many["application_id"] = range(part * len(many), (part + 1) * len(many))
    many.loc[7, "income"] = -1
    many.to_parquet(night / f"{part}.parquet", index=False)

# the job, as a crontab has it; it also fills a table, by one transaction
os.environ["SCORES_DATABASE"] = "sqlite:///scores.db"
words = ["score", "model/artefact", str(night), "-o", "scores", "--sink", "sql"]
words += ["--database", "SCORES_DATABASE", "--table", "credit_scores"]
job = subprocess.Popen([sys.executable, "-m", "fintech_dl", "--log", "json", *words, "-q"])
while job.poll() is None and not list(Path("scores").glob("run-*/commits/*.json")):
    time.sleep(0.01)
job.kill()  # kill -9, as a machine that loses power
print(f"killed: exit code {job.wait()}")
again = subprocess.run([sys.executable, "-m", "fintech_dl", *words], capture_output=True, text=True)
print(again.stdout)

scores, aside = read_scores("scores"), read_quarantine("scores")
print(f"{len(scores) + len(aside):,} rows = {len(scores):,} scored + {len(aside)} set aside")
print(aside[["source_row", "application_id", "income", "reason"]].to_string(index=False))
query = "SELECT count(*), sum(alert) FROM credit_scores_latest"
count, declined = sqlite3.connect("scores.db").execute(query).fetchone()
print(f"table: {count:,} rows, {declined:,} of them declined")
print(monitor("scores").record["verdict"]["text"])
