"""Score the rows of the day, every morning (Airflow 3).

A task may be marked as done although its process was killed, and be started twice. Both are
harmless: the job goes on where it was, and `published` believes the manifest, not the scheduler.
In Airflow 2 the imports differ, and `ds` is the day before: put `{{ data_interval_end | ds }}`.
"""

from datetime import timedelta

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG(
    dag_id="fintech_dl_scoring",
    schedule="15 6 * * *",
    start_date=pendulum.datetime(2026, 11, 1, tz="Europe/Berlin"),
    catchup=False,
    max_active_runs=1,
):
    # exit code 99, nothing to do, makes a task skipped: BashOperator's own rule
    score = BashOperator(
        task_id="score",
        bash_command="PAUSES= /srv/scoring/nightly.sh {{ ds }}",
        retries=4,
        retry_delay=timedelta(minutes=5),
        retry_exponential_backoff=True,
    )
    published = BashOperator(
        task_id="published",
        bash_command="cd /srv/scoring && venv/bin/fintech-dl verify scores/{{ ds }}",
        trigger_rule="none_failed",  # also after a task that was skipped
    )
    score >> published
