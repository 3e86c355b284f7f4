"""What the API server says when it refuses a CronJob, with the cure; messages as Kubernetes 1.34 words them."""

from __future__ import annotations

import pytest

from cronix_operator.core.server_refusals import explain

NAME = 'cronjobs.batch "cronix-shop-a-0" is forbidden: '
ACCOUNT = 'User "system:serviceaccount:cronix-system:cronix" cannot create resource "cronjobs" in API group "batch"'


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        (f"{NAME}exceeded quota: few, requested: count/cronjobs.batch=1, used: …", "raise that ResourceQuota"),
        (f"{NAME}unable to create new content in namespace x because it is being terminated", "nothing left to do"),
        (
            f"{NAME}ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no",
            "have the policy let this CronJob",
        ),
        ('admission webhook "x.example.com" denied the request: no', "have the webhook let this CronJob"),
        ('Internal error occurred: failed calling webhook "x.example.com": EOF', "mend or remove it"),
        (f"{NAME}{ACCOUNT}", "rbac.create=true"),
        ('CronJob.batch "x" is invalid: spec.timeZone: Invalid value: "Local"', "correct the job in the manifest"),
    ],
)
def test_a_refusal_is_told_with_its_cure(message: str, cure: str) -> None:
    told = explain(message)
    assert message in told
    assert cure in told


def test_an_unknown_refusal_is_told_as_it_is() -> None:
    assert explain("etcdserver: request is too large").endswith("refused the CronJob: etcdserver: request is too large")
