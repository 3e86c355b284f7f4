"""What a scrape of the operator's metrics says, read by another parser than the writer."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from cronix_operator.edges.metrics import Metrics


def read(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of a scrape."""
    metrics.refresh()
    families = list(text_string_to_metric_families(metrics.text().decode()))
    samples = [(s.name, frozenset(s.labels.items()), s.value) for f in families for s in f.samples]
    assert len({sample[:2] for sample in samples}) == len(samples), "a series is there twice"
    return {(name, labels): value for name, labels, value in samples}


def value(metrics: Metrics, series: str, /, **labels: str) -> float | None:
    return read(metrics).get((series, frozenset(labels.items())))


def of_app(metrics: Metrics, name: str = "billing") -> set[str]:
    """Names of the series that speak of one CronixApp."""
    return {series for series, labels in read(metrics) if ("name", name) in labels}


def of_job(metrics: Metrics, name: str) -> dict[str, float]:
    """The series of one job, by name; several schedules are told apart by the index at the end."""
    found = {}
    for (series, labels), number in read(metrics).items():
        told = dict(labels)
        if told.get("cronix_job") == name:
            found[f"{series}/{told['index']}"] = number
    return found
